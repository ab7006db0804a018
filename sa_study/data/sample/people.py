"""Who the sample people are: a handful of weak cues an identity, drawn from a small shared wardrobe."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np

Colour = tuple[int, int, int]

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
BAGS: tuple[Colour, ...] = ((48, 44, 46), (150, 62, 48))
HAIRS: tuple[Colour, ...] = ((32, 26, 24), (84, 56, 36))
HATS: tuple[Colour, ...] = ((44, 50, 74), (206, 198, 178))
SKINS: tuple[Colour, ...] = ((236, 200, 172), (214, 168, 132))
SHOES: tuple[Colour, ...] = ((36, 34, 36), (122, 82, 54))

PATTERNS = ("plain", "hoops", "stripes", "checks", "dots", "logo", "yoke")
SLEEVES = ("long", "short")
HEMS = {"shirt": 0.52, "jacket": 0.58, "coat": 0.70}
LEGWEAR = ("trousers", "shorts", "skirt")
HAIRCUTS = ("short", "long", "bun", "ponytail", "bald")
HEADWEAR = ("none", "none", "none", "cap", "beanie", "sunhat")
CARRIED = ("none", "backpack", "handbag", "satchel")


@dataclass(frozen=True)
class Person:
    """What stays the same about one identity in every camera.

    Attributes:
        top: Colour of shirt, jacket or coat.
        accent: Second colour of the top, used by every pattern but "plain".
        pattern: One of `PATTERNS`.
        sleeves: One of `SLEEVES`.
        cut: A key of `HEMS`, where the top ends.
        legwear: One of `LEGWEAR`.
        bottom: Colour of the legwear.
        carried: One of `CARRIED`.
        bag: Colour of what is carried.
        haircut: One of `HAIRCUTS`.
        hair: Hair colour.
        headwear: One of `HEADWEAR`.
        hat: Colour of the headwear.
        skin: Skin colour.
        shoes: Colour of the shoes.
        stature: Height relative to the average.
        build: Breadth relative to the average.
    """

    top: Colour
    accent: Colour
    pattern: str
    sleeves: str
    cut: str
    legwear: str
    bottom: Colour
    carried: str
    bag: Colour
    haircut: str
    hair: Colour
    headwear: str
    hat: Colour
    skin: Colour
    shoes: Colour
    stature: float
    build: float


def draw_people(count: int, seed: int) -> list[Person]:
    """Draws `count` people, no two of whom wear the same things.

    Args:
        count: How many.
        seed: The same seed gives the same people, and a larger count only appends to them.

    Returns:
        The people. Clothes colours repeat, but no two agree in everything that they wear and carry.
    """
    people: list[Person] = []
    worn: set[tuple[object, ...]] = set()
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        person = _draw_person(rng)
        while astuple(person)[:-2] in worn:
            person = _draw_person(rng)
        worn.add(astuple(person)[:-2])
        people.append(person)
    return people


def _draw_person(rng: np.random.Generator) -> Person:
    def colour(palette: tuple[Colour, ...]) -> Colour:
        return palette[rng.integers(len(palette))]

    def kind(names: tuple[str, ...]) -> str:
        return names[rng.integers(len(names))]

    top, accent, bottom = OUTFITS[rng.integers(len(OUTFITS))]
    return Person(
        top=top,
        accent=accent,
        pattern=kind(PATTERNS),
        sleeves=kind(SLEEVES),
        cut=kind(tuple(HEMS)),
        legwear=kind(LEGWEAR),
        bottom=bottom,
        carried=kind(CARRIED),
        bag=colour(BAGS),
        haircut=kind(HAIRCUTS),
        hair=colour(HAIRS),
        headwear=kind(HEADWEAR),
        hat=colour(HATS),
        skin=colour(SKINS),
        shoes=colour(SHOES),
        stature=float(rng.uniform(0.90, 1.06)),
        build=float(rng.uniform(0.95, 1.40)),
    )
