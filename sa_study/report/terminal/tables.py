"""Tables of test figures, data sets and settings for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from sa_study.data.check import DataReport
from sa_study.metrics import names
from sa_study.metrics.comparability import image_counts
from sa_study.report.terminal.console import make_table, safe
from sa_study.report.terminal.repeats import points
from sa_study.report.text import duration, interval, percent
from sa_study.utils.files import format_bytes
from sa_study.utils.text import a_few, visible

_MAX_SIZES = 5
"""Sizes of images that are listed; of cut-out people there may be thousands."""


def evaluation_table(evaluations: Mapping[str, Mapping[str, Any]], seen: str = "") -> Table:
    """Test figures, a row for each evaluation and each re-ranking.

    Args:
        evaluations: What `sa_study.training.evaluate.evaluate` returns, by label.
        seen: A sentence on how often the test set was evaluated.
    """
    table = make_table("Test set (query against gallery), per cent")
    # Without edges and with a narrow first column the headings keep their words in 80 columns.
    table.show_edge = False
    table.add_column(
        "", max_width=max(map(len, (names.RERANKED, *" ".join(map(visible, evaluations)).split())))
    )
    for name in names.TEST_FIGURES:
        table.add_column(names.heading(name), justify="right")
    for label, evaluation in evaluations.items():
        table.add_row(escape(visible(label)), *(_rate(evaluation, name) for name in names.TEST_FIGURES))
        if again := evaluation["reranked"]:
            row = (_rate(again, name) for name in names.TEST_FIGURES)
            table.add_row(escape(visible(f"{label}, {names.RERANKED}")), *row)
    seconds = sum(sum(evaluation["seconds"].values()) for evaluation in evaluations.values())
    table.caption = (
        f"{escape(visible(image_counts(evaluations)))}, {duration(seconds)}.\n"
        f"{names.heading(names.MAP)}: mean of k/position, as scikit-learn does; "
        f"{names.heading(names.MAP_TRAPEZOID)}: as the data set's own script does."
    )
    if any(evaluation.get("intervals") for evaluation in evaluations.values()):
        table.caption += "\nBelow a figure its 95 % interval over identities; other seeds are not covered."
    if seen:
        table.caption += f"\n{seen}"
    return table


def _rate(evaluation: Mapping[str, Any], name: str) -> str:
    """A figure, with its interval below it where it has one."""
    found = (evaluation.get("intervals") or {}).get(name)
    return percent(evaluation.get(name)) + (f"\n{interval(*found)}" if found else "")


def seeds_table(summary: Mapping[str, Mapping[str, float]], seeds: int) -> Table:
    """Mean and deviation of the test figures over several seeds."""
    table = make_table(f"Test set, {seeds} seeds, per cent")
    table.add_column("")
    for column in ("mean", "std"):
        table.add_column(column, justify="right")
    for name, row in summary.items():
        table.add_row(names.heading(name), percent(row["mean"]), percent(row["std"]))
    return table


def retrained_tables(
    found: Mapping[str, Any], evaluations: Mapping[str, Mapping[str, Any]], seen: str
) -> Iterator[Table]:
    """Every run's test figures; mean and deviation of each configuration, and their difference.

    Args:
        found: The content of `retrained.json`.
        evaluations: What was evaluated, by configuration and seed.
        seen: A sentence on how often the test set was evaluated.
    """
    yield evaluation_table(evaluations, seen)
    seeds = len(found["configurations"][0]["seeds"])
    if seeds > 1 or found["difference"] or found["not_compared"]:
        yield _retrained_summary(found, seeds)


def _retrained_summary(found: Mapping[str, Any], seeds: int) -> Table:
    table = make_table(f"Retrained on all identities, {seeds} seed{'s' if seeds > 1 else ''}, test set")
    for column in ("", *map(names.heading, names.STUDY_METRICS)):
        table.add_column(column, justify="right" if column else "left")
    for choice in found["configurations"]:
        rows = [choice["summary"][figure] for figure in names.STUDY_METRICS]
        cells = [f"{percent(row['mean'])} ± {percent(row['std'])}" for row in rows]
        table.add_row(safe(choice["name"]), *cells)
    if difference := found["difference"]:
        table.add_row("difference", *(points(difference[figure]) for figure in names.STUDY_METRICS))
        covers = "and seeds" if seeds > 1 else "only: what other seeds would change takes --seeds 3 to tell"
        table.caption = f"Paired by query; 95 % intervals over identities {covers}."
    if reason := found["not_compared"]:
        table.caption = f"No difference is stated: {reason}."
    return table


def comparison_table(found: Mapping[str, Any]) -> Table:
    """A row for each figure, re-ranked ones behind."""
    table = make_table("Test set, per cent and points")
    table.add_column("")
    for column in ("A", "B", "B − A (95 % interval)", "p", "queries + / −"):
        table.add_column(column, justify="right", no_wrap=True)
    for kind in ("plain", "reranked"):
        for figure, row in found.get(kind, {}).items():
            table.add_row(
                names.heading(figure, reranked=kind == "reranked"),
                percent(row["first"]),
                percent(row["second"]),
                f"{100 * row['difference']:+.1f} ({100 * row['low']:+.1f} to {100 * row['high']:+.1f})",
                "< 0.001" if row["p"] < 0.001 else f"{row['p']:.3f}",
                f"{row['better']} / {row['worse']} of {row['queries']}",
            )
    runs = found["runs"]
    sides = [
        f"{label}: {escape(visible(found[side]))}{f', {count} runs' if count > 1 else ''}"
        for label, side, count in zip("AB", ("first", "second"), runs, strict=True)
    ]
    table.caption = "\n".join(sides)
    return table


def conclusion(found: Mapping[str, Any]) -> str:
    """Whether a difference is shown, and what that covers."""
    row = found["plain"][names.MAP]
    if row["low"] > 0 or row["high"] < 0:
        said = f"B is {'better' if row['low'] > 0 else 'worse'} in mAP"
    else:
        said = "No difference in mAP is shown"
    if found["seeds"]:
        return f"{said}; this covers other identities and other seeds."
    return f"{said}; this covers other identities, but not other seeds: that takes several runs of each."


def data_table(report: DataReport) -> Table:
    """Counts of a data set by split."""
    table = make_table(escape(visible(report.root)))
    table.add_column("")
    for column in ("images", "ids", "cameras", "distractors", "junk", "stray", "1-camera ids"):
        table.add_column(column, justify="right")
    rows = [*report.splits.items(), ("all", report.total)]
    for name, split in rows:
        counts = (
            split.images,
            split.ids,
            split.cameras,
            split.distractors,
            split.junk,
            split.stray,
            split.single_camera_ids,
        )
        table.add_row(name, *(f"{count:,}" for count in counts), end_section=name == "gallery")
    shown = [f"{height}×{width} ({count:,})" for (height, width), count in report.sizes.items()]
    sizes = a_few(shown, _MAX_SIZES) if shown else "–"
    table.caption = (
        f"unreadable images: {len(report.unreadable)}; ids in both train and test: {len(report.overlap)}; "
        f"queries without a match: {len(report.queries_without_match)}\nheight×width: {sizes}"
    )
    return table


def settings_table(rows: Sequence[tuple[str, str, str, str]]) -> Table:
    """Table of all settings with their ranges and defaults."""
    table = make_table("Settings for --set KEY=VALUE")
    for column in ("key", "default", "allowed", "meaning"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def files_table(files: Mapping[str, int], differences: Mapping[str, float]) -> Table:
    """Exported files with their sizes, and how far networks' features are from PyTorch's.

    Args:
        files: Bytes of each file.
        differences: Largest absolute difference of a feature, by the file of a network.
    """
    table = make_table("Exported")
    table.add_column("file", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    if differences:
        table.add_column("largest difference to PyTorch", justify="right")
    for name, size in files.items():
        difference = [f"{differences[name]:.2g}"] if name in differences else []
        table.add_row(name, format_bytes(size), *difference)
    return table
