"""Attention and class-activation maps of the stages 1-3 over their images, as in the paper's Figure 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from numpy.typing import NDArray
from torch import Tensor, nn

from sa_study.data.batches import Normaliser
from sa_study.model.attention import attention_weights
from sa_study.model.network import SUPERVISED_STAGES, SANet
from sa_study.report.pictures.figure import DPI, MATCH, WRONG, Cell, Picture, styled
from sa_study.report.pictures.overlays import COLOURS, Pixels, evidence, overlay

Maps = NDArray[np.float32]

_GAP, _LABELS, _SCALE = 0.06, 0.52, 0.5  # inches
_CLOSE, _STAGE_GAP, _BLOCK_GAP = 0.03, 0.1, 0.22  # inches
_ATTENTION = {
    "mean": "the mean over the channels, divided by its sum over the positions (the published code's)",
    "softmax": "the softmax over the positions of the sum over the channels (the paper's)",
}


@dataclass(frozen=True, eq=False)
class Activation:
    """Class-activation maps of one stage's classifier.

    With x the stage's map (C channels), a the attention weights, R the 1×1 reduction to F channels and W_c
    the linear classifier's row of class c, the maps are W_c·R·(x_p·a_p) and W_c·R·x_p at every position p.
    The mean of the first over the positions is the logit of c that the network computes, less its bias; that
    of the second is what the same weights would give without attention. The network was trained with it, so
    the second shows what attention takes away and adds, not what a network trained without it would see.

    Attributes:
        classes: The class c of each image, int64, shape (N,).
        predicted: The class that the stage's classifier scores highest, int64, shape (N,).
        probability: Softmax share of class c by the stage's classifier, shape (N,).
        without_attention: float32, shape (N, h, w).
        with_attention: float32, shape (N, h, w); None in a network without attention.
    """

    classes: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probability: NDArray[np.float32]
    without_attention: Maps
    with_attention: Maps | None


def has_attention(net: SANet) -> bool:
    """Whether the network attends to its stages 1-3: only deep supervision uses these."""
    return net.deep_supervision and net.attention != "none"


def prepare(images: Pixels, height: int, width: int, device: torch.device) -> Tensor:
    """Stored images, uint8 N×h×w×3, as the network takes them: float32 N×3×height×width."""
    batch = Normaliser(height, width, device)(torch.from_numpy(np.array(images)).to(device))
    return batch.contiguous()


@torch.inference_mode()
def attention_maps(net: SANet, images: Tensor) -> dict[int, Maps]:
    """The spatial attention weights that a network with attention multiplies its stages by.

    Args:
        net: The network, on any device; it is left in evaluation mode, as by `activation_maps`.
        images: What `prepare` gives.

    Returns:
        By stage the weights, shape (N, h, w); each image's add up to 1.
    """
    net.eval()
    stages = zip(SUPERVISED_STAGES, net.stage_maps(images), strict=False)  # stage 4 has no attention
    return {stage: _array(attention_weights(x, net.attention)[:, 0]) for stage, x in stages}


@torch.inference_mode()
def activation_maps(
    net: SANet, images: Tensor, classes: NDArray[np.int64] | None = None
) -> dict[int, Activation]:
    """By stage the class-activation maps of a network with deep supervision.

    Args:
        net: The network.
        images: What `prepare` gives.
        classes: The class of each image's maps; None for the class that each stage predicts.
    """
    net.eval()
    stages = zip(SUPERVISED_STAGES, net.stage_maps(images), strict=False)
    return {stage: _class_activation(net, stage, x, classes) for stage, x in stages}


def _class_activation(net: SANet, stage: int, x: Tensor, given: NDArray[np.int64] | None) -> Activation:
    reduction, classifier = (net.get_submodule(f"{name}_layer{stage}") for name in ("local_conv", "instance"))
    assert isinstance(reduction, nn.Conv2d) and isinstance(classifier, nn.Linear)
    attention = attention_weights(x, net.attention) if net.attention != "none" else None
    attended = x if attention is None else x * attention
    logits = classifier(reduction(attended.mean(dim=(2, 3), keepdim=True)).flatten(1))
    predicted = logits.argmax(dim=1)
    classes = predicted if given is None else torch.from_numpy(given).to(x.device)
    # Both layers are linear: their product is one weight a channel, applied at every position.
    weights = classifier.weight[classes] @ reduction.weight.flatten(1)
    plain, weighted = (torch.einsum("nc,nchw->nhw", weights, some) for some in (x, attended))
    return Activation(
        classes=classes.cpu().numpy(),
        predicted=predicted.cpu().numpy(),
        probability=_array(logits.softmax(dim=1).gather(1, classes[:, None])[:, 0]),
        without_attention=_array(plain),
        with_attention=None if attention is None else _array(weighted),
    )


def _array(values: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = values.float().cpu().numpy()
    return array


def attention_overlays(net: SANet, images: Pixels, height: int, width: int) -> dict[str, Pixels]:
    """Attention maps over images, as arrays to be written to TensorBoard.

    Args:
        net: The network, on any device; its mode is left as it is.
        images: Stored images, N×h×w×3 RGB, at least one.
        height: Height of the network's input.
        width: Width of the network's input.

    Returns:
        Pictures by name: `attention/images`, the images side by side, and `attention/stage1` …
        `attention/stage3`, the same under their weights, each stage from its least to its greatest weight.
        The images alone where the network attends to no stage.
    """
    rows = {"images": images}
    if has_attention(net):
        training = net.training
        maps = attention_maps(net, prepare(images, height, width, next(net.parameters()).device))
        net.train(training)
        rows |= {f"stage{stage}": _attended(images, weights) for stage, weights in maps.items()}
    return {f"attention/{name}": np.concatenate(list(row), axis=1) for name, row in rows.items()}


def relative(weights: Maps) -> Maps:
    """Attention weights as multiples of the uniform weight, 1 / number of positions."""
    return weights * np.float32(weights.shape[1] * weights.shape[2])


def limits(weights: Maps) -> tuple[float, float]:
    """The range of a stage's colours, in multiples of the uniform weight, the outermost half per cent cut."""
    low, high = np.percentile(relative(weights), (0.5, 99.5))
    return float(low), float(high)


