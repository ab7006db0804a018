"""The patterned cloth of a top, woven at the size and position at which the figure wears it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from PIL import Image, ImageDraw

from sa_study.data.sample.people import Colour, Person

_PERIOD = 0.09  # of a body height: 10 pixels of a 128-pixel picture, 5 at half that size

Box = tuple[float, float, float, float]


def weave(
    person: Person, size: tuple[int, int], centre: float, crown: float, unit: float, yaw: float
) -> Colour | Image.Image:
    """Returns the cloth of a person's top.

    Args:
        person: Whose top.
        size: Width and height of the canvas in pixels.
        centre: Horizontal position of the body on it in pixels.
        crown: Vertical position of the top of the head in pixels.
        unit: Body height in pixels.
        yaw: Turn of the body in radians; vertical patterns move with it, and a logo is on the chest only.

    Returns:
        A colour where the cloth is plain, else an RGB image of `size` that is right where the body is.
    """
    if person.pattern == "plain":
        return person.top
    cloth = Image.new("RGB", size, person.top)
    pen = ImageDraw.Draw(cloth)
    shoulder, step = crown + 0.16 * unit, _PERIOD * unit
    middle = centre + 0.35 * step * math.sin(yaw)
    if person.pattern == "dots":
        for x, y in _lattice(middle, shoulder, step):
            pen.ellipse(
                (x - 0.27 * step, y - 0.27 * step, x + 0.27 * step, y + 0.27 * step), fill=person.accent
            )
        return cloth
    for box in _boxes(person.pattern, middle, shoulder, unit, yaw):
        pen.rectangle(box, fill=person.accent)
    if person.pattern == "checks":
        return Image.blend(cloth, _crossed(person, size, middle, shoulder, unit), 0.5)
    return cloth


def _boxes(pattern: str, middle: float, shoulder: float, unit: float, yaw: float) -> Iterator[Box]:
    step, far = _PERIOD * unit, 0.3 * unit
    if pattern == "hoops":
        for row in range(8):
            y = shoulder + (row + 0.5) * step
            yield middle - far, y, middle + far, y + 0.5 * step
    elif pattern in ("stripes", "checks"):
        for column in range(-4, 5):
            x = middle + column * step
            yield x - 0.25 * step, shoulder, x + 0.25 * step, shoulder + 0.6 * unit
    elif pattern == "yoke":
        yield middle - far, shoulder - 0.1 * unit, middle + far, shoulder + 0.135 * unit
    elif pattern == "logo" and math.cos(yaw) > 0.2:
        x, half = middle + 0.06 * unit * math.sin(yaw), 0.055 * unit * math.cos(yaw)
        yield x - half, shoulder + 0.075 * unit, x + half, shoulder + 0.17 * unit


def _crossed(
    person: Person, size: tuple[int, int], middle: float, shoulder: float, unit: float
) -> Image.Image:
    """The horizontal half of a check."""
    cloth = Image.new("RGB", size, person.top)
    pen = ImageDraw.Draw(cloth)
    for box in _boxes("hoops", middle, shoulder, unit, 0.0):
        pen.rectangle(box, fill=person.accent)
    return cloth


def _lattice(middle: float, shoulder: float, step: float) -> Iterator[tuple[float, float]]:
    for row in range(8):
        for column in range(-4, 5):
            yield middle + (column + 0.5 * (row % 2)) * step, shoulder + (row + 0.6) * step
