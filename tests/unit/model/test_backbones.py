"""A backbone is one entry of the table: the network, and what its files are of, follow from it."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn
from torchvision.models import get_model_weights

from sa_study.model.backbones import BACKBONES, Backbone
from sa_study.model.network import SANet
from sa_study.model.weights import infer_architecture
from sa_study.utils.errors import WeightsError

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
        weights = get_model_weights(name) if name.startswith("resnet") else ()
        assert named == {str(one) for one in weights}
