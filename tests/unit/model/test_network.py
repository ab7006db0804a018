from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from network_reference import BLOCKS, CLASSES, FEATURES, Reference, published_shapes, random_state
from torch import Tensor
from torch.nn import functional as F

from sa_study.model.network import FeatureNetwork, SANet, matching_features, pool_stripes, total_loss
from sa_study.utils.errors import ConfigError


def make_pair(
    depth: int, train: bool, dtype: torch.dtype = torch.float64, **settings: Any
) -> tuple[SANet, Reference]:
    """A network with a random state, and the plain computation from the same state."""
    shared = random_state(depth, settings.get("parts", 6), settings.get("deep_supervision", True))
    state = {
        name: value.clone() if name.endswith("tracked") else value.to(dtype, copy=True)
        for name, value in shared.items()
    }
    net = SANet(depth=depth, num_classes=CLASSES, num_features=FEATURES, dropout=0, **settings).to(dtype)
    net.load_state_dict(state)
    return net.train(train), Reference(state, depth, train, **settings)


def make_batch(
    count: int, height: int, width: int, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(2)
    return torch.randn(count, 3, height, width, generator=random, dtype=dtype), torch.arange(count) % CLASSES


PCB = {"attention": "none", "deep_supervision": False}
CASES: list[tuple[int, int, int, dict[str, Any]]] = [
    (18, 96, 32, {}),
    (18, 193, 50, {}),
    (18, 112, 40, {"attention": "softmax"}),
    (18, 128, 64, {"attention": "none"}),
    (18, 64, 48, PCB | {"parts": 3}),
    (18, 33, 32, {"parts": 1}),
    (18, 100, 32, {"parts": 4, "attention_stage4": True}),
    (34, 96, 32, {"deep_supervision": False}),
    (50, 111, 32, {}),
]


@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize(("depth", "height", "width", "settings"), CASES)
def test_features_logits_loss_and_statistics(
    depth: int, height: int, width: int, settings: dict[str, Any], train: bool
) -> None:
    net, reference = make_pair(depth, train, **settings)
    images, labels = make_batch(3, height, width)
    with torch.no_grad():
        features, logits = net(images)
        expected_features, expected_logits = reference(images)
    torch.testing.assert_close(features, expected_features)
    assert list(logits) == list(expected_logits)
    torch.testing.assert_close(logits, expected_logits)
    loss, branches = total_loss(logits, labels)
    plain = {name: -x.log_softmax(1)[torch.arange(3), labels].mean() for name, x in expected_logits.items()}
    torch.testing.assert_close(branches, plain)
    torch.testing.assert_close(loss, sum(plain.values(), torch.zeros(())), check_dtype=False)
    for name, value in net.state_dict().items():
        if "running" in name:
            torch.testing.assert_close(value, reference.state[name], msg=name)


@pytest.mark.parametrize(("depth", "settings"), [(18, {}), (50, {})])
def test_a_step_of_sgd(depth: int, settings: dict[str, Any]) -> None:
    net, reference = make_pair(depth, train=True, **settings)
    images, labels = make_batch(4, 96, 32)
    lr, decay, momentum = 0.1, 5e-4, 0.9
    groups: list[dict[str, Any]] = [
        {"params": net.base.parameters(), "lr": lr / 10},
        {"params": net.new_parameters()},
    ]
    optimizer = torch.optim.SGD(groups, lr=lr, momentum=momentum, weight_decay=decay, nesterov=True)
    torch.autograd.backward(total_loss(net(images)[1], labels)[0])
    optimizer.step()

    names = [name for name, _ in net.named_parameters()]
    weights = [reference.state[name].requires_grad_() for name in names]
    loss = torch.stack([F.cross_entropy(scores, labels) for scores in reference(images)[1].values()]).sum()
    updated = dict(net.named_parameters())
    for name, weight, gradient in zip(names, weights, torch.autograd.grad(loss, weights), strict=True):
        rate = lr / 10 if name.startswith("base.") else lr
        expected = weight - rate * (1 + momentum) * (gradient + decay * weight)
        torch.testing.assert_close(updated[name], expected, rtol=1e-7, atol=1e-9, msg=name)


def test_full_size_in_float32() -> None:
    net, reference = make_pair(50, train=False, dtype=torch.float32)
    images, _ = make_batch(2, 384, 128, dtype=torch.float32)
    with torch.no_grad():
        features, logits = net(images)
        expected_features, expected_logits = reference(images)
    assert features.shape == (2, 12288)
    torch.testing.assert_close(features, expected_features, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits, expected_logits, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("depth", BLOCKS)
def test_names_and_shapes_are_the_published_ones(depth: int) -> None:
    with torch.device("meta"):
        net = SANet(depth=depth, num_classes=CLASSES, num_features=FEATURES)
    shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    assert shapes == published_shapes(depth)


def test_defaults_are_the_paper_s() -> None:
    with torch.device("meta"):
        features, logits = SANet()(torch.empty(2, 3, 384, 128))
    assert features.shape == (2, 6 * 2048)
    branches = [*(f"part{i}" for i in range(1, 7)), "global", "stage1", "stage2", "stage3"]
    assert {name: tuple(value.shape) for name, value in logits.items()} == dict.fromkeys(branches, (2, 751))


def test_dropout_comes_after_the_features() -> None:
    net, _ = make_pair(18, train=True)
    images, _ = make_batch(2, 96, 32)
    with torch.no_grad():
        features, logits = net(images)
        net.drop.p = 0.5
        dropped_features, dropped_logits = net(images)
    assert torch.equal(features, dropped_features)
    assert not torch.allclose(logits["part1"], dropped_logits["part1"])
    assert torch.equal(logits["stage3"], dropped_logits["stage3"])


@pytest.mark.parametrize("attention", ["mean", "softmax"])
def test_bf16_autocast_gives_float32_features_near_the_exact_ones(attention: str) -> None:
    net, _ = make_pair(18, train=False, dtype=torch.float32, attention=attention)
    images, labels = make_batch(2, 96, 32, dtype=torch.float32)
    with torch.no_grad():
        exact, _ = net(images)
        with torch.autocast("cpu", torch.bfloat16):
            features, logits = net(images)
    assert features.dtype == torch.float32
    assert logits["stage1"].dtype == torch.bfloat16
    assert total_loss(logits, labels)[0].dtype == torch.float32
    lengths = features.view(2, 6, -1).norm(dim=2)
    torch.testing.assert_close(lengths, torch.ones(2, 6))
    assert (features * exact).sum(1).min() > 6 * 0.99


def test_from_scratch_every_convolution_is_kaiming_normal() -> None:
    torch.manual_seed(0)
    net = SANet(depth=18, num_classes=500)
    for name, weight in net.named_parameters():
        if weight.ndim == 4:
            assert weight.std().item() == pytest.approx(fan_out_std(weight), rel=0.05), name
            assert abs(weight.mean().item()) < 0.05 * weight.std().item(), name
        elif weight.ndim == 2:
            assert weight.std().item() == pytest.approx(0.001, rel=0.02), name
        else:
            assert (weight == (1 if name.endswith("weight") else 0)).all(), name


def fan_out_std(weight: Tensor) -> float:
    return math.sqrt(2 / (weight.shape[0] * weight.shape[2] * weight.shape[3]))


def test_parameters_split_into_backbone_and_new_ones() -> None:
    net, _ = make_pair(18, train=False)
    by_id = {id(parameter): name for name, parameter in net.named_parameters()}

    def names(parameters: Callable[[], Iterator[Tensor]]) -> list[str]:
        return [by_id[id(parameter)] for parameter in parameters()]

    backbone, new = names(net.base.parameters), names(net.new_parameters)
    assert all(name.startswith("base.") for name in backbone)
    assert not any(name.startswith("base.") for name in new)
    assert sorted(backbone + new) == sorted(by_id.values())


@pytest.mark.parametrize(("height", "parts", "least"), [(80, 6, 96), (64, 6, 96), (15, 2, 32)])
def test_too_low_an_image_names_the_least_height(height: int, parts: int, least: int) -> None:
    net, _ = make_pair(18, train=False, parts=parts)
    with pytest.raises(
        ConfigError, match=rf"^height: {height} .*parts={parts}; the least height is {least} "
    ):
        net(make_batch(1, height, 32)[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 20}, r"^depth: 20 .* 18, 34, 50, 101, 152$"),
        ({"attention": "max"}, r"^attention: 'max' .* mean, softmax, none$"),
        ({"dropout": 1.0}, r"^dropout: 1\.0 .* >= 0, < 1$"),
        ({"dropout": -0.1}, r"^dropout: -0\.1 .* >= 0, < 1$"),
        ({"dropout": math.nan}, r"^dropout: nan "),
        ({"parts": 0}, r"^parts: 0 .* >= 1$"),
        ({"num_classes": 0}, r"^num_classes: 0 .* >= 1$"),
        ({"num_features": 0}, r"^num_features: 0 .* >= 1$"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SANet(**settings)


@pytest.mark.parametrize("matched", ["before", "after"])
def test_a_neck_normalises_the_stripes_before_their_classifiers(matched: str) -> None:
    torch.manual_seed(0)
    net = SANet("narrow", 3, parts=2, num_features=8, dropout=0, bn_neck=True, neck_feature=matched)
    plain = SANet("narrow", 3, parts=2, num_features=8, dropout=0)
    assert net.neck is not None
    assert net.state_dict().keys() - plain.state_dict().keys() == {
        f"neck.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }
    with torch.no_grad():
        net.neck.weight.uniform_(0.5, 2)
    plain.load_state_dict(net.state_dict(), strict=False)
    images = torch.randn(4, 3, 64, 32)
    features, logits = net.train()(images)
    stripes = pool_stripes(net.base(images), 2, 64)
    necked = F.batch_norm(stripes, None, None, net.neck.weight, training=True)
    torch.testing.assert_close(features, matching_features(stripes), msg="the triplet loss sees these")
    for name, expected in plain.train()._stripe_logits(necked).items():
        torch.testing.assert_close(logits[name], expected)
    sum(scores.sum() for scores in logits.values()).backward()
    assert net.neck.bias.grad is None and net.neck.weight.grad is not None
    net.eval()
    stripes = pool_stripes(net.base(images), 2, 64)
    expected = matching_features(net.neck(stripes) if matched == "after" else stripes)
    torch.testing.assert_close(net(images)[0], expected)
    torch.testing.assert_close(FeatureNetwork(net).eval()(images), expected)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_label_smoothing_is_pytorchs_on_every_branch(share: float) -> None:
    logits = {name: torch.randn(5, 7) for name in ("part1", "global", "stage1")}
    labels = torch.tensor([0, 6, 3, 3, 1])
    total, branches = total_loss(logits, labels, share)
    for name, scores in logits.items():
        smooth = (1 - share) * F.one_hot(labels, 7) + share / 7
        expected = -(smooth * scores.log_softmax(1)).sum(1).mean()
        torch.testing.assert_close(branches[name], expected)
    torch.testing.assert_close(total, torch.stack([*branches.values()]).sum())
