"""Who the sample people are and what they wear: a few weak cues each, from a small shared wardrobe."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]

# Few outfits on purpose: several people share each and differ by pattern, cut, legwear, bag and hair only.
BLACK, WHITE, GREY, NAVY = (38, 39, 46), (222, 220, 214), (126, 130, 138), (44, 66, 128)
RED, GREEN, OCHRE, DENIM, BEIGE = (176, 48, 50), (64, 122, 82), (208, 166, 66), (62, 84, 132), (178, 156, 122)
OUTFITS: tuple[tuple[Colour, Colour, Colour], ...] = (
    (RED, WHITE, DENIM),
    (NAVY, OCHRE, BEIGE),
    (GREEN, BLACK, GREY),
    (WHITE, NAVY, BLACK),
    (BLACK, RED, DENIM),
)
"""Colours of the top, its pattern and the legwear."""
HEMS = {"shirt": 0.52, "jacket": 0.58, "coat": 0.70}
"""Where each cut of a top ends, in body heights from the crown."""

_WARDROBE: dict[str, tuple[Any, ...]] = {
    "pattern": ("plain", "hoops", "stripes", "checks", "dots", "logo", "yoke"),
    "sleeves": ("long", "short"),
    "cut": tuple(HEMS),
    "legwear": ("trousers", "shorts", "skirt"),
    "carried": ("none", "backpack", "handbag", "satchel"),
    "bag": ((48, 44, 46), (150, 62, 48)),
    "haircut": ("short", "long", "bun", "ponytail", "bald"),
    "hair": ((32, 26, 24), (84, 56, 36)),
    "headwear": ("none", "none", "none", "cap", "beanie", "sunhat"),
    "hat": ((44, 50, 74), (206, 198, 178)),
    "skin": ((236, 200, 172), (214, 168, 132)),
    "shoes": ((36, 34, 36), (122, 82, 54)),
}
"""What each of a person's other traits is drawn from, in this order."""

_PERIOD = 0.09  # of a pattern, in body heights: 10 pixels of a 128-pixel picture, 5 at half that size


@dataclass(frozen=True)
class Person:
    """Appearance of one identity, the same in every camera: what `OUTFITS` and `_WARDROBE` offer."""

    top: Colour  # colour of shirt, jacket or coat
    accent: Colour  # second colour of the top, used by every pattern but "plain"
    pattern: str
    sleeves: str
    cut: str
    legwear: str
    bottom: Colour  # colour of the legwear
    carried: str
    bag: Colour
    haircut: str
    hair: Colour
    headwear: str
    hat: Colour
    skin: Colour
    shoes: Colour
    stature: float  # height relative to the average
    build: float  # breadth relative to the average


def draw_people(count: int, seed: int) -> list[Person]:
    """Draws people, no two of whom wear and carry the same, though clothes' colours repeat.

    The same seed gives the same people, and a larger count only appends to them.
    """
    people: list[Person] = []
    worn: set[tuple[object, ...]] = set()
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        person = _draw_person(rng)
        while astuple(person)[:-2] in worn:  # all but stature and build
            person = _draw_person(rng)
        worn.add(astuple(person)[:-2])
        people.append(person)
    return people


def _draw_person(rng: np.random.Generator) -> Person:
    top, accent, bottom = OUTFITS[rng.integers(len(OUTFITS))]
    drawn = {trait: options[rng.integers(len(options))] for trait, options in _WARDROBE.items()}
    stature, build = float(rng.uniform(0.90, 1.06)), float(rng.uniform(0.95, 1.40))
    return Person(top=top, accent=accent, bottom=bottom, stature=stature, build=build, **drawn)


def top_fabric(
    person: Person, size: tuple[int, int], centre: float, crown: float, unit: float, yaw: float
) -> Colour | Image.Image:
    """Returns the cloth of a person's top: a colour where it is plain, else an RGB image of the canvas.

    Args:
        person: The person.
        size: Width and height of the canvas in pixels.
        centre: Horizontal position of the body on it in pixels.
        crown: Vertical position of the top of the head in pixels.
        unit: Body height in pixels.
        yaw: Turn of the body in radians; vertical patterns move with it, and a logo is on the chest only.
    """
    if person.pattern == "plain":
        return person.top
    cloth = Image.new("RGB", size, person.top)
    pen = ImageDraw.Draw(cloth)
    shoulder, step = crown + 0.16 * unit, _PERIOD * unit
    middle = centre + 0.35 * step * math.sin(yaw)
    if person.pattern == "dots":
        radius = 0.27 * step
        for row in range(8):
            for column in range(-4, 5):
                x, y = middle + (column + 0.5 * (row % 2)) * step, shoulder + (row + 0.6) * step
                pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=person.accent)
        return cloth
    for box in _boxes(person.pattern, middle, shoulder, unit, yaw):
        pen.rectangle(box, fill=person.accent)
    if person.pattern == "checks":
        hoops = Image.new("RGB", size, person.top)
        for box in _boxes("hoops", middle, shoulder, unit, 0.0):
            ImageDraw.Draw(hoops).rectangle(box, fill=person.accent)
        return Image.blend(cloth, hoops, 0.5)
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


def shaded(colour: Colour, factor: float) -> Colour:
    """A colour made darker (factor < 1) or lighter."""
    red, green, blue = (min(255, round(channel * factor)) for channel in colour)
    return red, green, blue
