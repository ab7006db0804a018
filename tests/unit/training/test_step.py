"""A step of training equals the plain one, does not wait, and is told apart when it cannot be compiled."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest
import torch
from small_space import SMALL
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from sa_study.metrics import names
from sa_study.model.network import SANet
from sa_study.settings.run import Settings
from sa_study.training.losses import triplet_loss
from sa_study.training.step import TrainingStep
from sa_study.utils.errors import ConfigError

CLASSES = 5
SETTINGS = {**SMALL, "num_features": 8, "dropout": 0.0, "lr": 0.01}


def network(backbone: str = "resnet18") -> SANet:
    torch.manual_seed(0)
    return SANet(backbone, CLASSES, parts=2, num_features=8, dropout=0.0).train()


def batches(count: int) -> list[tuple[Tensor, Tensor]]:
    random = torch.Generator().manual_seed(1)
    return [
        (torch.randn(8, 3, 32, 16, generator=random), torch.randint(CLASSES, (8,), generator=random))
        for _ in range(count)
    ]


def stepped(net: SANet, count: int, **changed: Any) -> list[Tensor]:
    settings = Settings(**{**SETTINGS, **changed})
    step = TrainingStep(net, settings, torch.device("cpu"))
    step.set_lr(settings.lr)
    return [step(images, labels) for images, labels in batches(count)]


def plainly_stepped(net: SANet, count: int) -> list[list[float]]:
    """The same with one cross entropy a branch and PyTorch's plainest SGD."""
    groups = [
        {"params": list(net.base.parameters()), "lr": 0.001},
        {"params": list(net.new_parameters()), "lr": 0.01},
    ]
    optimizer = torch.optim.SGD(groups, momentum=0.9, weight_decay=5e-4, nesterov=True, foreach=False)
    figures = []
    for images, labels in batches(count):
        _, logits = net(images)
        losses = [F.cross_entropy(scores, labels) for scores in logits.values()]
        total = torch.stack(losses).sum()
        right = (logits["global"].argmax(1) == labels).float().mean()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        figures.append([value.item() for value in (total, right, *losses)])
    return figures


@pytest.mark.parametrize("changed", [{}, {"channels_last": True}], ids=["plain", "channels_last"])
def test_steps_equal_plain_ones(changed: dict[str, Any]) -> None:
    net = network()
    plain = copy.deepcopy(net)
    figures = torch.stack(stepped(net, 4, **changed))
    torch.testing.assert_close(figures, torch.tensor(plainly_stepped(plain, 4)), rtol=1e-4, atol=1e-5)
    for (name, value), expected in zip(net.state_dict().items(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-3, atol=1e-5, msg=f"{name} differs")


def test_compiled_steps_equal_plain_ones() -> None:
    net = network("narrow")  # a compiler takes a second for each different layer
    plain = copy.deepcopy(net)
    figures = torch.stack(stepped(net, 2, compile="default"))
    torch.testing.assert_close(figures, torch.tensor(plainly_stepped(plain, 2)), rtol=1e-4, atol=1e-5)
    assert net.state_dict().keys() == plain.state_dict().keys(), "checkpoints stay what they are"


def test_no_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, "/no/such/compiler"))
    monkeypatch.setattr("torch._inductor.config.force_disable_caches", True)
    torch.compiler.reset()
    with pytest.raises(
        ConfigError, match=r"compile: default, .* cannot compile here .*use --set compile=none"
    ):
        stepped(network("narrow"), 1, compile="default")


@pytest.mark.parametrize(("parts", "supervised"), [(1, True), (2, False), (2, True)])
def test_the_figures_are_named_as_the_networks_branches(parts: int, supervised: bool) -> None:
    net = SANet("resnet18", CLASSES, parts=parts, num_features=8, deep_supervision=supervised)
    _, logits = net(torch.randn(2, 3, 32, 16))
    assert net.branches == tuple(logits)
    step = TrainingStep(net, Settings(**{**SETTINGS, "parts": parts}), torch.device("cpu"))
    assert step.figures == (names.LOSS, names.TRAIN_ACCURACY, *(f"loss/{name}" for name in logits))


