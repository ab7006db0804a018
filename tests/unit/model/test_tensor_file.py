"""Weight files as training programs write them: nested, and with wrappers in their names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from sa_study import SANet, load_weights
from sa_study.model.tensor_file import unwrap
from sa_study.model.weights import pretrained_note, read_weights
from sa_study.training.evaluate import load_network
from sa_study.utils.errors import WeightsError

STATE = {"base.conv1.weight": torch.ones(2), "bias": torch.zeros(1)}
READ = "their names read without"

State = dict[str, Tensor]


def named(prefix: str) -> State:
    return {prefix + name: value for name, value in STATE.items()}


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (STATE, ""),
        ({"state_dict": STATE}, ""),
        (named("module."), f"weights found, {READ} module."),
        ({"state_dict": named("module.")}, f"weights found under state_dict, {READ} module."),
        (named("_orig_mod."), f"weights found, {READ} _orig_mod."),
        (named("module.module."), f"weights found, {READ} module."),
        (named("module._orig_mod."), f"weights found, {READ} module. and _orig_mod."),
        (named("_orig_mod.module."), f"weights found, {READ} _orig_mod. and module."),
        (named("model."), f"weights found, {READ} model."),
        (named("net._orig_mod.module."), f"weights found, {READ} _orig_mod. and module. and net."),
        ({"model": STATE}, "weights found under model"),
        ({"net": STATE}, "weights found under net"),
        ({"network": STATE}, "weights found under network"),
        ({"model_state_dict": STATE}, "weights found under model_state_dict"),
        ({"model": {"state_dict": STATE}}, "weights found under model.state_dict"),
        (
            {"state_dict": {"network": named("module._orig_mod.")}},
            f"weights found under state_dict.network, {READ} module. and _orig_mod.",
        ),
        ({"model": {"name": "sa", "depth": 18}, "state_dict": STATE}, ""),
        ({"net": "resnet50", "network": STATE}, "weights found under network"),
    ],
)
def test_the_state_dict_is_found_and_it_is_said_where(content: Any, found: str) -> None:
    file = unwrap(content, "file")
    assert list(file.state) == list(STATE)
    assert all(file.state[name] is value for name, value in STATE.items())
    assert file.found == found


def test_a_part_of_the_network_that_was_wrapped() -> None:
    state = {"base._orig_mod.conv1.weight": torch.ones(2), "base.module.bn.weight": torch.ones(1)}
    assert list(unwrap(state, "file").state) == ["base.conv1.weight", "base.bn.weight"]


def test_what_lies_beside_is_kept_from_every_level() -> None:
    content = {"epoch": 3, "model": {"state_dict": STATE, "settings": {"depth": 18}}}
    assert unwrap(content, "file").beside == {"epoch": 3, "settings": {"depth": 18}}


def endless() -> dict[str, Any]:
    content: dict[str, Any] = {"a": torch.ones(1)}
    content["model"] = content
    return content


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"model": STATE, "net": STATE}, "weights under model and net; keep one"),
        ({"model": {"state_dict": STATE, "network": STATE}}, "weights under state_dict and network"),
        ({"module.a": torch.ones(1), "a": torch.ones(1)}, r"holds a twice, as module\.a and as a"),
        ({"model": {}}, "expected tensors by name"),
        ({"model": {"net": {}}}, "expected tensors by name"),
        ({"module": {"a": 3}}, "expected tensors by name"),
        (endless(), "expected tensors by name"),
    ],
)
def test_what_is_none_or_ambiguous_is_refused(content: Any, reason: str) -> None:
    with pytest.raises(WeightsError, match=reason):
        unwrap(content, "file")


def test_refusals_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "two.pt"
    torch.save({"model": STATE, "net": STATE}, path)
    with pytest.raises(WeightsError, match=f"^{path}: holds weights under model and net"):
        read_weights(path)


def compiled(net: nn.Module) -> State:
    state: State = torch.compile(nn.DataParallel(net)).state_dict()  # type: ignore[attr-defined]
    return state


def compiled_backbone(net: SANet) -> State:
    net.base = torch.compile(net.base)  # type: ignore[assignment]
    return net.state_dict()


@pytest.mark.parametrize("wrap", [compiled, compiled_backbone])
def test_a_network_that_pytorch_wrapped_is_loaded(tmp_path: Path, wrap: Callable[[SANet], State]) -> None:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"depth": 18, "num_classes": 5, "num_features": 8}
    source = SANet(**settings)
    expected = {name: value.clone() for name, value in source.state_dict().items()}
    path = tmp_path / "wrapped.pt"
    torch.save({"net": wrap(source), "epoch": 7}, path)
    net = SANet(**settings)
    report = load_weights(net, path)
    assert report.unused == () and report.found.startswith(f"weights found under net, {READ} ")
    trained = load_network(path, {})
    assert trained.notes == [f"{path}: {report.found}"] and trained.epoch == 7
    for state in (net.state_dict(), trained.net.state_dict()):
        assert all(torch.equal(state[name], value) for name, value in expected.items())


def test_a_pretrained_backbone_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = torchvision.models.resnet18(weights=None)
    path = tmp_path / "resnet18.pth"
    torch.save({"model": compiled(source)}, path)
    net = SANet(depth=18, pretrained=path)
    assert torch.equal(net.base.state_dict()["conv1.weight"], source.conv1.weight)
    said = f"weights found under model, {READ} _orig_mod. and module."
    assert read_weights(path).found == said
    used = "120 of 122 entries used; not used: fc.* (2)"
    assert pretrained_note("resnet18", str(path)) == f"pretrained {path}: {said}, {used}"
    assert not any(pretrained_note("resnet18", named) for named in ("imagenet", "imagenet-v2", "none"))