def _attended(images: Pixels, weights: Maps) -> Pixels:
    """Images under the attention weights of a stage."""
    low, high = limits(weights)
    pairs = zip(images, relative(weights), strict=True)
    return np.stack([overlay(image, some, low, high) for image, some in pairs])


@styled
def draw_attention(images: Pixels, maps: dict[int, Maps], kind: str, where: str) -> Picture:
    """Draws images in columns: a row of the images as they are, and a row for each stage.

    `maps` are the weights that `attention_maps` gives for a network whose attention is of this `kind`.
    """
    caption = (
        f"The weights that the network itself multiplies each stage's map by: {_ATTENTION[kind]}. They add "
        "up to 1 in each image. Colours: weight times number of positions, so that 1 is what every position "
        "would have if all had the same; each stage has its own scale, over the same images. Bilinear "
        "interpolation to the image's size."
    )
    picture = Picture("Spatial attention of the stages 1–3", where, caption)
    margins = {"left": _LABELS, "right": _SCALE, "above": 0.0, "below": 0.0, "between": _GAP}
    picture.add_grid(1 + len(maps), [_GAP] * (len(images) - 1), images, largest=0.75, **margins)
    _draw_row(picture, 0, images, "image")
    for row, (stage, weights) in enumerate(maps.items(), 1):
        label = f"stage {stage}\n{weights.shape[1]}×{weights.shape[2]}\npositions"
        last = _draw_row(picture, row, _attended(images, weights), label)
        beside = last.add_axes(1.08, 0.02, 0.1, 0.96)
        bar = picture.figure.colorbar(ScalarMappable(Normalize(*limits(weights)), COLOURS), cax=beside)
        bar.ax.tick_params(labelsize=6, length=2.5)
        bar.ax.grid(False)
        bar.outline.set_linewidth(0.6)
    return picture


