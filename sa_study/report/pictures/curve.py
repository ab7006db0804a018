"""The CMC curve."""

from __future__ import annotations

from typing import Any

import numpy as np

from sa_study.metrics import names
from sa_study.metrics.ranking import RankingMetrics
from sa_study.report.pictures.sheet import LEGEND, Caption, Sheet, style_axes

_WIDTH, _HEIGHT = 940, 520
_MARKED = (1, 5, 10, 20, 50)
_LOOKS = (("#0072b2", "solid", "o"), ("#e69f00", "dashed", "s"))


def draw(curves: dict[str, RankingMetrics], gallery: int, where: str) -> Sheet:
    """The share of queries whose first match is among the first ranks.

    Args:
        curves: Figures by name, the plain ones first.
        gallery: Number of gallery images; no rank is greater.
        where: What network and images these are.
    """
    first = next(iter(curves.values()))
    caption = (
        f"ReidDataset protocol, {first.num_valid_queries:,} queries "
        f"({first.num_queries_without_match:,} without a match left out). mAP: mean over queries of the mean "
        "of k / position over the matches, as scikit-learn does (not the data set's own trapezoid)."
    )
    if len(curves) > 1:
        caption += " Re-ranked: k-reciprocal, k1 = 20, k2 = 6, λ = 0.3."
    sheet = Sheet(_HEIGHT, Caption("Cumulative matching characteristic", where, caption), _WIDTH)
    axes = sheet.axes(95, sheet.top + 10, _WIDTH - 125, _HEIGHT - 90)
    for (name, metrics), (colour, line, marker) in zip(curves.items(), _LOOKS, strict=False):
        rates = 100 * metrics.cmc[:gallery]
        ranks = np.arange(1, len(rates) + 1)
        text = ", ".join(f"{names.heading(key)} {100 * getattr(metrics, key):.1f}" for key in names.RANKING)
        marked = [rank - 1 for rank in _MARKED if rank <= len(rates)]
        style: dict[str, Any] = {"color": colour, "linestyle": line, "marker": marker, "markevery": marked}
        axes.plot(
            ranks,
            rates,
            linewidth=1.3,
            markersize=3.5,
            label=f"{name}: {text}",
            **style,
        )
    axes.set_xticks([1, *range(5, min(len(first.cmc), gallery) + 1, 5)])
    axes.set_xlim(0, min(len(first.cmc), gallery) + 1)
    low = min(100 * metrics.cmc[0] for metrics in curves.values())
    axes.set_ylim(max(0, 10 * np.floor(low / 10 - 0.5)), 101)
    style_axes(axes, "rank", "matching rate, per cent")
    axes.legend(loc="lower right", **LEGEND)
    return sheet
