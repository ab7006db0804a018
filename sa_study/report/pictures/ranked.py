"""Ranked lists of the best, the worst and random queries, and failures at rank 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sa_study.data.store import ImageStore
from sa_study.report.pictures.figure import SIGNS, Caption, ImageGrid, Picture, grey, styled
from sa_study.report.pictures.ranking import DEPTH, Entry, Ranking

GROUPS = ("best", "worst", "random")
AVERAGE_PRECISION = "average precision: mean of k / position over the matches, as scikit-learn does"

_MAX_JUNK = 3
"""Greyed images shown in a row; the rest are only counted."""

_GAP, _WIDE_GAP = 0.05, 0.17  # inches
_FAILURES_A_ROW = 4


def choose_queries(
    ranking: Ranking, pids: NDArray[np.int64], group: str, number: int, seed: int
) -> list[int]:
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


@styled
def draw_lists(
    ranking: Ranking, query: ImageStore, gallery: ImageStore, chosen: list[int], group: str, where: str
) -> Picture:
    """Draws the ranked lists of some queries, a row each."""
    rows = [shortened(ranking.lists[index]) for index in chosen]
    columns = max(DEPTH, *(len(entries) for entries, _ in rows))
    picture = Picture(Caption(_TITLES[group], where, _lists_caption(rows, group)))
    gaps = [_WIDE_GAP, *[_GAP] * (columns - 1)]
    grid = picture.image_grid(len(rows), gaps, query.images)
    for row, (index, (entries, hidden)) in enumerate(zip(chosen, rows, strict=True)):
        foot = f"c{query.camids[index] + 1}  AP {ranking.average_precision[index]:.2f}"
        grid.image(row, 0, query.images[index], frame="query", head="query", foot=foot, bold=True)
        for column, entry in enumerate(entries, 1):
            junk = entry.kind == "junk"
            more = f" +{hidden}" if hidden else ""
            head = f"junk{more}" if junk else f"{entry.rank} {SIGNS[entry.kind]}"
            _draw_entry(grid, row, column, gallery, entry, head)
            if junk:
                hidden = 0  # said once, on the first one
    return picture


@styled
def draw_failures(
    ranking: Ranking, query: ImageStore, gallery: ImageStore, chosen: list[int], where: str
) -> Picture:
    """Draws three images a failure: the query, the wrong first image, the first match."""
    failed, valid = int((ranking.first_match > 1).sum()), int((ranking.first_match > 0).sum())
    title = "Failures at rank 1, the most confident first"
    picture = Picture(Caption(title, where, _failures_caption(failed, valid)))
    gaps = ([_GAP, _GAP, _WIDE_GAP] * _FAILURES_A_ROW)[:-1]
    grid = picture.image_grid(-(-len(chosen) // _FAILURES_A_ROW), gaps, query.images)
    for number, index in enumerate(chosen):
        row, column = divmod(number, _FAILURES_A_ROW)
        foot = f"c{query.camids[index] + 1}"
        grid.image(row, 3 * column, query.images[index], frame="query", head="query", foot=foot, bold=True)
        wrong, rank = first_counted(ranking.lists[index]), int(ranking.first_match[index])
        match = int(ranking.first_column[index]), float(ranking.first_distance[index])
        _draw_entry(grid, row, 3 * column + 1, gallery, wrong, f"1 {SIGNS['wrong']}")
        entry = Entry(*match, "match", rank)
        _draw_entry(grid, row, 3 * column + 2, gallery, entry, f"{rank} {SIGNS['match']}")
    return picture


def _draw_entry(grid: ImageGrid, row: int, column: int, gallery: ImageStore, entry: Entry, head: str) -> None:
    pixels, junk = gallery.images[entry.column], entry.kind == "junk"
    distance = f"{entry.distance:.2f}" if entry.distance >= 1 else f"{entry.distance:.3f}"
    foot = f"c{gallery.camids[entry.column] + 1}  {distance}"
    shown = grey(pixels, 0.45) if junk else pixels
    grid.image(row, column, shown, frame=entry.kind, head=head, foot=foot, faint=junk)


def shortened(entries: list[Entry]) -> tuple[list[Entry], int]:
    """A list with its nearest junk only, and how much of it is left out."""
    junk = [entry for entry in entries if entry.kind == "junk"]
    hidden = set(junk[_MAX_JUNK:])
    return [entry for entry in entries if entry not in hidden], len(hidden)


def choose_failures(ranking: Ranking, pids: NDArray[np.int64], number: int) -> list[int]:
    """Queries with a match whose first image that counts is another, by its distance, the nearest first.

    No two are of the same identity while there are others.
    """
    failed = np.flatnonzero(ranking.first_match > 1)
    nearest = np.array([first_counted(ranking.lists[index]).distance for index in failed])
    return one_an_identity(failed[np.argsort(nearest, kind="stable")], pids)[:number]


def first_counted(entries: list[Entry]) -> Entry:
    """The entry at rank 1."""
    return next(entry for entry in entries if entry.rank == 1)


def _lists_caption(rows: list[tuple[list[Entry], int]], group: str) -> str:
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
    return f"{text}AP: {AVERAGE_PRECISION}."


_TITLES = {
    "best": "Ranked lists: best queries",
    "worst": "Ranked lists: worst queries",
    "random": "Ranked lists: random queries",
}


def _failures_caption(failed: int, valid: int) -> str:
    return (
        f"{failed:,} of {valid:,} queries fail at rank 1. Each: the query; the nearest gallery image that "
        "counts, someone else (dashed red, ✗); the first match (solid green, ✓) with its rank. Most "
        "confident: the wrong image is nearest to the query by squared Euclidean distance; one failure an "
        "identity. Below each: camera and distance."
    )
