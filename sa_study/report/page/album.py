"""Pictures of a study's folder, small enough for the page."""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sa_study.report.page.text import short

MAX_BYTES = 4_000_000
"""Bytes of all pictures together, as they stand in the page."""

_MAX_PIXELS = 20_000_000
_SIDES = (1800, 1400, 1000, 700, 450, 300)
_TITLES = {
    "ranked": "Ranked galleries",
    "gallery": "Ranked galleries",
    "attention": "Attention maps",
    "activation": "Class-activation maps",
    "cam": "Class-activation maps",
    "cmc": "CMC curve",
    "distance": "Distances of matches and non-matches",
    "distances": "Distances of matches and non-matches",
    "failures": "Failures",
    "failure": "Failures",
}


@dataclass(frozen=True)
class Picture:
    """A picture ready for the page.

    Attributes:
        name: Its file's name.
        caption: That name in words.
        uri: The image as a `data:` address.
        width: Pixels.
        height: Pixels.
    """

    name: str
    caption: str
    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Album:
    """All pictures of a study.

    Attributes:
        groups: Titles and their pictures.
        notices: What was left out, and why.
    """

    groups: tuple[tuple[str, tuple[Picture, ...]], ...]
    notices: tuple[str, ...]


def read_album(folder: Path, max_bytes: int = MAX_BYTES) -> Album:
    """Reads every PNG file of a folder, by file-name prefix; all are made smaller until they fit.

    A file that is no picture is left out with a notice, and so are the last ones where even the smallest
    size is too much.
    """
    paths = sorted(path for path in folder.rglob("*.png") if path.is_file()) if folder.is_dir() else []
    images, notices = [], []
    for path in paths:
        try:
            with warnings.catch_warnings(action="ignore"), Image.open(path, formats=("PNG",)) as image:
                if image.width * image.height > _MAX_PIXELS:
                    raise ValueError("too large")
                image.thumbnail((_SIDES[0], _SIDES[0]))
                images.append((path, image.convert("RGBA" if "A" in image.getbands() else "RGB")))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            notices.append(f"{short(path.name)} is left out: it is no picture that can be read")
    encoded = _fitting(images, max_bytes)
    if len(encoded) < len(images):
        notices.append(
            f"{len(images) - len(encoded)} of {len(images)} pictures are left out: they would be too much"
        )
    return Album(tuple(_grouped(encoded)), tuple(notices))


def _fitting(images: Sequence[tuple[Path, Image.Image]], max_bytes: int) -> list[tuple[Path, Picture]]:
    """The pictures in the largest size in which all fit; in the smallest, as many as fit."""
    encoded: list[tuple[Path, Picture]] = []
    for side in _SIDES:
        encoded, total = [], 0
        for path, image in images:
            picture = _encode(path, image, side)
            total += len(picture.uri)
            if total > max_bytes:
                break
            encoded.append((path, picture))
        if len(encoded) == len(images):
            break
    return encoded


def _encode(path: Path, image: Image.Image, side: int) -> Picture:
    small = image.copy()
    small.thumbnail((side, side))
    file = io.BytesIO()
    small.save(file, "WEBP", quality=88, method=4)
    uri = "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
    caption = short(path.stem).replace("_", " ").replace("-", " ")
    return Picture(short(path.name), caption, uri, small.width, small.height)


def _grouped(encoded: Sequence[tuple[Path, Picture]]) -> Iterator[tuple[str, tuple[Picture, ...]]]:
    groups: dict[str, list[Picture]] = {}
    for path, picture in encoded:
        prefix = re.split(r"[_\-. 0-9]", path.stem, maxsplit=1)[0].lower()
        title = _TITLES.get(prefix) or short(prefix).capitalize() or "Other"
        groups.setdefault(title, []).append(picture)
    order = list(dict.fromkeys(_TITLES.values()))
    for title in sorted(groups, key=lambda title: (order.index(title) if title in order else 99, title)):
        yield title, tuple(groups[title])
