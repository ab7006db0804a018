"""What stands behind and before the sample people: a painted panorama per camera, and obstacles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from sa_study.data.sample.body import CANVAS, SUPERSAMPLING
from sa_study.data.sample.people import Colour, shaded

PANORAMA = (384, 160)
"""Width and height in pixels of the strip from which a picture's background is cut."""

_WIDE, _HIGH = 768, 320  # painted at twice the size
_CANVAS_WIDTH, _CANVAS_HEIGHT = CANVAS
_HAZE = 0.5  # without it a network spends its first epochs on the walls
Pen = ImageDraw.ImageDraw


def paint_panorama(scene: str, rng: np.random.Generator) -> Image.Image:
    """Paints the background of a camera, a key of `SCENES`: an RGB image of `PANORAMA` size."""
    image = Image.new("RGB", (_WIDE, _HIGH))
    SCENES[scene](ImageDraw.Draw(image), rng)
    grain = rng.normal(0, 5, (_HIGH, _WIDE, 1))
    rough = (np.asarray(image, np.float32) + grain).clip(0, 255).astype(np.uint8)
    panorama = Image.fromarray(rough).filter(ImageFilter.GaussianBlur(1.2)).reduce(2)
    return Image.blend(panorama, Image.new("RGB", PANORAMA, (140, 140, 140)), _HAZE)


def _tiles(pen: Pen, horizon: int, line: Colour) -> None:
    """Paving that recedes towards the horizon."""
    for step in range(1, 9):
        y = horizon + (_HIGH - horizon) * (step / 8) ** 1.7
        pen.line((0, y, _WIDE, y), fill=line, width=2)
    for x in range(-_WIDE, 2 * _WIDE, 56):
        pen.line((_WIDE / 2 + (x - _WIDE / 2) * 0.6, horizon, x, _HIGH), fill=line, width=2)


def _tree(pen: Pen, rng: np.random.Generator, x: float, ground: float, leaf: Colour) -> None:
    pen.rectangle((x - 9, ground - 170, x + 9, ground), fill=(92, 74, 58))
    for _ in range(26):
        cx, cy, radius = x + rng.normal(0, 38), ground - 190 + rng.normal(0, 36), rng.uniform(14, 30)
        tone = rng.uniform(0.75, 1.2)
        pen.ellipse((cx - radius, cy - radius, cx + radius, cy + radius), fill=shaded(leaf, tone))


def _car(pen: Pen, x: float, ground: float, colour: Colour) -> None:
    low, roof = ground - 60, ground - 100
    windows = [(x + 30, low), (x + 60, roof), (x + 150, roof), (x + 185, low)]
    pen.polygon(windows, shaded(colour, 0.6))
    pen.rounded_rectangle((x, ground - 66, x + 220, ground - 14), 18, fill=colour)
    for wheel in (x + 30, x + 150):
        pen.ellipse((wheel, ground - 36, wheel + 40, ground + 4), fill=(30, 30, 34))
        pen.ellipse((wheel + 11, ground - 25, wheel + 29, ground - 7), fill=(150, 150, 154))


def _bicycle(pen: Pen, x: float, ground: float, colour: Colour) -> None:
    for wheel in (x, x + 70):
        pen.ellipse((wheel, ground - 52, wheel + 52, ground), outline=(44, 44, 48), width=4)
    hub, bar = ground - 26, ground - 66
    pen.line([(x + 26, hub), (x + 46, bar), (x + 84, bar), (x + 96, hub)], colour, 5)
    pen.line([(x + 46, bar), (x + 60, hub), (x + 84, bar)], colour, 5)
    pen.line([(x + 84, bar), (x + 82, ground - 80), (x + 94, ground - 82)], (44, 44, 48), 4)


def _plaza(pen: Pen, rng: np.random.Generator) -> None:
    pen.rectangle((0, 0, _WIDE, 150), fill=(172, 190, 204))
    for x in range(0, _WIDE, 96):
        top = int(rng.integers(20, 80))
        pen.rectangle((x, top, x + 95, 150), fill=shaded((186, 176, 164), rng.uniform(0.8, 1.1)))
        for window in range(x + 12, x + 84, 24):
            for y in range(top + 12, 138, 30):
                pen.rectangle((window, y, window + 12, y + 17), fill=(104, 120, 136))
    pen.rectangle((0, 150, _WIDE, _HIGH), fill=(190, 180, 166))
    _tiles(pen, 150, (166, 156, 142))
    for x in (120, 520):
        _tree(pen, rng, x, 176, (104, 130, 78))


