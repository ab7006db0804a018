"""Things between the camera and the person."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from sa_study.data.sample.body import CANVAS, SUPERSAMPLING
from sa_study.data.sample.scenes import shaded

_WIDE, _HIGH = CANVAS
Pen = ImageDraw.ImageDraw


def draw_occluder(kind: str, rng: np.random.Generator) -> Image.Image:
    """Draws something that hides a part of a picture.

    Args:
        kind: A key of `OCCLUDERS`.
        rng: Decides its place and size.

    Returns:
        An RGBA image of 64×128 pixels, transparent elsewhere.
    """
    canvas = Image.new("RGBA", CANVAS)
    OCCLUDERS[kind](ImageDraw.Draw(canvas), rng)
    return canvas.convert("RGBa").reduce(SUPERSAMPLING).convert("RGBA")


def _post(pen: Pen, rng: np.random.Generator) -> None:
    x, half = rng.uniform(0.15, 0.85) * _WIDE, rng.uniform(9, 17)
    pen.rectangle((x - half, 0, x + half, _HIGH), fill=(88, 92, 96))
    pen.rectangle((x - half, 0, x - 0.4 * half, _HIGH), fill=(128, 132, 136))


def _bush(pen: Pen, rng: np.random.Generator) -> None:
    top = rng.uniform(0.62, 0.82) * _HIGH
    for x in range(-20, _WIDE + 20, 16):
        for y in np.arange(top, _HIGH + 20, 18):
            cx, cy, radius = x + rng.normal(0, 8), y + rng.normal(0, 8), rng.uniform(9, 16)
            leaf = shaded((74, 108, 60), rng.uniform(0.7, 1.25))
            pen.ellipse((cx - radius, cy - radius, cx + radius, cy + radius), fill=leaf)


def _railing(pen: Pen, rng: np.random.Generator) -> None:
    top = rng.uniform(0.55, 0.72) * _HIGH
    for y in (top, top + 70):
        pen.rectangle((0, y, _WIDE, y + 9), fill=(176, 178, 180))
    for x in np.arange(rng.uniform(0, 26), _WIDE, 30):
        pen.rectangle((x, top, x + 6, _HIGH), fill=(158, 160, 164))


def _bonnet(pen: Pen, rng: np.random.Generator) -> None:
    top, left = rng.uniform(0.70, 0.85) * _HIGH, rng.uniform(-0.5, 0.3) * _WIDE
    colour = ((196, 198, 202), (62, 68, 82), (150, 54, 50))[rng.integers(3)]
    pen.rounded_rectangle((left, top, left + 1.3 * _WIDE, _HIGH + 60), 36, fill=colour)
    pen.rounded_rectangle(
        (left + 12, top + 8, left + 1.3 * _WIDE - 12, top + 24), 8, fill=shaded(colour, 1.25)
    )


def _crate(pen: Pen, rng: np.random.Generator) -> None:
    side, low = rng.uniform(0.45, 0.65) * _WIDE, rng.uniform(0.80, 0.92) * _HIGH
    left = rng.uniform(-0.2, 0.75) * _WIDE
    for level in range(3):
        top = low + (level - 1) * 46
        pen.rectangle((left, top, left + side, top + 44), fill=(158, 116, 72), outline=(104, 74, 46), width=4)
        pen.line((left, top + 22, left + side, top + 22), fill=(124, 90, 56), width=4)


OCCLUDERS: dict[str, Callable[[Pen, np.random.Generator], None]] = {
    "post": _post,
    "bush": _bush,
    "railing": _railing,
    "bonnet": _bonnet,
    "crate": _crate,
}