def test_the_triplet_loss_of_parts_is_that_of_whole_identities() -> None:
    """Three identities of two images each are cut into parts of two and one."""
    net = network()
    grouped = {"batch_size": 12, "images_per_identity": 2, "triplet_weight": 0.5, "triplet_margin": 0.0}
    settings = Settings(**{**SETTINGS, **grouped, "accumulate": 3})
    step = TrainingStep(net, settings, torch.device("cpu"))
    assert step.figures[-1] == "loss/triplet"
    images, labels = torch.randn(12, 3, 32, 16), torch.arange(6).repeat_interleave(2) % CLASSES
    step.set_lr(0.0)
    before = copy.deepcopy(net)
    figures = dict(zip(step.figures, step(images, labels).tolist(), strict=True))
    losses = []
    for part in (slice(0, 4), slice(4, 8), slice(8, 12)):
        features, logits = before(images[part])
        triplet = triplet_loss(features, labels[part], 0.0).item()
        losses.append((triplet, sum(F.cross_entropy(x, labels[part]).item() for x in logits.values())))
    triplet, entropy = (sum(column) / 3 for column in zip(*losses, strict=True))
    assert figures["loss/triplet"] == pytest.approx(triplet, rel=1e-4) and triplet > 0.1
    assert figures["loss"] == pytest.approx(entropy + 0.5 * triplet, rel=1e-4)


class Operations(TorchDispatchMode):
    """Counts what is run."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs it, and counts it."""
        self.counts[func.overloadpacket._qualified_op_name] += 1
        return func(*args, **(kwargs or {}))


ADDITIONS: dict[str, Any] = {
    **{"triplet_weight": 1.0, "images_per_identity": 2, "ema_decay": 0.9},
    **{"optimizer": "adamw", "decay_norm_bias": False, "label_smoothing": 0.1},
}


@pytest.mark.parametrize("added", [{}, ADDITIONS], ids=["plain", "all additions"])
def test_nothing_in_a_step_reads_a_value_back(added: dict[str, Any]) -> None:
    net = network()
    step = TrainingStep(net, Settings(**SETTINGS, **added), torch.device("cpu"))
    ((images, labels),) = batches(1)
    with Operations() as operations:
        step(images, labels)
        reading = {"aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::equal"}
        assert not reading & set(operations.counts)
        step(images, labels)[0].item()
    assert operations.counts["aten::_local_scalar_dense"] == 1, "it would have been seen"
    assert operations.counts["aten::convolution"] > 20


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("added", [{}, ADDITIONS], ids=["plain", "all additions"])
def test_nothing_in_a_step_waits_for_the_gpu(added: dict[str, Any]) -> None:
    device = torch.device("cuda")
    step = TrainingStep(network(), Settings(**SETTINGS, **added), device)
    images, labels = (values.to(device) for values in batches(1)[0])
    step(images, labels)
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(images, labels)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_parts_are_added_up_outside_of_cuda_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the gradient of a part stays in a graph's memory, replaying it for the next one spoils it."""
    monkeypatch.setattr(torch, "compile", lambda forward, mode: forward)
    plain, kept = network("narrow"), network("narrow")
    expected = stepped(plain, 1, accumulate=2)
    settings = Settings(**{**SETTINGS, "accumulate": 2, "compile": "cuda-graphs"})
    step = TrainingStep(kept, settings, torch.device("cpu"))
    step.set_lr(settings.lr)
    places = [parameter.grad.data_ptr() for parameter in kept.parameters() if parameter.grad is not None]
    assert torch.equal(step(*batches(1)[0]), expected[0])
    assert len(places) == len(list(kept.parameters())) and places == [
        parameter.grad.data_ptr() for parameter in kept.parameters() if parameter.grad is not None
    ]
    for ours, theirs in zip(kept.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours, theirs)