def _draw_row(picture: Picture, row: int, images: Pixels, label: str) -> Cell:
    """Draws a row of images with a label left of it; returns the last cell."""
    cells = [picture.image(row, column, pixels) for column, pixels in enumerate(images)]
    cells[0].write(label, (0, 0.5), (-72 * _LABELS, 0), va="center", fontsize=7)
    return cells[-1]


@styled
def draw_activation(
    images: Pixels,
    activations: dict[int, Activation],
    identities: Sequence[int] | None,
    true_classes: bool,
    where: str,
) -> Picture:
    """Draws two images a row: the image, and for each stage its maps without and with attention.

    Args:
        images: N×h×w×3.
        activations: Maps by stage, as `activation_maps` gives them.
        identities: Identity of each class, or None if unknown.
        true_classes: Whether the maps are of the images' own classes, not of the predicted ones.
        where: The network and the images.
    """
    attended = next(iter(activations.values())).with_attention is not None
    kinds = ("without", "with") if attended else ("",)
    title = "Class-activation maps" + (" without and with spatial attention" if attended else "")
    picture = Picture(title, where, _activation_caption(identities is not None, true_classes, attended))
    block = [_STAGE_GAP, *[_CLOSE] * (len(kinds) - 1)] * len(activations)
    picture.add_grid(-(-len(images) // 2), [*block, _BLOCK_GAP, *block], images, largest=0.55, above=0.3)
    for index, pixels in enumerate(images):
        row, first = index // 2, index % 2 * (len(block) + 1)
        picture.image(row, first, pixels)
        for place, (stage, activation) in enumerate(activations.items()):
            left = first + 1 + place * len(kinds)
            maps = (activation.without_attention, activation.with_attention)[: len(kinds)]
            for column, (kind, some) in enumerate(zip(kinds, maps, strict=True)):
                assert some is not None
                shown = evidence(pixels, some[index], float(np.abs(some[index]).max()))
                cell = picture.image(row, left + column, shown, head=kind if row == 0 else "")
                if column == 0:
                    head = f"stage {stage}" if row == 0 else ""
                    classified = _classified(activation, index, identities, true_classes)
                    _label_stage(cell, len(kinds), head, *classified)
    return picture


def _label_stage(first: Cell, cells: int, head: str, foot: str, colour: str) -> None:
    """Writes above and below the cells of a stage, centred over them."""
    middle = (cells + (cells - 1) * _CLOSE * DPI / first.box.width) / 2
    first.write(head, (middle, 1), (0, 14), ha="center", fontsize=6.5, weight="bold")
    first.write(foot, (middle, 0), (0, -3), ha="center", va="top", fontsize=5.5, color=colour)


def _classified(
    activation: Activation, index: int, identities: Sequence[int] | None, true_classes: bool
) -> tuple[str, str]:
    """A map's class with the classifier's probability of it, and the colour of this text."""
    number = int(activation.classes[index])
    name = f"{identities[number]:04}" if identities is not None else f"class {number}"
    text = f"{name}  {100 * activation.probability[index]:.0f} %"
    if not true_classes:
        return text, "black"
    right = activation.predicted[index] == number
    return f"{text} {'✓' if right else '✗'}", MATCH if right else WRONG


def _activation_caption(named: bool, true_classes: bool, attended: bool) -> str:
    whose = (
        "the image's own identity (below each, with the classifier's softmax share of it; ✓ where no "
        "class has a greater one)"
    )
    if not true_classes:
        which = "identity" if named else "number (the file does not name its classes)"
        whose = (
            "the one that the stage's classifier scores highest, because it knows none of these images' "
            f"identities (below each: its {which} and softmax share)"
        )
    layers = "stage's 1×1 reduction and linear classifier, applied at every position"
    mean = "the mean over the positions is the class's logit less its bias"
    maps = (
        f"With: the {layers} of the map times its attention weights; {mean}. Without: the same layers on the "
        "plain map of the same network, which was trained with attention"
    )
    if not attended:
        maps = f"The {layers}; {mean}. This network has no spatial attention, so there is nothing to compare"
    return (
        f"{maps}. Class: {whose}. Red speaks for the class, blue against it, clear is 0; each map is scaled "
        "by its own greatest absolute value. Bilinear interpolation to the image's size."
    )
