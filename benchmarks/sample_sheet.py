"""Draws the README's picture: the same sample people as each of the six cameras sees them.

python benchmarks/sample_sheet.py [FILE]     (default: docs/sample_data.png)
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sa_study.data.sample.cameras import CAMERAS, Camera
from sa_study.data.sample.people import draw_people

PEOPLE, SEED, GAP = 13, 1, 4
CELL = (64, 128)


def contact_sheet(people: int, seed: int) -> Image.Image:
    """Returns one column a person and one row a camera."""
    crowd = draw_people(people, seed)
    size = (people * (CELL[0] + GAP) + GAP, len(CAMERAS) * (CELL[1] + GAP) + GAP)
    sheet = Image.new("RGB", size, "white")
    for row, optics in enumerate(CAMERAS):
        camera = Camera(optics, np.random.default_rng((seed, row)))
        for column, person in enumerate(crowd):
            picture = camera.photograph([person], np.random.default_rng((seed, row, column)))
            sheet.paste(picture, (GAP + column * (CELL[0] + GAP), GAP + row * (CELL[1] + GAP)))
    return sheet


def main() -> None:
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/sample_data.png")
    target.parent.mkdir(parents=True, exist_ok=True)
    # A palette keeps the sensor noise from making a file of more than a megabyte.
    contact_sheet(PEOPLE, SEED).quantize(256).save(target, optimize=True)
    print(f"{target}: {PEOPLE} people, {len(CAMERAS)} cameras, {target.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
