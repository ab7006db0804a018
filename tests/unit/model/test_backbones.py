"""A backbone is one entry of the table: the network, and what its files are of, follow from it."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models import get_model_weights

from sa_study.model.backbones import BACKBONES, RESNETS, Backbone
from sa_study.model.network import FeatureNetwork, SANet
from sa_study.model.weights import infer_architecture
from sa_study.settings.run import Settings
from sa_study.training.checkpoint import Checkpoint, save_checkpoint
from sa_study.training.evaluate import load_network
from sa_study.training.trainer import build_network
from sa_study.utils.errors import ConfigError, WeightsError

WIDTHS = 4, 6, 8, 10


def build() -> nn.Sequential:
    pairs = zip((3, *WIDTHS), WIDTHS, strict=False)
    layers = (nn.Sequential(nn.Conv2d(*pair, 2, stride=2), nn.ReLU()) for pair in pairs)
    return nn.Sequential(OrderedDict((f"layer{number}", layer) for number, layer in enumerate(layers, 1)))


def test_another_backbone_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = Backbone(build, WIDTHS, lambda names: "layer1.0.weight" in names, "")
    monkeypatch.setitem(BACKBONES, "tiny", tiny)
    net = SANet("tiny", 5, num_features=8, parts=2)
    features, logits = net(torch.rand(2, 3, 64, 32))
    assert features.shape == (2, 2 * WIDTHS[3]) and logits["stage2"].shape == (2, 5)
    assert infer_architecture(net.state_dict())["backbone"] == "tiny"


def test_one_without_imagenet_weights_names_the_ways_out() -> None:
    ways_out = r"a local file \(--set pretrained=FILE\) or start at random \(--set pretrained=none\)"
    with pytest.raises(WeightsError, match=f"there are no ImageNet weights of narrow; give {ways_out}"):
        SANet("narrow", pretrained=True)
    with pytest.raises(WeightsError, match=f"there are no imagenet-v2 weights of resnet18; give {ways_out}"):
        SANet("resnet18", pretrained="imagenet-v2")


def test_torchvision_has_the_weights_that_the_table_names() -> None:
    for name, known in BACKBONES.items():
        named = {known.imagenet, known.imagenet_v2} - {""}
        weights = get_model_weights(name) if name in RESNETS.values() else ()
        assert named == {str(one) for one in weights}


@pytest.mark.parametrize("name", ["conv1.0.weight", "layer1.0.se.fc1.weight", "layer2.0.downsample.2.weight"])
def test_a_variant_of_a_resnet_is_none_of_torchvisions(name: str) -> None:
    """Such as timm's resnet50d and seresnet50, which have the same numbers of blocks."""
    with torch.device("meta"):
        net = BACKBONES["resnet50"].build()
    state = {f"base.{name}": value for name, value in net.state_dict().items()}
    state |= {"instance0.weight": torch.zeros(5, 8), "instance1.weight": torch.zeros(5, 8)}
    assert infer_architecture(state)["backbone"] == "resnet50"
    state[f"base.{name}"] = state.pop("base.conv1.weight") if "conv1" in name else torch.zeros(1)
    with pytest.raises(WeightsError, match="not the weights of an SA network"):
        infer_architecture(state)


def test_without_timm_its_backbones_name_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    needed = r"backbone: timm/resnet26d needs timm; pip install 'sa-study\[timm\]'"
    with pytest.raises(ConfigError, match=needed):
        SANet("timm/resnet26d")
    with pytest.raises(ConfigError, match=r"backbone: 'vgg' is out of range; allowed: .*, timm/NAME"):
        SANet("vgg")


@pytest.fixture
def timm() -> Iterator[Any]:
    """The package timm, if it is there; its models are in the table for one test only."""
    before = set(BACKBONES)
    yield pytest.importorskip("timm")
    for name in set(BACKBONES) - before:
        del BACKBONES[name]


@pytest.mark.parametrize(
    ("name", "widths"), [("resnet10t", (64, 128, 256, 512)), ("convnext_atto", (40, 80, 160, 320))]
)
def test_stages_of_timms_models_are_those_of_the_network(
    timm: Any, name: str, widths: tuple[int, ...], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    size = {"parts": 2, "num_features": 8, "attention": "softmax", "backbone": f"timm/{name}"}
    settings = Settings.from_mapping({**size, "height": 64, "width": 32, "pretrained": "none"})
    net = build_network(settings, 3).eval()
    images = torch.randn(2, 3, 64, 32)
    plain = timm.create_model(name, features_only=True, output_stride=16).eval()
    plain.load_state_dict(dict(zip(plain.state_dict(), net.base.state_dict().values(), strict=True)))
    with torch.inference_mode():
        maps, features = net.stage_maps(images), net(images)[0]
        for found, expected in zip(maps, plain(images)[-4:], strict=True):
            torch.testing.assert_close(found, expected)
    rows = [(width, 64 // by, 32 // by) for width, by in zip(widths, (4, 8, 16, 16), strict=True)]
    assert [tuple(found.shape[1:]) for found in maps] == rows

    path = tmp_path / "best.pt"
    save_checkpoint(path, Checkpoint(net.state_dict(), settings.to_dict(), 3, 1, [{"epoch": 1.0}]))
    del BACKBONES[f"timm/{name}"]  # as in another process
    trained = load_network(path, {})
    assert trained.loaded.unused == () and trained.settings == settings
    with torch.inference_mode():
        torch.testing.assert_close(FeatureNetwork(trained.net).eval()(images), features)


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("vit_tiny_patch16_224", "timm/vit_tiny_patch16_224 has no four stages"),
        ("vgg11", "timm/vgg11 has no four stages"),
        ("no_such", "timm has no no_such"),
    ],
)
def test_a_model_without_four_stages_is_refused_by_name(name: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=f"backbone: {fault}.*; give one of narrow, resnet18") as error:
        SANet(f"timm/{name}")
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("timm")
def test_weights_that_timm_cannot_get_name_the_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    ways_out = r"give a local file \(--set pretrained=FILE\) or start at random"
    with pytest.raises(WeightsError, match=f"weights of timm/resnet10t cannot be had from timm .*{ways_out}"):
        SANet("timm/resnet10t", pretrained=True)
