"""Exported networks as others read them: ONNX Runtime and `torch.export.load` beside the network itself."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from checkout import ROOT
from PIL import Image
from shallow_network import make_shallow

from sa_study.data.batches import Normaliser
from sa_study.export import network
from sa_study.export.export import NETWORKS
from sa_study.export.network import (
    PixelNetwork,
    drawn_people,
    largest_difference,
    read_onnx,
    trace,
    write_onnx,
)
from sa_study.export.network_files import write_networks
from sa_study.model.network import FeatureNetwork, SANet
from sa_study.settings.run import Settings
from sa_study.training.evaluate import TrainedNetwork
from sa_study.training.trainer import build_network
from sa_study.utils.errors import ConfigError, RunFailed

SMALL = {"depth": 18, "num_features": 8, "pretrained": "none"}


def build(**changes: Any) -> tuple[SANet, Settings]:
    """A network whose batch norms are not at their start, of one block a stage so that it exports fast."""
    torch.manual_seed(0)
    settings = Settings.from_mapping({**SMALL, "height": 64, "width": 32, "parts": 4, **changes})
    net = make_shallow(build_network(settings, 5).eval())
    for name, buffer in net.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(0.1 * torch.randn_like(buffer))
        elif name.endswith("running_var"):
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    return net, settings


def exported_onnx(net: SANet, settings: Settings, path: Path) -> onnxruntime.InferenceSession:
    program = trace(FeatureNetwork(net).eval(), "normalised", settings.height, settings.width)
    write_onnx(program, path, "{}")
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    "changes",
    [
        {"attention": "none", "height": 96, "width": 32, "parts": 6},
        {"attention": "softmax", "attention_stage4": True, "height": 70, "width": 90, "parts": 3},
        {"attention_stage4": True, "parts": 1, "deep_supervision": False, "bn_neck": True},
    ],
    ids=["none", "softmax at stage 4, not square", "mean at stage 4, one part, a neck"],
)
def test_onnx_gives_the_networks_own_features(changes: dict[str, Any], tmp_path: Path) -> None:
    net, settings = build(**changes)
    session = exported_onnx(net, settings, tmp_path / "n.onnx")
    for count in (1, 3, 5):
        images = torch.randn(count, 3, settings.height, settings.width)
        images[0] = 0 if count == 5 else images[0]
        with torch.inference_mode():
            wanted = net(images)[0].numpy()
        found = session.run(["features"], {"images": images.numpy()})[0]
        assert found.shape == (count, settings.parts * 512) and found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, atol=2e-6)
        lengths = np.linalg.norm(found.reshape(count, settings.parts, 512), axis=2)
        np.testing.assert_allclose(lengths, 1, atol=1e-5)


def test_a_zero_map_gives_zero_features(tmp_path: Path) -> None:
    net, settings = build(attention_stage4=True)
    for norm in ("bn2", "downsample.1"):
        weight, bias = net.base.get_submodule(f"layer4.0.{norm}").parameters()
        torch.nn.init.zeros_(weight)
        torch.nn.init.constant_(bias, -1.0)
    session = exported_onnx(net, settings, tmp_path / "n.onnx")
    found = session.run(None, {"images": np.ones((2, 3, 64, 32), np.float32)})[0]
    assert (found == 0).all()


def test_the_feature_network_is_the_matching_part() -> None:
    net, _ = build(attention_stage4=True)
    plain = FeatureNetwork(net).eval()
    images = torch.randn(2, 3, 64, 32)
    with torch.inference_mode():
        assert torch.equal(plain(images), net(images)[0])
    assert all(name.startswith("base.") for name, _ in plain.named_parameters())
    assert not any(isinstance(module, torch.nn.Dropout | torch.nn.Linear) for module in plain.modules())
    with pytest.raises(ConfigError, match="height: 32 gives stage 4 2 rows"):
        plain(images[:, :, :32])
    pixels = drawn_people(2, 64, 32)
    with torch.inference_mode():
        own = plain(Normaliser(64, 32, torch.device("cpu"))(pixels))
        torch.testing.assert_close(PixelNetwork(plain)(pixels), own, atol=1e-6, rtol=0)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SANet, dict[str, float]]:
    """The whole folder of a network, and the network."""
    net, settings = build()
    place = tmp_path_factory.mktemp("export") / "network"
    source = {"study": "<b>*x*</b> [a](http://b)\x1b[31m", "trial": 6, "epoch": None}
    trained = TrainedNetwork(net, settings, Path("best.pt"), 3)
    found = write_networks(trained, source, NETWORKS, place, lambda *_: None)
    return place, net, found


def test_every_file_is_there_whole_and_checked(written: tuple[Path, SANet, dict[str, float]]) -> None:
    place, _, differences = written
    about = json.loads((place / "network.json").read_text())
    networks = {"features.onnx", "features_uint8.onnx", "features.pt2", "features_uint8.pt2"}
    assert {path.name for path in place.iterdir()} == networks | {"README.md", "network.json"}
    assert set(about["files"]) == networks == {Path(name).name for name in differences}
    assert max(differences.values()) < 2e-6
    assert about["output"]["shape"] == ["batch", 2048] and about["output"]["stripes"] == 4
    assert about["inputs"]["uint8"]["shape"] == ["batch", 64, 32, 3]
    assert about["preprocessing"]["mean"] == [0.485, 0.456, 0.406] and about["settings"]["parts"] == 4
    for name in networks:
        content = (place / name).read_bytes()
        assert about["files"][name]["bytes"] == len(content)
        for secret in (str(ROOT), str(Path.home()), "stack_trace"):
            assert secret.encode() not in content, f"{name} tells where this program lies: {secret}"


def test_the_onnx_files_are_plain(written: tuple[Path, SANet, dict[str, float]]) -> None:
    for name in ("features.onnx", "features_uint8.onnx"):
        model = onnx.load(written[0] / name)
        assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]
        assert [value.name for value in model.graph.input] == ["images"]
        assert [value.name for value in model.graph.output] == ["features"]
        shapes = [
            [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
            for value in (*model.graph.input, *model.graph.output)
        ]
        assert shapes == [["batch", 64, 32, 3] if "uint8" in name else ["batch", 3, 64, 32], ["batch", 2048]]
        assert not {node.op_type for node in model.graph.node} & {"Dropout", "Gemm", "BatchNormalization"}
        assert not [item.name for item in model.graph.initializer if "instance" in item.name]
        card = json.loads(next(p.value for p in model.metadata_props if p.key == "network.json"))
        assert card["input"] == ("uint8" if "uint8" in name else "normalised")


def test_pytorch_reads_the_program_back(written: tuple[Path, SANet, dict[str, float]]) -> None:
    place, net, _ = written
    extra = {"network.json": ""}
    module = torch.export.load(place / "features_uint8.pt2", extra_files=extra).module()
    assert json.loads(extra["network.json"])["format"] == 1
    pixels = drawn_people(4, 64, 32)
    with torch.inference_mode():
        own = net(Normaliser(64, 32, torch.device("cpu"))(pixels))[0]
        torch.testing.assert_close(module(pixels), own, atol=1e-6, rtol=0)


def test_the_readmes_programs_run(
    written: tuple[Path, SANet, dict[str, float]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, net, _ = written
    monkeypatch.chdir(tmp_path)
    for path in place.iterdir():
        (tmp_path / path.name).symlink_to(path)
    people = drawn_people(3, 128, 64)
    for name, pixels in zip(("query", "one", "two"), people.numpy(), strict=True):
        Image.fromarray(pixels).save(f"{name}.jpg", quality=95)
    text = (place / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    results = []
    for block in blocks:
        scope: dict[str, Any] = {}
        exec(block, scope)
        results.append(scope)
    assert len(results) == 3
    loaded = torch.from_numpy(np.stack([results[0]["load"](f"{name}.jpg") for name in ("query", "one")]))
    with torch.inference_mode():
        own = net(Normaliser(64, 32, torch.device("cpu"))(loaded))[0]
    found = np.concatenate([results[0]["query"], results[0]["gallery"][:1]])
    np.testing.assert_allclose(found, own.numpy(), atol=1e-5)
    distance = ((own[0] - own[1]) ** 2).sum().item()
    assert results[0]["distances"][0, 0] == pytest.approx(distance, abs=1e-4)
    np.testing.assert_allclose(results[1]["features"], results[2]["features"].numpy(), atol=1e-5)
    assert "{{" not in text and "{%" not in text, "a place was not filled in"
    assert "<b>" not in text and "\x1b" not in text and "\\[a\\]" in text


def test_a_file_that_computes_something_else_is_refused(
    written: tuple[Path, SANet, dict[str, float]],
) -> None:
    place, net, _ = written
    other = copy.deepcopy(net)
    other.base.get_submodule("conv1").get_parameter("weight").data[0] += 0.3
    plain = FeatureNetwork(other).eval()
    with pytest.raises(RunFailed, match=r"differ from PyTorch's by .*limit is 0\.0001") as error:
        largest_difference(plain, read_onnx(place / "features.onnx"), "normalised", 64, 32)
    assert "\n" not in str(error.value)
    with pytest.raises(RunFailed, match="by nan"):
        largest_difference(plain, lambda images: plain(images) * torch.nan, "normalised", 64, 32)


def test_without_onnx_the_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        if name != "onnx":
            raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(ConfigError, match=r"onnxruntime, onnxscript not installed; pip install onnx=="):
        network.require_onnx()


def test_the_formats_that_are_not_asked_for_are_not_written(tmp_path: Path) -> None:
    net, settings = build()
    trained = TrainedNetwork(net, settings, Path("best.pt"), 3)
    wanted = {"features_uint8.pt2": ("torch", "uint8")}
    write_networks(trained, {"trial": 1}, wanted, tmp_path / "network", lambda *_: None)
    assert {path.name for path in (tmp_path / "network").iterdir()} == {"README.md", "network.json", *wanted}
    text = (tmp_path / "network" / "README.md").read_text()
    assert "onnxruntime" not in text and "torch.export.load" in text
