"""Class-activation maps with and without spatial attention side by side, as in the paper's Figure 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sa_study.report.pictures.lists import fitted
from sa_study.report.pictures.maps import Activation
from sa_study.report.pictures.overlay import evidence
from sa_study.report.pictures.sheet import MATCH, WIDTH, WRONG, Box, Caption, Sheet

_BLOCKS = 2
"""Images a row."""

_GAP, _BETWEEN_STAGES, _BETWEEN_BLOCKS = 6, 14, 44
_HEAD, _BELOW, _BETWEEN = 46, 24, 18


def draw(
    images: NDArray[np.uint8],
    activations: dict[int, Activation],
    names: Sequence[int] | None,
    true_classes: bool,
    where: str,
) -> Sheet:
    """Two images a row: the image, and for each stage its maps without and with attention.

    Args:
        images: uint8 N×h×w×3.
        activations: Maps by stage, as `activation_maps` gives them.
        names: Identity of each class, or None where the file does not tell.
        true_classes: Whether the maps are of the images' own classes, not of the predicted ones.
        where: What network and images these are.
    """
    attended = next(iter(activations.values())).with_attention is not None
    shown = 2 if attended else 1
    columns = 1 + shown * len(activations)
    stages_gap = len(activations) * _BETWEEN_STAGES
    room = (WIDTH - 2 * 24 - (_BLOCKS - 1) * _BETWEEN_BLOCKS) // _BLOCKS - stages_gap - columns * _GAP
    cell = fitted(Box(0, 0, min(110, room // columns), 1), images)
    pitch = cell.height + _BELOW + _BETWEEN
    rows = -(-len(images) // _BLOCKS)
    title = "Class-activation maps" + (" without and with spatial attention" if attended else "")
    caption = Caption(title, where, _caption(names is not None, true_classes, attended))
    sheet = Sheet(_HEAD + pitch * rows - _BETWEEN, caption)
    width = columns * (cell.width + _GAP) + stages_gap + _BETWEEN_BLOCKS
    for index, pixels in enumerate(images):
        row, block = divmod(index, _BLOCKS)
        box = Box(sheet.left + block * width, sheet.top + _HEAD + row * pitch, cell.width, cell.height)
        sheet.image(pixels, box)
        for stage, activation in activations.items():
            left = box.right_of(1 + shown * (stage - 1), _GAP, stage * _BETWEEN_STAGES)
            _draw_stage(sheet, left, pixels, activation, index)
            _label(sheet, left, shown, activation, index, names, true_classes)
            if row == 0:
                _head(sheet, left, shown, stage)
    return sheet


def _draw_stage(
    sheet: Sheet, box: Box, pixels: NDArray[np.uint8], activation: Activation, index: int
) -> None:
    for place, maps in enumerate((activation.without_attention, activation.with_attention)):
        if maps is not None:
            some = maps[index]
            sheet.image(evidence(pixels, some, float(np.abs(some).max())), box.right_of(place, _GAP))


def _head(sheet: Sheet, box: Box, shown: int, stage: int) -> None:
    middle = box.left + (shown * box.width + (shown - 1) * _GAP) / 2
    sheet.text(middle, box.top - _HEAD, f"stage {stage}", 6.5, weight="bold")
    for place, text in enumerate(("without", "with")[:shown] if shown > 1 else ()):
        sheet.text(box.right_of(place, _GAP).middle, box.top - 6, text, 5.5, along="bottom")


def _label(
    sheet: Sheet,
    box: Box,
    shown: int,
    activation: Activation,
    index: int,
    names: Sequence[int] | None,
    true_classes: bool,
) -> None:
    """Whose map it is, and how sure the classifier is of it."""
    middle = box.left + (shown * box.width + (shown - 1) * _GAP) / 2
    number = int(activation.classes[index])
    name = f"{names[number]:04}" if names is not None else f"class {number}"
    text, colour = f"{name}  {100 * activation.probability[index]:.0f} %", "black"
    if true_classes:
        right = activation.predicted[index] == number
        text, colour = f"{text} {'✓' if right else '✗'}", MATCH if right else WRONG
    sheet.text(middle, box.bottom + 5, text, 5.5, colour=colour)


def _caption(named: bool, true_classes: bool, attended: bool) -> str:
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
