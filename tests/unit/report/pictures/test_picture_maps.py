"""Attention and class-activation maps against what the network computes on its way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sa_study.model.network import SANet
from sa_study.report.pictures.maps import (
    activation_maps,
    attention_maps,
    attention_overlays,
    has_attention,
    limits,
    prepare,
    relative,
)
from sa_study.report.pictures.overlays import FOR, evidence, grey, overlay
from sa_study.settings.run import Settings
from sa_study.training.trainer import build_network

CPU = torch.device("cpu")


def network(**more: Any) -> SANet:
    torch.manual_seed(0)
    values = {"depth": 18, "pretrained": "none", "height": 64, "width": 32, "parts": 2, "num_features": 8}
    net = build_network(Settings.from_mapping({**values, **more}), 5)
    for stage in (1, 2, 3):  # classifiers that prefer something, with biases
        if net.deep_supervision:
            classifier = net.get_submodule(f"instance_layer{stage}")
            torch.nn.init.normal_(classifier.weight)  # type: ignore[arg-type]
            torch.nn.init.normal_(classifier.bias)  # type: ignore[arg-type]
    return net.eval()


@pytest.fixture
def images() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (3, 40, 20, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["mean", "softmax"])
def test_weights_are_those_the_network_multiplies_by(kind: str, images: Any) -> None:
    net, batch = network(attention=kind), prepare(images, 64, 32, CPU)
    stages: dict[int, Tensor] = {}
    pooled: dict[int, Tensor] = {}
    for stage in (1, 2, 3):
        net.get_submodule(f"base.layer{stage}").register_forward_hook(
            lambda module, given, out, stage=stage: stages.update({stage: out.detach()})
        )
        net.get_submodule(f"local_conv_layer{stage}").register_forward_hook(
            lambda module, given, out, stage=stage: pooled.update({stage: given[0].detach()})
        )
    with torch.no_grad():
        net(batch)
    maps = attention_maps(net, batch)
    assert sorted(maps) == [1, 2, 3]
    for stage, weights in maps.items():
        x = stages[stage].double().numpy()
        level = x.sum(axis=1)
        level = np.exp(level - level.max(axis=(1, 2), keepdims=True)) if kind == "softmax" else level
        np.testing.assert_allclose(weights, level / level.sum(axis=(1, 2), keepdims=True), atol=1e-5)
        np.testing.assert_allclose(weights.sum(axis=(1, 2)), 1, atol=1e-5)
        product = (x * weights[:, None]).mean(axis=(2, 3))
        np.testing.assert_allclose(product, pooled[stage][:, :, 0, 0].numpy(), rtol=1e-4, atol=1e-7)
        assert relative(weights).mean() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("kind", ["mean", "softmax", "none"])
@pytest.mark.parametrize("given", [None, np.array([4, 0, 2])])
def test_the_mean_of_an_activation_is_the_logit_without_its_bias(kind: str, given: Any, images: Any) -> None:
    net, batch = network(attention=kind), prepare(images, 64, 32, CPU)
    plain = network(attention="none")
    plain.load_state_dict(net.state_dict())
    with torch.no_grad():
        logits, plain_logits = net(batch)[1], plain(batch)[1]
    for stage, maps in activation_maps(net, batch, given).items():
        of_stage = logits[f"stage{stage}"]
        bias = net.get_submodule(f"instance_layer{stage}").bias
        predicted = of_stage.argmax(dim=1).numpy()
        classes = predicted if given is None else given
        np.testing.assert_array_equal(maps.classes, classes)
        np.testing.assert_array_equal(maps.predicted, predicted)
        rows = np.arange(3), classes
        np.testing.assert_allclose(maps.probability, of_stage.softmax(dim=1).numpy()[rows], rtol=1e-5)
        for found, scores in (
            (maps.with_attention, of_stage),
            (maps.without_attention, plain_logits[f"stage{stage}"]),
        ):
            expected = (scores - bias).detach().numpy()[rows]
            if found is not None:
                np.testing.assert_allclose(found.mean(axis=(1, 2)), expected, rtol=1e-3, atol=1e-4)
        assert (maps.with_attention is None) == (kind == "none")


def test_a_single_image_and_position_by_hand(images: Any) -> None:
    net, batch = network(), prepare(images[:1], 64, 32, CPU)
    maps = activation_maps(net, batch, np.array([3]))[2]
    x, attention = net.stage_maps(batch)[1], attention_maps(net, batch)[2]
    with torch.no_grad():
        for row, column in ((0, 0), (5, 2)):
            vector = x[:, :, row : row + 1, column : column + 1]
            reduced = net.get_submodule("local_conv_layer2")(vector).flatten(1)
            row_of_class = net.state_dict()["instance_layer2.weight"][3]
            score = row_of_class @ reduced[0]
            assert maps.without_attention[0, row, column] == pytest.approx(score.item(), rel=1e-3, abs=1e-5)
            weighted = score.item() * attention[0, row, column]
            assert maps.with_attention is not None
            assert maps.with_attention[0, row, column] == pytest.approx(weighted, rel=1e-3, abs=1e-7)


def test_overlays_for_tensorboard(images: Any) -> None:
    net = network().train()
    found = attention_overlays(net, images, 64, 32)
    assert list(found) == ["attention/images", *(f"attention/stage{n}" for n in (1, 2, 3))]
    assert all(image.shape == (40, 60, 3) and image.dtype == np.uint8 for image in found.values())
    np.testing.assert_array_equal(found["attention/images"][:, 20:40], images[1])
    assert net.training, "its mode is as it was"
    weights = attention_maps(net, prepare(images, 64, 32, CPU))[3]
    expected = overlay(images[2], relative(weights)[2], *limits(weights))
    np.testing.assert_array_equal(found["attention/stage3"][:, 40:], expected)


@pytest.mark.parametrize("more", [{"attention": "none"}, {"deep_supervision": False}])
def test_without_attention_there_are_only_the_images(more: dict[str, Any], images: Any) -> None:
    assert not has_attention(network(**more))
    assert list(attention_overlays(network(**more), images, 40, 20)) == ["attention/images"]


def test_images_as_the_network_takes_them(images: Any) -> None:
    batch = prepare(images, 40, 20, CPU)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(batch.permute(0, 2, 3, 1), (images / 255 - mean) / std, atol=1e-5)


def test_an_overlays_colours() -> None:
    grain = np.full((4, 4, 3), 100, np.uint8)
    dark, bright = (overlay(grain, np.full((2, 2), v, np.float32), 0, 1)[0, 0].astype(int) for v in (0, 1))
    assert bright.sum() > dark.sum() + 200
    np.testing.assert_array_equal(evidence(grain, np.zeros((2, 2), np.float32), 1.0), grey(grain, 0.3))
    red, blue = (evidence(grain, np.full((2, 2), v, np.float32), 2.0)[0, 0].astype(int) for v in (2, -2))
    assert red[0] > red[2] + 50 and blue[2] > blue[0] + 50
    np.testing.assert_allclose(red, 0.85 * FOR + 0.15 * grey(grain, 0.3)[0, 0], atol=1)