def _shop(pen: Pen, rng: np.random.Generator) -> None:
    pen.rectangle((0, 0, _WIDE, 220), fill=(116, 92, 76))
    for x in range(10, _WIDE, 190):
        pen.rectangle((x, 40, x + 165, 196), fill=(224, 196, 138), outline=(60, 50, 44), width=6)
        for shelf in (84, 128, 172):
            pen.line((x + 8, shelf, x + 157, shelf), fill=(140, 104, 70), width=5)
            for item in range(x + 14, x + 148, 20):
                tall = int(rng.integers(12, 32))
                goods = (int(rng.integers(90, 220)), int(rng.integers(70, 180)), int(rng.integers(60, 160)))
                pen.rectangle((item, shelf - tall, item + 13, shelf - 3), fill=goods)
    for stripe in range(0, _WIDE, 48):
        pen.polygon([(stripe, 0), (stripe + 24, 0), (stripe + 18, 40), (stripe - 6, 40)], (178, 70, 58))
    pen.rectangle((0, 220, _WIDE, _HIGH), fill=(142, 128, 116))
    _tiles(pen, 220, (122, 108, 98))


def _lawn(pen: Pen, rng: np.random.Generator) -> None:
    pen.rectangle((0, 0, _WIDE, 130), fill=(160, 186, 176))
    for x in range(-20, _WIDE, 46):
        radius = float(rng.uniform(40, 64))
        hedge = shaded((78, 112, 66), rng.uniform(0.8, 1.15))
        pen.ellipse((x, 110 - radius, x + 1.6 * radius, 110 + radius), fill=hedge)
    pen.rectangle((0, 130, _WIDE, _HIGH), fill=(116, 146, 82))
    for _ in range(1500):
        root, y = rng.uniform(0, _WIDE), rng.uniform(132, _HIGH)
        tone = shaded((112, 142, 78), rng.uniform(0.7, 1.25))
        pen.line((root, y, root + rng.normal(0, 3), y - 7), fill=tone, width=2)
    pen.polygon([(0, 236), (_WIDE, 214), (_WIDE, 268), (0, 300)], (184, 172, 148))
    for x in (60, 330, 640):
        _tree(pen, rng, x, 190, (88, 124, 66))


def _car_park(pen: Pen, rng: np.random.Generator) -> None:
    pen.rectangle((0, 0, _WIDE, 110), fill=(206, 216, 226))
    pen.rectangle((0, 76, _WIDE, 150), fill=(168, 172, 178))
    for x in range(0, _WIDE, 26):
        pen.line((x, 78, x, 148), fill=(148, 152, 158), width=3)
    pen.rectangle((0, 150, _WIDE, _HIGH), fill=(138, 140, 146))
    for x in range(-40, _WIDE, 150):
        pen.polygon([(x, 160), (x + 8, 160), (x - 60, _HIGH), (x - 76, _HIGH)], (214, 216, 214))
    colours = [(196, 198, 202), (60, 66, 78), (150, 52, 48), (74, 98, 132)]
    for slot, x in enumerate(range(10, _WIDE, 250)):
        _car(pen, x + float(rng.uniform(0, 20)), 186, colours[slot % 4])


