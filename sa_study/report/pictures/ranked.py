"""What a ranking shows: ranked lists, failures at rank 1, the CMC curve, and histograms of distances."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sa_study.data.store import ImageStore
from sa_study.metrics import names
from sa_study.metrics.protocol import OTHER_CAMERAS, protocol_note
from sa_study.metrics.ranking import RankingMetrics
from sa_study.report.pictures.figure import INK, MATCH, SIGNS, WRONG, Picture, styled
from sa_study.report.pictures.overlays import grey
from sa_study.report.pictures.ranking import DEPTH, DistanceCounts, Entry, Ranking

GROUPS = {
    "best": "The queries with the greatest average precision",
    "worst": "The queries with the least average precision",
    "random": "Queries drawn at random (seeded)",
}
"""Queries of which ranked lists are drawn, and how captions describe them."""

_MAX_JUNK = 3
"""Greyed images shown in a row; the rest are only counted."""

_GAP, _WIDE_GAP = 0.05, 0.17  # inches
_FAILURES_A_ROW = 4
_PLOT_WIDTH = 4.7  # inches
_MARKED_RANKS = (1, 5, 10, 20, 50)
_CURVES: tuple[dict[str, Any], ...] = (
    {"color": "#0072b2", "linestyle": "solid", "marker": "o"},
    {"color": "#e69f00", "linestyle": "dashed", "marker": "s"},
)


def choose_queries(
    ranking: Ranking, pids: NDArray[np.int64], group: str, number: int, seed: int
) -> list[int]:
    """The indices of some queries of a group that have a match, from different identities as far as possible.

    The best and the worst are so by average precision; of equals, those with more matches come first.
    """
    precision = ranking.average_precision
    valid = np.flatnonzero(np.isfinite(precision))
    if group == "random":
        order = valid[np.random.default_rng(seed).permutation(len(valid))]
    else:
        sign = -1 if group == "best" else 1
        order = valid[np.lexsort((valid, -ranking.matches[valid], sign * precision[valid]))]
    return identities_in_turn(order, pids)[:number]


def identities_in_turn(order: NDArray[np.int64], pids: NDArray[np.int64]) -> list[int]:
    """The first query of each identity, in order, and then all further queries."""
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
    caption = (
        f"{GROUPS[group]}, one an identity, and their {DEPTH} nearest gallery images by squared Euclidean "
        f"distance. Solid green, ✓: the same identity {_match(query)}. Dashed red, ✗: someone else. "
        f"{_below(query)} "
    )
    if any(entry.kind == "junk" for entries, _ in rows for entry in entries):
        junk = "the same identity by the same camera" if _has_cameras(query) else "the query itself"
        caption += f"Greyed junk ({junk}) counts in no rank. "
    caption += "AP: average precision: mean of k / position over the matches, as scikit-learn does."
    picture = Picture(f"Ranked lists: {group} queries", where, caption)
    picture.add_grid(len(rows), [_WIDE_GAP, *[_GAP] * (columns - 1)], query.images)
    for row, (index, (entries, hidden)) in enumerate(zip(chosen, rows, strict=True)):
        foot = _foot(query, index, f"AP {ranking.average_precision[index]:.2f}")
        picture.image(row, 0, query.images[index], frame="query", head="query", foot=foot)
        for column, entry in enumerate(entries, 1):
            head = f"{entry.rank} {SIGNS[entry.kind]}"
            if entry.kind == "junk":
                head = f"junk +{hidden}" if hidden else "junk"
                hidden = 0  # shown once, on the first junk image
            _draw_entry(picture, row, column, gallery, entry, head)
    return picture


@styled
def draw_failures(
    ranking: Ranking, query: ImageStore, gallery: ImageStore, chosen: list[int], where: str
) -> Picture:
    """Draws three images a failure: the query, the wrong first image, the first match."""
    failed, valid = int((ranking.first_match > 1).sum()), int((ranking.first_match > 0).sum())
    caption = (
        f"{failed:,} of {valid:,} queries fail at rank 1. Each: the query; the nearest gallery image that "
        "counts, someone else (dashed red, ✗); the first match (solid green, ✓) with its rank. Most "
        "confident: the wrong image is nearest to the query by squared Euclidean distance; one failure an "
        f"identity. {_below(query)}"
    )
    picture = Picture("Failures at rank 1, the most confident first", where, caption)
    gaps = ([_GAP, _GAP, _WIDE_GAP] * _FAILURES_A_ROW)[:-1]
    picture.add_grid(-(-len(chosen) // _FAILURES_A_ROW), gaps, query.images)
    for number, index in enumerate(chosen):
        row, column = divmod(number, _FAILURES_A_ROW)
        foot = _foot(query, index)
        picture.image(row, 3 * column, query.images[index], frame="query", head="query", foot=foot)
        rank = int(ranking.first_match[index])
        match = Entry(int(ranking.first_column[index]), float(ranking.first_distance[index]), "match", rank)
        for place, entry in enumerate((first_counted(ranking.lists[index]), match), 1):
            head = f"{entry.rank} {SIGNS[entry.kind]}"
            _draw_entry(picture, row, 3 * column + place, gallery, entry, head)
    return picture


def _draw_entry(
    picture: Picture, row: int, column: int, gallery: ImageStore, entry: Entry, head: str
) -> None:
    pixels = gallery.images[entry.column]
    distance = f"{entry.distance:.2f}" if entry.distance >= 1 else f"{entry.distance:.3f}"
    foot = _foot(gallery, entry.column, distance)
    shown = grey(pixels, 0.45) if entry.kind == "junk" else pixels
    picture.image(row, column, shown, frame=entry.kind, head=head, foot=foot)


def _has_cameras(images: ImageStore) -> bool:
    return images.protocol == OTHER_CAMERAS


def _match(images: ImageStore) -> str:
    """What makes an image of the query's identity a match, for captions."""
    return "by another camera" if _has_cameras(images) else "in another image"


