"""Failures: queries whose first image is someone else, the most confident ones first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sa_study.data.store import ImageStore
from sa_study.report.pictures.lists import distance_text, fitted, one_an_identity
from sa_study.report.pictures.ranks import Entry, Ranking
from sa_study.report.pictures.sheet import WIDTH, Box, Caption, Sheet

_COLUMNS = 4
"""Failures a row."""

_GAP, _BETWEEN_COLUMNS = 12, 48
_ABOVE, _BELOW, _BETWEEN = 24, 26, 20


def choose(ranking: Ranking, pids: NDArray[np.int64], number: int) -> list[int]:
    """Queries with a match whose first image that counts is another, by its distance, the nearest first.

    No two are of the same identity while there are others.
    """
    failed = np.flatnonzero(ranking.first_match > 1)
    nearest = np.array([first_counted(ranking.lists[index]).distance for index in failed])
    return one_an_identity(failed[np.argsort(nearest, kind="stable")], pids)[:number]


def first_counted(entries: list[Entry]) -> Entry:
    """The entry at rank 1."""
    return next(entry for entry in entries if entry.rank == 1)


def draw(ranking: Ranking, query: ImageStore, gallery: ImageStore, chosen: list[int], where: str) -> Sheet:
    """Three images a failure: the query, the wrong first image, the first match."""
    room = WIDTH - 2 * 30 - (_COLUMNS - 1) * _BETWEEN_COLUMNS - _COLUMNS * 2 * _GAP
    cell = fitted(Box(0, 0, room // (3 * _COLUMNS), 1), query.images)
    pitch = cell.height + _ABOVE + _BELOW + _BETWEEN
    failed, valid = int((ranking.first_match > 1).sum()), int((ranking.first_match > 0).sum())
    caption = Caption("Failures at rank 1, the most confident first", where, _caption(failed, valid))
    sheet = Sheet(pitch * -(-len(chosen) // _COLUMNS) - _BETWEEN, caption)
    for number, index in enumerate(chosen):
        row, column = divmod(number, _COLUMNS)
        left = sheet.left + 6 + column * (3 * cell.width + 2 * _GAP + _BETWEEN_COLUMNS)
        box = Box(left, sheet.top + row * pitch + _ABOVE, cell.width, cell.height)
        wrong, rank = first_counted(ranking.lists[index]), ranking.first_match[index]
        right, distance = ranking.first_column[index], ranking.first_distance[index]
        shown = (
            (query, index, "query", "query", None),
            (gallery, wrong.column, "wrong", "1 ✗", wrong.distance),
            (gallery, right, "match", f"{rank} ✓", distance),
        )
        for place, (images, image, kind, head, far) in enumerate(shown):
            _draw_image(sheet, box.right_of(place, _GAP), images, int(image), kind, head, far)
    return sheet


def _draw_image(
    sheet: Sheet, box: Box, images: ImageStore, index: int, kind: str, head: str, distance: float | None
) -> None:
    sheet.image(images.images[index], box)
    sheet.frame(box, kind)
    sheet.text(
        box.middle, box.top - 9, head, 6, along="bottom", weight="bold" if kind == "query" else "normal"
    )
    far = "" if distance is None else f"  {distance_text(distance)}"
    sheet.text(box.middle, box.bottom + 9, f"c{images.camids[index] + 1}{far}", 5.5)


def _caption(failed: int, valid: int) -> str:
    return (
        f"{failed:,} of {valid:,} queries fail at rank 1. Each: the query; the nearest gallery image that "
        "counts, someone else (dashed red, ✗); the first match (solid green, ✓) with its rank. Most "
        "confident: the wrong image is nearest to the query by squared Euclidean distance; one failure an "
        "identity. Below each: camera and distance."
    )
