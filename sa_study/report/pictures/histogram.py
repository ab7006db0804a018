"""The picture of how far apart matches and non-matches are."""

from __future__ import annotations

from sa_study.report.pictures.counts import DistanceCounts
from sa_study.report.pictures.sheet import INK, LEGEND, MATCH, WRONG, Caption, Sheet, style_axes

_WIDTH = 940
_HEIGHT = 470


def draw(counts: DistanceCounts, where: str) -> Sheet:
    """The two histograms, each as a share of its own pairs."""
    threshold, rate = counts.equal_error()
    totals = [int(some.sum()) for some in (counts.matches, counts.others)]
    caption = (
        f"Squared Euclidean distances of {totals[0]:,} matching pairs (same identity, another camera) and "
        f"{totals[1]:,} others, distractors among them; all pairs counted, junk left out. Each histogram is "
        f"in per cent of its own pairs. At distance {threshold:.3g} as large a share of matches is farther "
        f"as of others is nearer: {100 * rate:.1f} % (equal error rate). Vertical lines: medians, and that "
        "distance."
    )
    sheet = Sheet(_HEIGHT, Caption("Distances of matches and non-matches", where, caption), _WIDTH)
    axes = sheet.axes(95, sheet.top + 40, _WIDTH - 125, _HEIGHT - 120)
    edges, *shares = counts.coarse()
    looks = ((MATCH, "matches", "solid"), (WRONG, "non-matches", "dashed"))
    for some, (colour, name, line) in zip(shares, looks, strict=True):
        kind = counts.matches if name == "matches" else counts.others
        share = 100 * some / max(1, some.sum())
        axes.stairs(share, edges, fill=True, color=colour, alpha=0.2)
        label = f"{name}, median {counts.median(kind):.3g}"
        axes.stairs(share, edges, color=colour, linewidth=1.2, linestyle=line, label=label)
        axes.axvline(counts.median(kind), color=colour, linewidth=0.8, linestyle=line)
    axes.axvline(
        threshold, color=INK, linewidth=0.8, linestyle="dotted", label=f"equal error {threshold:.3g}"
    )
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    style_axes(axes, "squared Euclidean distance", "share of the pairs, per cent")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, **LEGEND)
    return sheet