def _below(images: ImageStore) -> str:
    return f"Below each: {'camera and ' if _has_cameras(images) else ''}distance."


def _foot(images: ImageStore, index: int, text: str = "") -> str:
    """Caption below an image: its camera's number, if the cameras are known, then `text`."""
    camera = images.camids[index]
    return "  ".join(filter(None, (f"c{camera + 1}" if camera >= 0 else "", text)))


def shortened(entries: list[Entry]) -> tuple[list[Entry], int]:
    """A list with its nearest junk only, and how many junk images are left out."""
    junk = [entry for entry in entries if entry.kind == "junk"]
    hidden = set(junk[_MAX_JUNK:])
    return [entry for entry in entries if entry not in hidden], len(hidden)


def choose_failures(ranking: Ranking, pids: NDArray[np.int64], number: int) -> list[int]:
    """Queries with a match but a wrong image at rank 1, the nearest wrong image first.

    They are from different identities as far as possible.
    """
    failed = np.flatnonzero(ranking.first_match > 1)
    nearest = np.array([first_counted(ranking.lists[index]).distance for index in failed])
    return identities_in_turn(failed[np.argsort(nearest, kind="stable")], pids)[:number]


def first_counted(entries: list[Entry]) -> Entry:
    """The entry at rank 1."""
    return next(entry for entry in entries if entry.rank == 1)


@styled
def draw_cmc(
    curves: dict[str, RankingMetrics], gallery: int, where: str, protocol: str = OTHER_CAMERAS
) -> Picture:
    """Draws the share of queries whose first match is among the first ranks, of which `gallery` exist.

    There is a curve for each of the figures by name, the plain ones first.
    """
    first, rule = next(iter(curves.values())), protocol_note(protocol) or "Market-1501 protocol"
    text = (
        f"{first.num_valid_queries:,} queries ({first.num_queries_without_match:,} without a match left "
        f"out); {rule}. mAP: mean over queries of the mean of k / position over the matches, as "
        "scikit-learn computes it (not the data set's own trapezoid)."
    )
    if len(curves) > 1:
        text += " Re-ranked: k-reciprocal, k1 = 20, k2 = 6, λ = 0.3."
    picture = Picture("Cumulative matching characteristic", where, text, _PLOT_WIDTH)
    axes = picture.plot(2.15, "rank", "matching rate, per cent")
    for (name, metrics), style in zip(curves.items(), _CURVES, strict=False):
        rates = 100 * metrics.cmc[:gallery]
        figures = ", ".join(
            f"{names.heading(key)} {100 * getattr(metrics, key):.1f}" for key in names.RANKING
        )
        marked = [rank - 1 for rank in _MARKED_RANKS if rank <= len(rates)]
        ranks = np.arange(1, len(rates) + 1)
        axes.plot(ranks, rates, label=f"{name}: {figures}", markersize=3.5, markevery=marked, **style)
    ranks_shown = min(len(first.cmc), gallery)
    axes.set_xticks([1, *range(5, ranks_shown + 1, 5)])
    axes.set_xlim(0, ranks_shown + 1)
    low = min(100 * metrics.cmc[0] for metrics in curves.values())
    axes.set_ylim(max(0, 10 * np.floor(low / 10 - 0.5)), 101)
    axes.legend(loc="lower right")
    return picture


@styled
def draw_distances(counts: DistanceCounts, where: str, protocol: str = OTHER_CAMERAS) -> Picture:
    """Draws the distances of matches and of non-matches, each as a share of its own pairs."""
    threshold, rate = counts.equal_error()
    totals = [int(some.sum()) for some in (counts.matches, counts.others)]
    other = "camera" if protocol == OTHER_CAMERAS else "image"
    text = (
        f"Squared Euclidean distances of {totals[0]:,} matching pairs (same identity, another {other}) and "
        f"{totals[1]:,} others, distractors among them; all pairs counted, junk left out. Each histogram is "
        f"in per cent of its own pairs. At distance {threshold:.3g} as large a share of matches is farther "
        f"as of others is nearer: {100 * rate:.1f} % (equal error rate). Vertical lines: medians, and that "
        "distance."
    )
    picture = Picture("Distances of matches and non-matches", where, text, _PLOT_WIDTH)
    axes = picture.plot(1.75, "squared Euclidean distance", "share of the pairs, per cent", above=0.25)
    edges, matches, others = counts.coarse()
    for name, fine, coarse, colour, line in (
        ("matches", counts.matches, matches, MATCH, "solid"),
        ("non-matches", counts.others, others, WRONG, "dashed"),
    ):
        median, share = counts.median(fine), 100 * coarse / max(1, coarse.sum())
        axes.stairs(share, edges, fill=True, color=colour, alpha=0.2)
        label = f"{name}, median {median:.3g}"
        axes.stairs(share, edges, color=colour, linewidth=1.2, linestyle=line, label=label)
        axes.axvline(median, color=colour, linewidth=0.8, linestyle=line)
    axes.axvline(threshold, color=INK, linewidth=0.8, linestyle=":", label=f"equal error {threshold:.3g}")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return picture
