"""A ranked list of images without labels: queries, and the images nearest to them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sa_study.analysis.matches import Matches
from sa_study.data.images import read_image
from sa_study.report.pictures.figure import Picture, styled
from sa_study.report.pictures.overlays import Pixels
from sa_study.utils.errors import DataError
from sa_study.utils.files import write_atomically
from sa_study.utils.text import visible

PICTURE = "matches.png"

_QUERIES, _SHOWN = 8, 10
_SIZE = 64, 128  # pixels, width and height
_GAP, _WIDE_GAP = 0.05, 0.15  # inches
_MAX_NAME = 14  # characters


def write_picture(matches: Matches, images: Sequence[Path], queries: int, source: str, out: Path) -> None:
    """Draws the nearest images of the first queries, a row each, into `matches.png` in a folder.

    The matches' rows number the `images`; `queries` are there in all, and `source` is the weights file.
    """
    content = io.BytesIO()
    _draw(matches, images, queries, source).save(content)
    write_atomically(out / PICTURE, lambda file: file.write(content.getvalue()))


@styled
def _draw(matches: Matches, images: Sequence[Path], queries: int, source: str) -> Picture:
    shown = min(_QUERIES, len(matches.queries))
    columns = min(_SHOWN, matches.rows.shape[1])
    caption = (
        f"The first {shown} of {queries:,} queries and the images nearest to them, with the "
        "squared Euclidean distance of the features below. Nothing is known of who is shown."
    )
    picture = Picture("Nearest images", source, caption)
    gaps = [_WIDE_GAP, *[_GAP] * (columns - 1)]
    picture.add_grid(shown, gaps, np.empty((1, _SIZE[1], _SIZE[0], 3), np.uint8), largest=0.6)
    for row in range(shown):
        query = matches.queries[row]
        picture.image(row, 0, _thumbnail(query), frame="query", head="query", foot=_name(query))
        for column in range(columns):
            path = images[matches.rows[row, column]]
            foot = f"{matches.distances[row, column]:.3g}"
            picture.image(row, column + 1, _thumbnail(path), head=str(column + 1), foot=foot)
    return picture


def _thumbnail(path: Path) -> Pixels:
    """A small image; grey where it has gone meanwhile."""
    try:
        return np.asarray(read_image(path)[0].resize(_SIZE, Image.Resampling.BILINEAR))
    except DataError:
        return np.full((_SIZE[1], _SIZE[0], 3), 200, np.uint8)


def _name(path: Path) -> str:
    name = visible(path.name)
    return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1]}…"
