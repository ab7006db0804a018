"""Attention maps of the stages 1-3 over the images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sa_study.model.network import SANet
from sa_study.report.pictures.lists import fitted
from sa_study.report.pictures.maps import Maps, attention_maps, has_attention, prepare
from sa_study.report.pictures.overlay import colour_bar, overlay
from sa_study.report.pictures.sheet import WIDTH, Box, Caption, Sheet

_GAP, _LABEL, _BAR = 12, 104, 100


def attention_overlays(
    net: SANet, images: NDArray[np.uint8], size: tuple[int, int] | None = None
) -> list[tuple[str, NDArray[np.uint8]]]:
    """Attention maps over images, as arrays to be written to TensorBoard.

    Args:
        net: The network, on any device; it is left in the mode that it is in.
        images: Stored images, uint8 N×h×w×3 RGB, at least one.
        size: Height and width of the network's input; None for the images' own.

    Returns:
        Names and pictures, uint8 H×W×3: `attention/images`, the images side by side, and `attention/stage1` …
        `attention/stage3`, the same under their weights, each stage from its least to its greatest weight.
        The images alone where the network attends to no stage.
    """
    side_by_side = [("attention/images", np.concatenate(list(images), axis=1))]
    if not has_attention(net):
        return side_by_side
    device = next(net.parameters()).device
    height, width = size or images.shape[1:3]
    training = net.training
    maps = attention_maps(net, prepare(images, height, width, device))
    net.train(training)
    for stage, values in maps.items():
        low, high = limits(values)
        shown = [
            overlay(image, weights, low, high)
            for image, weights in zip(images, relative(values), strict=True)
        ]
        side_by_side.append((f"attention/stage{stage}", np.concatenate(shown, axis=1)))
    return side_by_side


def relative(weights: Maps) -> Maps:
    """Attention weights as multiples of the weight that all positions would have if all had the same."""
    return weights * np.float32(weights.shape[1] * weights.shape[2])


def limits(weights: Maps) -> tuple[float, float]:
    """What a stage's colours stand for, in multiples of equal weights, the outermost half per cent cut."""
    low, high = np.percentile(relative(weights), (0.5, 99.5))
    return float(low), float(high)


def draw(images: NDArray[np.uint8], maps: dict[int, Maps], kind: str, where: str) -> Sheet:
    """Images in columns; a row for them as they are, and one for each stage.

    Args:
        images: uint8 N×h×w×3.
        maps: Weights by stage, as `attention_maps` gives them.
        kind: `mean` or `softmax`.
        where: What network and images these are.
    """
    room = WIDTH - 2 * 24 - _LABEL - _BAR
    cell = fitted(Box(0, 0, min(150, (room - (len(images) - 1) * _GAP) // len(images)), 1), images)
    pitch = cell.height + _GAP
    caption = Caption("Spatial attention of the stages 1–3", where, _caption(kind))
    sheet = Sheet(pitch * (1 + len(maps)) - _GAP, caption)
    first = Box(sheet.left + _LABEL, sheet.top, cell.width, cell.height)
    _draw_row(sheet, first, ["image"], list(images))
    for row, (stage, weights) in enumerate(maps.items(), 1):
        low, high = limits(weights)
        pairs = zip(images, relative(weights), strict=True)
        names = [f"stage {stage}", f"{weights.shape[1]}×{weights.shape[2]}", "positions"]
        box = Box(first.left, sheet.top + row * pitch, cell.width, cell.height)
        _draw_row(sheet, box, names, [overlay(image, some, low, high) for image, some in pairs])
        beside = box.right_of(len(images), _GAP, 4)
        colour_bar(sheet.axes(beside.left, box.top + 4, 16, cell.height - 8), low, high)
    return sheet


def _draw_row(sheet: Sheet, box: Box, names: list[str], shown: list[NDArray[np.uint8]]) -> None:
    name, *more = names
    middle = box.top + box.height / 2
    sheet.text(sheet.left, middle - 14, name, 7, weight="bold", across="left")
    for line, text in enumerate(more):
        sheet.text(sheet.left, middle + 10 + 18 * line, text, 5.5, across="left")
    for column, pixels in enumerate(shown):
        sheet.image(pixels, box.right_of(column, _GAP))


def _caption(kind: str) -> str:
    formula = {
        "mean": "the mean over the channels, divided by its sum over the positions (the published code's)",
        "softmax": "the softmax over the positions of the sum over the channels (the paper's)",
    }[kind]
    return (
        f"The weights that the network itself multiplies each stage's map by: {formula}. They add up to 1 in "
        "each image. Colours: weight times number of positions, so that 1 is what every position would have "
        "if all had the same; each stage has its own scale, over the same images. Bilinear interpolation to "
        "the image's size."
    )
