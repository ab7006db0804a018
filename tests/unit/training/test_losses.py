"""The triplet loss against one image after the other."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sa_study.training.losses import triplet_loss


def one_by_one(features: Tensor, labels: Tensor, margin: float) -> float:
    """The same in Python's numbers."""
    points = (features / features.norm(dim=1, keepdim=True)).double()
    losses = []
    for index, point in enumerate(points):
        away = [math.dist(point.tolist(), other.tolist()) for other in points]
        same = [d for other, d in enumerate(away) if other != index and labels[other] == labels[index]]
        different = [d for other, d in enumerate(away) if labels[other] != labels[index]]
        if same and different:
            excess = max(same) - min(different)
            losses.append(max(0.0, excess + margin) if margin else math.log1p(math.exp(excess)))
    return sum(losses) / len(losses) if losses else 0.0


@pytest.mark.parametrize("margin", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(
    "labels",
    [[0, 0, 1, 1, 2, 2], [5, 5, 5, 5, 1, 1], [0, 0, 0, 1, 2, 3], [0, 1, 2, 3, 4, 5], [7] * 6],
    ids=["pairs", "groups", "some without a partner", "none with one", "one identity"],
)
def test_the_triplet_loss_compares_the_hardest_pairs_of_each_image(labels: list[int], margin: float) -> None:
    features = torch.randn(6, 10, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor(labels)
    found = triplet_loss(features, targets, margin)
    assert found.item() == pytest.approx(one_by_one(features, targets, margin), abs=1e-6)


def test_its_gradient_is_that_of_the_hardest_pairs() -> None:
    features = torch.randn(8, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels = torch.arange(8) // 2
    assert torch.autograd.gradcheck(lambda x: triplet_loss(x, labels, 0.3), (features.requires_grad_(),))


@pytest.mark.parametrize("margin", [0.0, 0.3])
def test_the_same_image_twice_has_finite_gradients(margin: float) -> None:
    """As an identity with too few images has it; and where no image counts."""
    for labels in (torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 2, 3])):
        features = torch.randn(4, 5).index_select(0, torch.tensor([0, 0, 2, 2])).requires_grad_()
        triplet_loss(features, labels, margin).backward()
        assert features.grad is not None and features.grad.isfinite().all()


def test_the_length_of_features_does_not_matter() -> None:
    features, labels = torch.rand(6, 12), torch.arange(6) // 3
    torch.testing.assert_close(triplet_loss(features, labels, 0.3), triplet_loss(7 * features, labels, 0.3))
