"""Pictures of a study's folder, small enough for the page."""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sa_study.report.text import short

MAX_BYTES = 4_000_000
"""Bytes of all pictures together, as they stand in the page."""

_MAX_PIXELS = 20_000_000
_SIDES = (1800, 1400, 1000, 700, 450, 300)
_TITLES = {
    "ranked": "Ranked galleries",
    "attention": "Attention maps",
    "cam": "Class-activation maps",
    "cmc": "CMC curve",
    "distances": "Distances of matches and non-matches",
    "failures": "Failures",
}


@dataclass(frozen=True)
class EmbeddedPicture:
    """A picture ready for the page: the image is a `data:` address, the group the title it stands under."""

    group: str
    caption: str
    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Album:
    """All pictures of a study by their groups' titles, and what was left out, and why."""

    groups: Mapping[str, Sequence[EmbeddedPicture]]
    notices: Sequence[str]


def read_album(folder: Path, max_bytes: int = MAX_BYTES) -> Album:
    """Reads every PNG file of a folder, by file-name prefix; all are made smaller until they fit.

    A file that is no picture is left out with a notice, and so are the last ones where even the smallest
    size is too much.
    """
    images, notices = [], []
    for path in sorted(folder.rglob("*.png")):
        try:
            with warnings.catch_warnings(action="ignore"), Image.open(path, formats=("PNG",)) as image:
                if image.width * image.height > _MAX_PIXELS:
                    raise ValueError("too large")
                image.thumbnail((_SIDES[0], _SIDES[0]))
                images.append((path, image.convert("RGBA" if "A" in image.getbands() else "RGB")))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            notices.append(f"{short(path.name)} is left out: it is no picture that can be read")
    pictures = _fitting(images, max_bytes)
    if left_out := len(images) - len(pictures):
        notices.append(f"{left_out} of {len(images)} pictures are left out: they would be too much")
    order = {title: place for place, title in enumerate(_TITLES.values())}
    groups: dict[str, list[EmbeddedPicture]] = {}
    for picture in sorted(pictures, key=lambda one: (order.get(one.group, len(order)), one.group)):
        groups.setdefault(picture.group, []).append(picture)
    return Album(groups, notices)


def _fitting(images: Sequence[tuple[Path, Image.Image]], max_bytes: int) -> list[EmbeddedPicture]:
    """The pictures in the largest size in which all fit; in the smallest, as many as fit."""
    pictures: list[EmbeddedPicture] = []
    for side in _SIDES:
        pictures, total = [], 0
        for path, image in images:
            picture = _encode(path, image, side)
            total += len(picture.uri)
            if total > max_bytes:
                break
            pictures.append(picture)
        if len(pictures) == len(images):
            break
    return pictures


def _encode(path: Path, image: Image.Image, side: int) -> EmbeddedPicture:
    small = image.copy()
    small.thumbnail((side, side))
    file = io.BytesIO()
    small.save(file, "WEBP", quality=88, method=4)
    uri = "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
    prefix = re.split(r"[_\-. 0-9]", path.stem, maxsplit=1)[0].lower()
    group = _TITLES.get(prefix) or short(prefix).capitalize() or "Other"
    caption = short(path.stem).replace("_", " ").replace("-", " ")
    return EmbeddedPicture(group, caption, uri, small.width, small.height)
