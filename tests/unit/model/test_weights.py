from __future__ import annotations

import io
import pickle
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn

from sa_study.model.backbones import BACKBONES
from sa_study.model.network import SANet
from sa_study.model.weights import (
    infer_architecture,
    load_backbone,
    load_weights,
    pretrained_note,
    read_weights,
)
from sa_study.utils.errors import WeightsError

SETTINGS: dict[str, Any] = {"depth": 18, "num_classes": 5, "num_features": 8}
IMAGENET_18 = "resnet18-f37072fd.pth"
WAYS_OUT = r"--set pretrained=FILE.*--set pretrained=none"


@pytest.fixture(scope="module")
def source() -> SANet:
    """The network whose weights the files hold."""
    torch.manual_seed(5)
    return SANet(**SETTINGS)


@pytest.fixture(scope="module")
def resnet18() -> dict[str, Tensor]:
    """What torchvision's resnet18 file holds, `fc` included, with other values."""
    torch.manual_seed(6)
    state: dict[str, Tensor] = torchvision.models.resnet18(weights=None).state_dict()
    return state


def saved(content: object, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def save(path: Path, content: object, legacy: bool = False) -> Path:
    path.write_bytes(saved(content, legacy))
    return path


def assert_same(state: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(state) == list(expected)
    for name, value in expected.items():
        assert torch.equal(state[name], value), name


def one_line(error: pytest.ExceptionInfo[WeightsError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def published(net: SANet) -> dict[str, Any]:
    """The published file's layout: DataParallel names, unused layers, no counters of batches."""
    state = {f"module.{k}": v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    state |= {"module.base.fc.weight": torch.ones(1000, 512), "module.base.fc.bias": torch.ones(1000)}
    state["module.fusion_conv.weight"] = torch.ones(1, 4, 1)
    return {"state_dict": state, "epoch": 149, "best_top1": np.float64(0.931)}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_reads_bare_and_wrapped_state_dicts(tmp_path: Path, legacy: bool, prefix: str) -> None:
    state = {"a.weight": torch.randn(3, 4), "b": torch.arange(3)}
    named = {prefix + name: value for name, value in state.items()}
    bare = read_weights(save(tmp_path / "bare.pt", named, legacy))
    assert_same(bare.state, state)
    assert bare.beside == {}
    path = save(tmp_path / "wrapped.pt", {"state_dict": named, "epoch": 3}, legacy)
    wrapped = read_weights(path)
    assert_same(wrapped.state, state)
    assert wrapped.beside == {"epoch": 3}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64])
def test_reads_numpy_scalars(tmp_path: Path, kind: Callable[[int], Any], legacy: bool) -> None:
    content = {"state_dict": {"a": torch.ones(2)}, "best_top1": kind(3)}
    assert read_weights(save(tmp_path / "file.pt", content, legacy)).beside == {"best_top1": kind(3)}


def test_reads_files_of_python_2_and_numpy_1(tmp_path: Path) -> None:
    value = np.float64(0.931)
    path = save(tmp_path / "file.pt", {"state_dict": {"a": torch.ones(2)}, "best_top1": value}, legacy=True)
    data = path.read_bytes()
    # Python 3 writes bytes as a call, _codecs.encode(text, "latin1"), and text as Unicode with 4 bytes of
    # length; Python 2 wrote both as a str with 1 byte of length.
    call = re.search(rb"c_codecs\nencode\n.*latin1.*?R", data, re.DOTALL)
    assert call
    data = data.replace(call[0], b"U\x08" + value.tobytes())
    data = re.sub(rb"X(.)\0\0\0", rb"U\1", data, flags=re.DOTALL)
    path.write_bytes(data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    file = read_weights(path)
    assert_same(file.state, {"a": torch.ones(2)})
    assert file.beside == {"best_top1": value}


class Intruder:
    """Pickled, a call that leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle"])
def test_code_in_a_file_is_not_run(tmp_path: Path, kind: str) -> None:
    trace, path = tmp_path / "trace", tmp_path / "file.pt"
    content = {"state_dict": {"a": torch.ones(2)}, "epoch": Intruder(trace)}
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Intruder(trace), protocol=2))
        pickle.loads(path.read_bytes())
    else:
        save(path, content, legacy=kind == "legacy")
        torch.load(path, weights_only=False)
    assert trace.exists(), "the file is harmless, so the test would show nothing"
    trace.unlink()
    with pytest.raises(WeightsError, match=r"getattr|pathlib") as error:
        read_weights(path)
    assert one_line(error).startswith(f"{path}: ")
    assert not trace.exists()


TENSOR = {"a": torch.ones(100)}
DAMAGED = "is not a weights file, or is damaged"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", f"{DAMAGED} .it is empty or ends early"),
        (b"depth: 18\n", DAMAGED),
        (b"hello world\n", DAMAGED),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), DAMAGED),
        (saved(TENSOR)[:-200], f"{DAMAGED} .*zip archive"),
        (saved(TENSOR, legacy=True)[:-30], f"{DAMAGED} .*unexpected EOF"),
        (saved(TENSOR, legacy=True)[:100], f"{DAMAGED} .*ends early"),
        (saved(nn.Linear(2, 2)), "refers to torch.nn.modules.linear.Linear"),
        (saved({}), "expected tensors by name"),
        (saved([torch.ones(2)]), "expected tensors by name"),
        (saved({"a": 3}), "expected tensors by name"),
        (saved({"state_dict": {}, "epoch": 3}), "expected tensors by name"),
    ],
)
def test_what_is_no_weights_file_is_named_with_the_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "file.pt"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=reason) as error:
        read_weights(path)
    assert one_line(error).startswith(f"{path}: ")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.pt: cannot be read \(No such file or directory\)$"):
        read_weights(tmp_path / "none.pt")
    with pytest.raises(WeightsError, match=r"cannot be read \(Is a directory\)$"):
        read_weights(tmp_path)


def test_the_published_file_loads_and_its_unused_keys_are_named(tmp_path: Path, source: SANet) -> None:
    path = save(tmp_path / "checkpoint.pth.tar", published(source), legacy=True)
    net = SANet(**SETTINGS)
    assert load_weights(net, path).unused == ("base.fc.weight", "base.fc.bias", "fusion_conv.weight")
    assert_same(net.state_dict(), source.state_dict())
    assert read_weights(path).beside == {"epoch": 149, "best_top1": 0.931}


def drop(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v for k, v in state.items() if not k.startswith("feat_bn2d.running")}


def narrow(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return state | {"instance6.weight": torch.ones(4, 8), "feat_bn2d.num_batches_tracked": torch.ones(2)}


COUNTER = r"\(2 in the file, a scalar in the network\)"
CLASSIFIER = r"\(4×8 in the file, 5×8 in the network\)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop, "lacks feat_bn2d.running_mean, feat_bn2d.running_var; by its keys .* num_classes=5, "),
        (narrow, f"differs in feat_bn2d.num_batches_tracked {COUNTER}, instance6.weight {CLASSIFIER}; "),
        (narrow, "file is of a network with backbone=resnet18, num_classes=4, num_features=8, parts=6, "),
        (lambda state: drop(narrow(state)), "lacks feat_bn2d.* and differs in .*, instance6.weight "),
        (lambda _: {"a": torch.ones(1)}, "lacks base.conv1.weight, .* and 125 more; give the file of an"),
    ],
)
def test_a_file_that_does_not_fit_names_the_keys_and_leaves_the_network(
    tmp_path: Path, source: SANet, change: Callable[[dict[str, Tensor]], dict[str, Tensor]], message: str
) -> None:
    path = save(tmp_path / "file.pt", change(dict(source.state_dict())))
    net = SANet(**SETTINGS)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(WeightsError, match=message) as error:
        load_weights(net, path)
    assert one_line(error).startswith(f"{path}: ")
    assert_same(net.state_dict(), before)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize(("parts", "deep_supervision"), [(6, True), (1, True), (2, False)])
def test_the_architecture_follows_from_the_file(backbone: str, parts: int, deep_supervision: bool) -> None:
    settings: dict[str, Any] = {"backbone": backbone, "num_classes": 11, "num_features": 32, "parts": parts}
    settings["deep_supervision"] = deep_supervision
    with torch.device("meta"):
        assert infer_architecture(SANet(**settings).state_dict()) == settings


@pytest.mark.parametrize("removed", ["base.layer3.1.", "base.", "instance", "base.layer"])
def test_another_network_s_file_is_not_recognised(source: SANet, removed: str) -> None:
    state = {name: value for name, value in source.state_dict().items() if not name.startswith(removed)}
    with pytest.raises(WeightsError, match="not the weights of an SA network") as error:
        infer_architecture(state)
    assert next(iter(state)) in one_line(error)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_pretrained_from_a_local_file(tmp_path: Path, resnet18: dict[str, Tensor], legacy: bool) -> None:
    path = save(tmp_path / "resnet18.pth", resnet18, legacy)
    net = SANet(depth=18, num_features=512, pretrained=path)
    assert_same(net.base.state_dict(), {k: v for k, v in resnet18.items() if not k.startswith("fc.")})
    assert load_backbone(net, path).unused == ("fc.weight", "fc.bias")
    assert net.local_conv.weight.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.02)
    # PyTorch's default for a 1×1 convolution of 256 channels is uniform on ±1/√256.
    reduction = net.get_parameter("local_conv_layer3.weight")
    assert reduction.abs().max().item() == pytest.approx(1 / 16, rel=0.01)
    assert reduction.std().item() == pytest.approx(1 / 16 / 3**0.5, rel=0.02)


def moco(state: dict[str, Tensor], encoder: str = "encoder_q") -> dict[str, Any]:
    """A checkpoint as MoCo's training writes it: two encoders with heads, a queue, and an optimiser."""
    both = {f"module.{encoder}.{name}": value for name, value in state.items()}
    other = {f"module.encoder_k.{name}": torch.zeros_like(value) for name, value in state.items()}
    return {"epoch": 9, "arch": "resnet18", "state_dict": {**other, **both, "module.queue": torch.ones(8, 4)}}


def without_head(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if not name.startswith("fc.")}


def dino(state: dict[str, Tensor]) -> dict[str, Any]:
    """As DINO's training writes it: a student and the teacher that is used."""
    teacher = {f"backbone.{name}": value for name, value in without_head(state).items()}
    student = {f"module.{name}": torch.zeros_like(value) for name, value in teacher.items()}
    return {"student": student, "teacher": {**teacher, "head.mlp.0.weight": torch.ones(2, 2)}}


@pytest.mark.parametrize(
    ("write", "read", "unused"),
    [
        (moco, "read as MoCo or LUPerson: encoder_q.*", {"encoder_k", "queue", "encoder_q"}),
        (lambda state: moco(state, "base_encoder"), "read as MoCo v3: base_encoder.*", {"base_encoder"}),
        (without_head, "", set()),
        (dino, "weights found under teacher, read as fast-reid, DINO while it trains", {"head"}),
        (lambda state: {"model": {f"backbone.{k}": v for k, v in state.items()}}, "fast-reid", {"backbone"}),
        (lambda state: {f"base.{k}": v for k, v in state.items()}, "an SA network: base.*", {"base"}),
    ],
    ids=["MoCo", "MoCo v3", "DINO's backbone", "DINO", "fast-reid", "SA network"],
)
def test_pretrained_from_other_programs(
    tmp_path: Path,
    resnet18: dict[str, Tensor],
    write: Callable[[dict[str, Tensor]], object],
    read: str,
    unused: set[str],
) -> None:
    path = save(tmp_path / "weights.pth", write(resnet18))
    net = SANet(depth=18)
    report = load_backbone(net, path)
    assert_same(net.base.state_dict(), without_head(resnet18))
    assert read in report.found and {key.partition(".")[0] for key in report.unused} >= unused
    note = pretrained_note("resnet18", str(path))
    assert note.startswith(f"pretrained {path}: ") and "120 of " in note and "\n" not in note
    assert ("not used" in note) == bool(unused) and all(name in note for name in unused)


def test_a_wrong_shape_names_the_key(tmp_path: Path, resnet18: dict[str, Tensor]) -> None:
    wrong = {**resnet18, "layer2.0.conv1.weight": torch.ones(128, 64, 1, 1)}
    path = save(tmp_path / "weights.pth", moco(wrong))
    message = r"differs in layer2.0.conv1.weight \(128×64×1×1 in the file, 128×64×3×3 in the network\)"
    with pytest.raises(WeightsError, match=message):
        SANet(depth=18, pretrained=path)
    with pytest.raises(WeightsError, match=f"^pretrained: .*{message}"):
        pretrained_note("resnet18", str(path))


def test_pretrained_of_another_depth_or_missing(tmp_path: Path, resnet18: dict[str, Tensor]) -> None:
    path = save(tmp_path / "resnet18.pth", resnet18)
    with pytest.raises(WeightsError, match=r"lacks .*layer1.0.conv3.weight.* of the same backbone$"):
        SANet(depth=50, pretrained=path)
    with pytest.raises(WeightsError, match=r"none\.pth: cannot be read"):
        SANet(depth=18, pretrained=str(tmp_path / "none.pth"))


@pytest.fixture
def offline_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache of torch.hub, on a machine that reaches nothing."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        # urllib reads the proxy settings once a process.
        monkeypatch.setattr("urllib.request._opener", None)
        cache = tmp_path / "hub" / "checkpoints"
        cache.mkdir(parents=True)
        yield cache


def test_imagenet_without_network_names_the_ways_out(offline_cache: Path) -> None:
    with pytest.raises(WeightsError, match=f"resnet18 cannot be had .*refused.*{WAYS_OUT}") as error:
        SANet(depth=18, pretrained=True)
    assert str(offline_cache / IMAGENET_18) in one_line(error)
    assert list(offline_cache.iterdir()) == []


def test_imagenet_from_the_cache(offline_cache: Path, resnet18: dict[str, Tensor]) -> None:
    save(offline_cache / IMAGENET_18, resnet18, legacy=True)
    net = SANet(depth=18, pretrained=True)
    assert_same(net.base.state_dict(), {k: v for k, v in resnet18.items() if not k.startswith("fc.")})


def test_imagenet_with_a_damaged_or_wrong_file_in_the_cache(offline_cache: Path) -> None:
    (offline_cache / IMAGENET_18).write_bytes(saved(TENSOR)[:-200])
    with pytest.raises(WeightsError, match=f"{IMAGENET_18} .*zip archive.*{WAYS_OUT}"):
        SANet(depth=18, pretrained=True)
    (offline_cache / IMAGENET_18).write_bytes(saved(TENSOR))
    with pytest.raises(WeightsError, match=f"{IMAGENET_18}: lacks conv1.weight.*{WAYS_OUT}"):
        SANet(depth=18, pretrained=True)


def test_imagenet_download_with_a_wrong_hash(
    offline_cache: Path, tmp_path: Path, resnet18: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = save(tmp_path / IMAGENET_18, resnet18)
    weights = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    monkeypatch.setattr(weights.value, "url", served.as_uri())
    with pytest.raises(WeightsError, match=f"invalid hash value.*{WAYS_OUT}"):
        SANet(depth=18, pretrained=True)
    assert list(offline_cache.iterdir()) == []
