"""Plots over all queries: the CMC curve, and the histograms of distances."""

from __future__ import annotations

from typing import Any

import numpy as np

from sa_study.metrics import names
from sa_study.metrics.ranking import RankingMetrics
from sa_study.report.pictures.figure import INK, MATCH, WRONG, Caption, Picture, styled
from sa_study.report.pictures.ranking import DistanceCounts

_WIDTH = 4.7
_MARKED = (1, 5, 10, 20, 50)
_STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#0072b2", "linestyle": "solid", "marker": "o"},
    {"color": "#e69f00", "linestyle": "dashed", "marker": "s"},
)


@styled
def draw_cmc(curves: dict[str, RankingMetrics], gallery: int, where: str) -> Picture:
    """Draws the share of queries whose first match is among the first ranks.

    Args:
        curves: Figures by name, the plain ones first.
        gallery: Number of gallery images; no rank is greater.
        where: The network and the images.
    """
    first = next(iter(curves.values()))
    text = (
        f"Market-1501 protocol, {first.num_valid_queries:,} queries ({first.num_queries_without_match:,} "
        "without a match left out). mAP: mean over queries of the mean of k / position over the matches, as "
        "scikit-learn computes it (not the data set's own trapezoid)."
    )
    if len(curves) > 1:
        text += " Re-ranked: k-reciprocal, k1 = 20, k2 = 6, λ = 0.3."
    picture = Picture(Caption("Cumulative matching characteristic", where, text), _WIDTH)
    axes = picture.plot(2.15, "rank", "matching rate, per cent")
    for (name, metrics), style in zip(curves.items(), _STYLES, strict=False):
        rates = 100 * metrics.cmc[:gallery]
        figures = ", ".join(
            f"{names.heading(key)} {100 * getattr(metrics, key):.1f}" for key in names.RANKING
        )
        marked = [rank - 1 for rank in _MARKED if rank <= len(rates)]
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
def draw_distances(counts: DistanceCounts, where: str) -> Picture:
    """Draws the distances of matches and of non-matches, each as a share of its own pairs."""
    threshold, rate = counts.equal_error()
    totals = [int(some.sum()) for some in (counts.matches, counts.others)]
    text = (
        f"Squared Euclidean distances of {totals[0]:,} matching pairs (same identity, another camera) and "
        f"{totals[1]:,} others, distractors among them; all pairs counted, junk left out. Each histogram is "
        f"in per cent of its own pairs. At distance {threshold:.3g} as large a share of matches is farther "
        f"as of others is nearer: {100 * rate:.1f} % (equal error rate). Vertical lines: medians, and that "
        "distance."
    )
    picture = Picture(Caption("Distances of matches and non-matches", where, text), _WIDTH)
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
