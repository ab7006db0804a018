"""Draws one walking person, seen from any side, as an antialiased figure on a transparent image."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from sa_study.data.sample.body import CANVAS, SUPERSAMPLING, Body, Pose
from sa_study.data.sample.people import Colour, Person


def draw_figure(person: Person, pose: Pose) -> Image.Image:
    """Draws a person.

    Args:
        person: Who.
        pose: From where, at which moment, and where in the picture.

    Returns:
        An RGBA image of 64×128 pixels, transparent around the figure.
    """
    body = Body(person, pose)
    canvas = Image.new("RGBA", CANVAS)
    pen = ImageDraw.Draw(canvas)
    for part in sorted(body.parts(), key=lambda part: part.depth + part.lift):
        if isinstance(part.fabric, Image.Image):
            mask = Image.new("L", canvas.size)
            ImageDraw.Draw(mask).polygon(part.outline, fill=255)
            canvas.paste(part.fabric, mask=mask)
            pen.polygon(part.outline, outline=_scaled(person.top, 0.55))
        else:
            lit = min(1.06, max(0.80, 1.0 + 1.2 * part.depth))
            pen.polygon(
                part.outline, fill=_scaled(part.fabric, lit), outline=_scaled(part.fabric, 0.72 * lit)
            )
    # Premultiplied, so that the transparent surroundings lend the silhouette no dark rim.
    small = canvas.convert("RGBa").reduce(SUPERSAMPLING).convert("RGBA")
    return _rounded(small, pose.light)


def _rounded(figure: Image.Image, light: float) -> Image.Image:
    """Shades a flat figure as if it were round and lit from one side."""
    soft = np.asarray(figure.getchannel("A").filter(ImageFilter.GaussianBlur(2.2)), np.float32) / 255
    slope = np.zeros_like(soft)
    slope[:, 2:-2] = soft[:, 4:] - soft[:, :-4]
    shade = 0.70 + 0.34 * soft - 0.42 * light * slope
    pixels = np.asarray(figure).astype(np.float32)
    pixels[..., :3] *= shade[..., None]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8), "RGBA")


def _scaled(colour: Colour, factor: float) -> tuple[int, int, int, int]:
    red, green, blue = (min(255, round(channel * factor)) for channel in colour)
    return red, green, blue, 255
