"""Tables of test figures, comparisons, data sets, settings and exported files.

The table of a study's trials is in `study_panel` beside this file, and on the page in `page/page.html.j2`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from sa_study.metrics import names
from sa_study.metrics.comparability import image_counts
from sa_study.metrics.protocol import protocol_notes
from sa_study.report.terminal.text_table import TextTable
from sa_study.report.text import duration, interval, percent, points, with_interval
from sa_study.utils.files import format_bytes
from sa_study.utils.text import a_few

if TYPE_CHECKING:
    from sa_study.data.check import DataReport

_MAX_SIZES = 5
"""Sizes of images that are listed; of cut-out people there may be thousands."""


def evaluation_table(
    evaluations: Mapping[str, Mapping[str, Any]], ledger: str = "", *, one_line: bool = False
) -> TextTable:
    """Test figures, a row for each evaluation and each re-ranking.

    Args:
        evaluations: What `sa_study.training.evaluate.evaluate` returns, by label.
        ledger: A sentence on how often the test set was evaluated.
        one_line: Whether an interval stands beside its figure, not below it.
    """
    rows: list[list[str | Text]] = []
    for label, evaluation in evaluations.items():
        rows.append([label, *_rates(evaluation, one_line)])
        if again := evaluation.get("reranked"):
            rows.append([f"{label}, {names.RERANKED}", *_rates(again, one_line)])
    notes = [image_counts(evaluations)]
    if seconds := sum(sum(evaluation.get("seconds", {}).values()) for evaluation in evaluations.values()):
        notes[0] += f", {duration(seconds)}"
    notes.append(
        f"{names.heading(names.MAP)}: mean of k/position over a query's matches, as scikit-learn; "
        f"{names.heading(names.MAP_TRAPEZOID)}: as the data set's own script, usually different by up to a "
        "few points. Compare figures of the same formula only."
    )
    if any(evaluation.get("intervals") for evaluation in evaluations.values()):
        place = "In brackets" if one_line else "Below a figure"
        notes.append(f"{place} 95 % intervals over identities; other seeds are not covered.")
    headings = ("", *map(names.heading, names.TEST_FIGURES))
    title = "Test set (query against gallery), per cent"
    return TextTable(title, headings, rows, [*notes, *([ledger] if ledger else [])], compact=True)


def _rates(evaluation: Mapping[str, Any], one_line: bool) -> Iterator[str | Text]:
    """Test figures, with their intervals where they have them."""
    intervals = evaluation.get("intervals") or {}
    for name in names.TEST_FIGURES:
        rate, ends = evaluation.get(name), intervals.get(name)
        if ends and not one_line:
            yield Text(f"{percent(rate)}\n{interval(*ends)}")
        else:
            yield with_interval(rate, ends)


def seeds_table(
    summary: Mapping[str, Mapping[str, float]], seeds: int, notes: Sequence[str] = ()
) -> TextTable:
    """Mean and deviation of the test figures over several seeds; `notes` are on their protocol."""
    rows = [(names.heading(name), percent(row["mean"]), percent(row["std"])) for name, row in summary.items()]
    return TextTable(f"Test set, {seeds} seeds, per cent", ("", "mean", "std"), rows, notes)


def comparison_table(found: Mapping[str, Any]) -> TextTable:
    """A row for each figure, re-ranked ones behind."""
    rows = [
        (
            names.heading(figure, reranked=kind == "reranked"),
            percent(row["first"]),
            percent(row["second"]),
            points({**row, "mean": row["difference"]}),
            "< 0.001" if row["p"] < 0.001 else f"{row['p']:.3f}",
            f"{row['better']} / {row['worse']} of {row['queries']}",
        )
        for kind in ("plain", "reranked")
        for figure, row in found.get(kind, {}).items()
    ]
    sides = [
        f"{label}: {found[side]}{f', {count} runs' if count > 1 else ''}"
        for label, side, count in zip("AB", ("first", "second"), found["runs"], strict=True)
    ]
    headings = ("", "A", "B", "B − A (95 % interval)", "p", "queries + / −")
    notes = [*sides, *protocol_notes(found)]
    return TextTable("Test set, per cent and points", headings, rows, notes)


def conclusion(found: Mapping[str, Any]) -> str:
    """Whether a difference is shown, and what that covers."""
    row = found["plain"][names.MAP]
    said = "No difference in mAP is shown"
    if row["low"] > 0 or row["high"] < 0:
        said = f"B is {'better' if row['low'] > 0 else 'worse'} in mAP"
    if found["seeds"]:
        return f"{said}; this covers other identities and other seeds."
    return f"{said}; this covers other identities, but not other seeds: that takes several runs of each."


def data_table(report: DataReport) -> TextTable:
    """Counts of a data set by split."""
    counts = ("images", "ids", "cameras", "distractors", "junk", "stray")
    rows = [
        (name, *(f"{getattr(split, attribute):,}" for attribute in (*counts, "single_camera_ids")))
        for name, split in (*report.splits.items(), ("all", report.total))
    ]
    shown = [f"{height}×{width} ({count:,})" for (height, width), count in report.sizes.items()]
    notes = (
        f"unreadable images: {len(report.unreadable)}; ids in both train and test: {len(report.overlap)}; "
        f"queries without a match: {len(report.queries_without_match)}",
        f"height×width: {a_few(shown, _MAX_SIZES) if shown else '–'}",
    )
    headings = ("", *counts, "1-camera ids" if report.cameras else "1-image ids")
    return TextTable(str(report.root), headings, rows, notes, total=True)


def settings_table(rows: Sequence[tuple[str, str, str, str]]) -> TextTable:
    """Table of all settings with their ranges and defaults."""
    headings = ("key", "default", "allowed", "meaning")
    return TextTable("Settings for --set KEY=VALUE", headings, rows, words=range(4))


def files_table(files: Mapping[str, int], differences: Mapping[str, float]) -> TextTable:
    """Exported files with their bytes, and how far the features of those with networks are from PyTorch's."""
    headings = ["file", "size", "largest difference to PyTorch"]
    rows = [
        (name, format_bytes(size), f"{differences[name]:.2g}" if name in differences else "")
        for name, size in files.items()
    ]
    shown = len(headings) if differences else 2
    return TextTable("Exported", headings[:shown], [row[:shown] for row in rows])
