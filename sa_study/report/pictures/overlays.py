"""Attention and class-activation maps laid over their images, the latter as in the paper's Figure 1."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from numpy.typing import NDArray
from PIL import Image

from sa_study.model.network import SANet
from sa_study.report.pictures.figure import DPI, MATCH, WRONG, Caption, Picture, grey, styled
from sa_study.report.pictures.maps import Activation, Maps, attention_maps, has_attention, prepare

COLOURS = "inferno"
"""Brightness grows with the value throughout, so that it is read without colour too."""

OPACITY = 0.6

FOR, AGAINST = np.array([202, 0, 32]), np.array([5, 95, 190])
"""Red and blue, which also those tell apart who confuse red and green."""

_STRONGEST = 0.85

_GAP, _LABELS, _SCALE = 0.06, 0.52, 0.5
_CLOSE, _STAGE_GAP, _BLOCK_GAP = 0.03, 0.1, 0.22
"""Distances between images, panels and labels, in inches."""


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


@styled
def draw_attention(images: NDArray[np.uint8], maps: dict[int, Maps], kind: str, where: str) -> Picture:
    """Draws images in columns; a row for them as they are, and one for each stage.

    Args:
        images: uint8 N×h×w×3.
        maps: Weights by stage, as `attention_maps` gives them.
        kind: `mean` or `softmax`.
        where: The network and the images.
    """
    picture = Picture(Caption("Spatial attention of the stages 1–3", where, _attention_caption(kind)))
    gaps = [_GAP] * (len(images) - 1)
    room = {"left": _LABELS, "right": _SCALE, "head": 0.0, "below": 0.0, "between": _GAP}
    grid = picture.image_grid(1 + len(maps), gaps, images, largest=0.75, **room)
    _label_row([grid.image(0, column, pixels) for column, pixels in enumerate(images)], "image")
    for row, (stage, weights) in enumerate(maps.items(), 1):
        low, high = limits(weights)
        pairs = enumerate(zip(images, relative(weights), strict=True))
        cells = [grid.image(row, column, overlay(image, some, low, high)) for column, (image, some) in pairs]
        _label_row(cells, f"stage {stage}\n{weights.shape[1]}×{weights.shape[2]}\npositions")
        scale = ScalarMappable(Normalize(low, high), COLOURS)
        # Placed beside the last image, which keeps its size.
        beside = cells[-1].inset_axes((1.08, 0.02, 0.1, 0.96))
        bar = picture.figure.colorbar(scale, cax=beside)
        bar.ax.tick_params(labelsize=6, length=2.5)
        bar.ax.grid(False)
        bar.outline.set_linewidth(0.6)
    return picture


def _label_row(cells: Sequence[Axes], text: str) -> None:
    cells[0].set_ylabel(text, rotation=0, ha="left", va="center", labelpad=72 * _LABELS)


@styled
def draw_activation(
    images: NDArray[np.uint8],
    activations: dict[int, Activation],
    identities: Sequence[int] | None,
    true_classes: bool,
    where: str,
) -> Picture:
    """Draws two images a row: the image, and for each stage its maps without and with attention.

    Args:
        images: uint8 N×h×w×3.
        activations: Maps by stage, as `activation_maps` gives them.
        identities: Identity of each class, or None where the file does not tell.
        true_classes: Whether the maps are of the images' own classes, not of the predicted ones.
        where: The network and the images.
    """
    attended = next(iter(activations.values())).with_attention is not None
    kinds = ("without", "with") if attended else ("",)
    title = "Class-activation maps" + (" without and with spatial attention" if attended else "")
    text = _activation_caption(identities is not None, true_classes, attended)
    picture = Picture(Caption(title, where, text))
    of_stage = [_STAGE_GAP, *[_CLOSE] * (len(kinds) - 1)]
    block = of_stage * len(activations)
    gaps = [*block, _BLOCK_GAP, *block]
    grid = picture.image_grid(-(-len(images) // 2), gaps, images, largest=0.55, head=0.3)
    columns = len(block) + 1
    for index, pixels in enumerate(images):
        row, first = index // 2, index % 2 * columns
        grid.image(row, first, pixels)
        for place, (stage, activation) in enumerate(activations.items()):
            left = first + 1 + place * len(kinds)
            maps = (activation.without_attention, activation.with_attention)
            for column, some in enumerate(some for some in maps if some is not None):
                shown = evidence(pixels, some[index], float(np.abs(some[index]).max()))
                cell = grid.image(row, left + column, shown, head=kinds[column] if row == 0 else "")
                if column == 0:
                    _label_stage(
                        cell,
                        len(kinds),
                        f"stage {stage}" if row == 0 else "",
                        *(_classified(activation, index, identities, true_classes)),
                    )
    return picture


def _label_stage(first: Axes, cells: int, head: str, foot: str, colour: str) -> None:
    """Writes above and below the cells of a stage, centred over them."""
    middle = (cells + (cells - 1) * _CLOSE * DPI / first.bbox.width) / 2
    first.annotate(
        head, (middle, 1), (0, 14), "axes fraction", "offset points", ha="center", fontsize=6.5, weight="bold"
    )
    first.annotate(
        foot,
        (middle, 0),
        (0, -3),
        "axes fraction",
        "offset points",
        ha="center",
        va="top",
        fontsize=5.5,
        color=colour,
    )


def _classified(
    activation: Activation, index: int, identities: Sequence[int] | None, true_classes: bool
) -> tuple[str, str]:
    """Whose map it is and how sure the classifier is of it, and the colour of that."""
    number = int(activation.classes[index])
    name = f"{identities[number]:04}" if identities is not None else f"class {number}"
    text = f"{name}  {100 * activation.probability[index]:.0f} %"
    if not true_classes:
        return text, "black"
    right = activation.predicted[index] == number
    return f"{text} {'✓' if right else '✗'}", MATCH if right else WRONG


def overlay(
    pixels: NDArray[np.uint8], values: NDArray[np.float32], low: float, high: float
) -> NDArray[np.uint8]:
    """Colours an image by a map.

    Args:
        pixels: The image, uint8 H×W×3; its brightness stays visible.
        values: float32 h×w; brought to the image's size by bilinear interpolation.
        low: What the darkest colour stands for.
        high: What the brightest stands for.

    Returns:
        uint8 H×W×3.
    """
    share = np.clip((_enlarged(values, pixels) - low) / (high - low or 1.0), 0, 1)
    colours = 255 * matplotlib.colormaps[COLOURS](share)[:, :, :3]
    mixed = OPACITY * colours + (1 - OPACITY) * grey(pixels, 0.0)
    return _bytes(mixed)


def evidence(pixels: NDArray[np.uint8], values: NDArray[np.float32], largest: float) -> NDArray[np.uint8]:
    """Colours an image by what speaks for something (red) and against it (blue); 0 stays clear.

    Args:
        pixels: The image, uint8 H×W×3; its brightness stays visible.
        values: float32 h×w; brought to the image's size by bilinear interpolation.
        largest: The absolute value of the strongest colours.

    Returns:
        uint8 H×W×3.
    """
    share = np.clip(_enlarged(values, pixels) / (largest or 1.0), -1, 1)[:, :, None]
    colours = np.where(share > 0, FOR, AGAINST)
    opacity = _STRONGEST * np.abs(share)
    return _bytes(opacity * colours + (1 - opacity) * grey(pixels, 0.3))


def _bytes(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    rounded: NDArray[np.uint8] = np.rint(values).astype(np.uint8)
    return rounded


def _enlarged(values: NDArray[np.float32], pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    size = pixels.shape[1], pixels.shape[0]
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))


def _attention_caption(kind: str) -> str:
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


def _activation_caption(named: bool, true_classes: bool, attended: bool) -> str:
    if true_classes:
        whose = (
            "the image's own identity (below each, with the classifier's softmax share of it; ✓ where no "
            "class has a greater one)"
        )
    else:
        which = "identity" if named else "number (the file does not name its classes)"
        whose = (
            "the one that the stage's classifier scores highest, because it knows none of these images' "
            f"identities (below each: its {which} and softmax share)"
        )
    layers = "the stage's 1×1 reduction and linear classifier, applied at every position"
    mean = "the mean over the positions is the class's logit less its bias"
    if attended:
        maps = (
            f"With: {layers} of the map times its attention weights; {mean}. Without: the same layers on the "
            "plain map of the same network, which was trained with attention"
        )
    else:
        maps = (
            f"{layers[0].upper()}{layers[1:]}; {mean}. This network has no spatial attention, so there is "
            "nothing to compare"
        )
    return (
        f"{maps}. Class: {whose}. Red speaks for the class, blue against it, clear is 0; each map is scaled "
        "by its own greatest absolute value. Bilinear interpolation to the image's size."
    )
