"""Ranked lists: a query and its first ten gallery images, for the best, the worst and random queries."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sa_study.data.store import ImageStore
from sa_study.report.pictures.ranks import DEPTH, Entry, Ranking
from sa_study.report.pictures.sheet import FAINT, SIGNS, WIDTH, Box, Caption, Sheet, grey

GROUPS = ("best", "worst", "random")
MAP_FORMULA = "average precision: mean of k / position over the matches, as scikit-learn does"

_MOST_JUNK = 3
"""Greyed images shown in a row; the rest are only counted."""

_GAP, _AFTER_QUERY = 12, 34
_ABOVE, _BELOW, _BETWEEN = 24, 26, 16
_TALLEST = 3.0
"""Height of a cell over its width, at most."""


def choose(ranking: Ranking, pids: NDArray[np.int64], group: str, number: int, seed: int) -> list[int]:
    """Picks queries that have a match, no two of the same identity while there are others.

    Args:
        ranking: The ranking.
        pids: Identities of the queries.
        group: `best` or `worst` by average precision (of equals, those with more matches first), or `random`.
        number: How many.
        seed: Of the draw.

    Returns:
        Their indices.
    """
    precision = ranking.average_precision
    valid = np.flatnonzero(np.isfinite(precision))
    if group == "random":
        order = valid[np.random.default_rng(seed).permutation(len(valid))]
    else:
        sign = -1 if group == "best" else 1
        order = valid[np.lexsort((valid, -ranking.matches[valid], sign * precision[valid]))]
    return one_an_identity(order, pids)[:number]


def one_an_identity(order: NDArray[np.int64], pids: NDArray[np.int64]) -> list[int]:
    """The first query of each identity, in order, and then the others."""
    _, first = np.unique(pids[order], return_index=True)
    ahead = np.sort(first)
    return [*order[ahead].tolist(), *np.delete(order, ahead).tolist()]


def draw(
    ranking: Ranking, query: ImageStore, gallery: ImageStore, chosen: list[int], group: str, where: str
) -> Sheet:
    """The ranked lists of some queries, a row each."""
    rows = [shortened(ranking.lists[index]) for index in chosen]
    columns = max(len(entries) for entries, _ in rows)
    cell = _cell(columns, query)
    pitch = cell.height + _ABOVE + _BELOW + _BETWEEN
    sheet = Sheet(pitch * len(rows) - _BETWEEN, Caption(_TITLES[group], where, _caption(rows, group)))
    for number, (index, (entries, hidden)) in enumerate(zip(chosen, rows, strict=True)):
        box = Box(sheet.left + 6, sheet.top + number * pitch + _ABOVE, cell.width, cell.height)
        _draw_query(sheet, box, query, index, ranking.average_precision[index])
        for place, entry in enumerate(entries):
            left = box.left + cell.width + _AFTER_QUERY + place * (cell.width + _GAP)
            _draw_entry(sheet, Box(left, box.top, cell.width, cell.height), gallery, entry, hidden)
            if entry.kind == "junk":
                hidden = 0  # said once, on the first one
    return sheet


def shortened(entries: list[Entry]) -> tuple[list[Entry], int]:
    """A list with its nearest junk only, and how much of it is left out."""
    junk = [entry for entry in entries if entry.kind == "junk"]
    hidden = set(junk[_MOST_JUNK:])
    return [entry for entry in entries if entry not in hidden], len(hidden)


def _draw_query(sheet: Sheet, box: Box, query: ImageStore, index: int, precision: float) -> None:
    sheet.image(query.images[index], box)
    sheet.frame(box, "query")
    sheet.text(box.middle, box.top - 9, "query", 6, weight="bold", along="bottom")
    sheet.text(box.middle, box.bottom + 9, f"c{query.camids[index] + 1}  AP {precision:.2f}", 5.5)


def _draw_entry(sheet: Sheet, box: Box, gallery: ImageStore, entry: Entry, hidden: int) -> None:
    pixels = gallery.images[entry.column]
    junk = entry.kind == "junk"
    sheet.image(grey(pixels, 0.45) if junk else pixels, box)
    sheet.frame(box, entry.kind)
    more = f" +{hidden}" if hidden else ""
    head = f"junk{more}" if junk else f"{entry.rank} {SIGNS[entry.kind]}"
    sheet.text(box.middle, box.top - 9, head, 6, along="bottom", colour=FAINT if junk else "black")
    below = f"c{gallery.camids[entry.column] + 1}  {distance_text(entry.distance)}"
    sheet.text(box.middle, box.bottom + 9, below, 5.5, colour=FAINT if junk else "black")


def distance_text(distance: float) -> str:
    """A distance with three digits that count, in few characters."""
    return f"{distance:.2f}" if distance >= 1 else f"{distance:.3f}"


def _cell(columns: int, query: ImageStore) -> Box:
    """A cell's size: as many as needed beside each other, in the shape of the images."""
    columns = max(columns, DEPTH)
    room = WIDTH - 2 * 30 - _AFTER_QUERY - (columns - 1) * _GAP
    return fitted(Box(0, 0, room // (columns + 1), 10**6), query.images)


def fitted(box: Box, images: NDArray[np.uint8]) -> Box:
    """A box as wide, and as high as the images' shape asks for, within reason."""
    shape = min(_TALLEST, images.shape[1] / images.shape[2])
    return Box(box.left, box.top, box.width, max(1, round(box.width * shape)))


def _caption(rows: list[tuple[list[Entry], int]], group: str) -> str:
    chosen = {
        "best": "The queries with the greatest average precision",
        "worst": "The queries with the least average precision",
        "random": "Queries drawn at random (seeded)",
    }[group]
    text = (
        f"{chosen}, one an identity, and their {DEPTH} nearest gallery images by squared Euclidean distance. "
        "Solid green, ✓: the same identity by another camera. Dashed red, ✗: someone else. "
        "Below each: camera and distance. "
    )
    if any(entry.kind == "junk" for entries, _ in rows for entry in entries):
        text += "Greyed junk (the same identity by the same camera) counts in no rank. "
    return f"{text}AP: {MAP_FORMULA}."


_TITLES = {
    "best": "Ranked lists: best queries",
    "worst": "Ranked lists: worst queries",
    "random": "Ranked lists: random queries",
}