def _underpass(pen: Pen, rng: np.random.Generator) -> None:
    pen.rectangle((0, 0, _WIDE, 226), fill=(126, 130, 118))
    for y in range(0, 226, 18):
        for x in range(-36 * (y // 18 % 2) // 2, _WIDE, 36):
            pen.rectangle((x, y, x + 33, y + 15), fill=shaded((138, 142, 126), rng.uniform(0.85, 1.08)))
    pen.rectangle((0, 92, _WIDE, 122), fill=(70, 96, 112))
    for x in range(40, _WIDE, 240):
        pen.rectangle((x, 12, x + 110, 22), fill=(250, 252, 230))
        pen.rectangle((x + 150, 40, x + 206, 84), fill=shaded((190, 150, 110), rng.uniform(0.7, 1.1)))
    pen.rectangle((0, 226, _WIDE, _HIGH), fill=(92, 94, 92))
    _tiles(pen, 226, (80, 82, 80))


def _stand(pen: Pen, rng: np.random.Generator) -> None:
    pen.rectangle((0, 0, _WIDE, 190), fill=(156, 112, 96))
    for y in range(0, 190, 16):
        for x in range(-20 * (y // 16 % 2), _WIDE, 40):
            pen.rectangle((x, y, x + 37, y + 13), fill=shaded((164, 106, 88), rng.uniform(0.82, 1.12)))
    pen.rectangle((0, 190, _WIDE, _HIGH), fill=(150, 152, 150))
    _tiles(pen, 190, (132, 134, 134))
    colours = [(44, 104, 150), (178, 62, 52), (66, 122, 82), (206, 172, 70)]
    for slot, x in enumerate(range(-20, _WIDE, 112)):
        place = x + float(rng.uniform(0, 24))
        _bicycle(pen, place, 214, colours[int(rng.integers(4))] if slot % 3 else (60, 60, 66))


SCENES: dict[str, Callable[[Pen, np.random.Generator], None]] = {
    "plaza": _plaza,
    "shop": _shop,
    "lawn": _lawn,
    "car park": _car_park,
    "underpass": _underpass,
    "bicycle stand": _stand,
}


def draw_occluder(kind: str, rng: np.random.Generator) -> Image.Image:
    """Draws what hides a part of a picture, a key of `OCCLUDERS`: RGBA, 64×128, transparent elsewhere."""
    canvas = Image.new("RGBA", CANVAS)
    OCCLUDERS[kind](ImageDraw.Draw(canvas), rng)
    return canvas.convert("RGBa").reduce(SUPERSAMPLING).convert("RGBA")


def _post(pen: Pen, rng: np.random.Generator) -> None:
    x, half = rng.uniform(0.15, 0.85) * _CANVAS_WIDTH, rng.uniform(9, 17)
    pen.rectangle((x - half, 0, x + half, _CANVAS_HEIGHT), fill=(88, 92, 96))
    pen.rectangle((x - half, 0, x - 0.4 * half, _CANVAS_HEIGHT), fill=(128, 132, 136))


def _bush(pen: Pen, rng: np.random.Generator) -> None:
    top = rng.uniform(0.62, 0.82) * _CANVAS_HEIGHT
    for x in range(-20, _CANVAS_WIDTH + 20, 16):
        for y in np.arange(top, _CANVAS_HEIGHT + 20, 18):
            cx, cy, radius = x + rng.normal(0, 8), y + rng.normal(0, 8), rng.uniform(9, 16)
            leaf = shaded((74, 108, 60), rng.uniform(0.7, 1.25))
            pen.ellipse((cx - radius, cy - radius, cx + radius, cy + radius), fill=leaf)


def _railing(pen: Pen, rng: np.random.Generator) -> None:
    top = rng.uniform(0.55, 0.72) * _CANVAS_HEIGHT
    for y in (top, top + 70):
        pen.rectangle((0, y, _CANVAS_WIDTH, y + 9), fill=(176, 178, 180))
    for x in np.arange(rng.uniform(0, 26), _CANVAS_WIDTH, 30):
        pen.rectangle((x, top, x + 6, _CANVAS_HEIGHT), fill=(158, 160, 164))


def _bonnet(pen: Pen, rng: np.random.Generator) -> None:
    top, left = rng.uniform(0.70, 0.85) * _CANVAS_HEIGHT, rng.uniform(-0.5, 0.3) * _CANVAS_WIDTH
    colour = ((196, 198, 202), (62, 68, 82), (150, 54, 50))[rng.integers(3)]
    right, edge = left + 1.3 * _CANVAS_WIDTH, shaded(colour, 1.25)
    pen.rounded_rectangle((left, top, right, _CANVAS_HEIGHT + 60), 36, fill=colour)
    pen.rounded_rectangle((left + 12, top + 8, right - 12, top + 24), 8, fill=edge)


def _crate(pen: Pen, rng: np.random.Generator) -> None:
    side, low = rng.uniform(0.45, 0.65) * _CANVAS_WIDTH, rng.uniform(0.80, 0.92) * _CANVAS_HEIGHT
    left = rng.uniform(-0.2, 0.75) * _CANVAS_WIDTH
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
