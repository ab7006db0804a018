"""Tables and progress for the terminal; plain text where it is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from sa_study.data.check import DataReport
from sa_study.metrics import names
from sa_study.metrics.comparability import image_counts
from sa_study.report.terminal.output import lively
from sa_study.report.terminal.text import clean
from sa_study.utils.files import format_bytes
from sa_study.utils.progress import PhaseCallback

_SIZES = 5
"""Sizes of images that are listed; of cut-out people there may be thousands."""


def percent(rate: float | None) -> str:
    """A fraction as the field prints it, in per cent with one decimal."""
    return "–" if rate is None else f"{100 * rate:.1f}"


def duration(seconds: float) -> str:
    """A duration in its two leading units."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def clock(seconds: float) -> str:
    """A duration as minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def make_table(title: str) -> Table:
    """An empty table in the program's style, narrow enough for 80 columns."""
    style: Any = {"title_style": "bold", "box": SIMPLE_HEAD, "pad_edge": False, "collapse_padding": True}
    return Table(title=title, title_justify="left", caption_justify="left", **style)


@contextmanager
def phases(console: Console) -> Iterator[PhaseCallback]:
    """A progress bar for each phase of a job, as it is reported; nothing where no bar can be drawn.

    A phase of one step has a bar that only moves to and fro.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(40 if console.width >= 100 else 20 if console.width >= 80 else 8),
        TextColumn("{task.fields[amount]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}", markup=False),
    )
    with Progress(*columns, console=console, transient=True, disable=not lively(console)) as bars:
        tasks: dict[str, Any] = {}

        def report(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = bars.add_task(clean(phase), amount="", left="")
            task, several = tasks[phase], total > 1
            left = bars.tasks[bars.task_ids.index(task)].time_remaining
            bars.update(
                task,
                completed=done,
                total=total if several else None,
                visible=done < total,
                amount=f"{done:,} of {total:,}" if several else "",
                left=f"{clock(left)} left" if several and left is not None else "",
            )

        yield report


def epoch_line(figures: Mapping[str, float], epochs: int) -> str:
    """One line for an epoch of a run in this process."""
    parts = [f"epoch {figures[names.EPOCH]:.0f}/{epochs}", f"loss {figures[names.LOSS]:.3f}"]
    parts.append(f"train accuracy {percent(figures[names.TRAIN_ACCURACY])} %")
    if names.MAP in figures:
        parts += [f"{names.heading(name)} {percent(figures[name])} %" for name in names.STUDY_METRICS]
    parts.append(f"lr {figures[names.LR]:.2g}")
    parts.append(f"{figures[names.IMAGES_PER_SECOND]:.0f} images/s")
    return "  ".join(parts)


def evaluation_table(evaluations: Mapping[str, Mapping[str, Any]], seen: str = "") -> Table:
    """Test figures, a row for each evaluation and each re-ranking.

    Args:
        evaluations: What `sa_study.training.evaluate.evaluate` returns, by label.
        seen: What is to be said of looks at the test set.
    """
    table = make_table("Test set (query against gallery), per cent")
    table.add_column("")
    for name in names.TEST_FIGURES:
        table.add_column(names.heading(name), justify="right")
    for label, evaluation in evaluations.items():
        table.add_row(escape(clean(label)), *(_rate(evaluation, name) for name in names.TEST_FIGURES))
        if again := evaluation["reranked"]:
            row = (_rate(again, name) for name in names.TEST_FIGURES)
            table.add_row(escape(clean(f"{label}, {names.RERANKED}")), *row)
    seconds = sum(sum(evaluation["seconds"].values()) for evaluation in evaluations.values())
    table.caption = (
        f"{escape(clean(image_counts(evaluations)))}, {duration(seconds)}.\n"
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
    return percent(evaluation[name]) + (f"\n{interval(*found)}" if found else "")


def interval(low: float, high: float) -> str:
    """An interval of fractions, in per cent."""
    return f"{percent(low)}–{percent(high)}"


def seeds_table(summary: Mapping[str, Mapping[str, float]], seeds: int) -> Table:
    """Mean and deviation of the test figures over several seeds."""
    table = make_table(f"Test set, {seeds} seeds, per cent")
    table.add_column("")
    for column in ("mean", "std"):
        table.add_column(column, justify="right")
    for name, row in summary.items():
        table.add_row(names.heading(name), percent(row["mean"]), percent(row["std"]))
    return table


def data_table(report: DataReport) -> Table:
    """Counts of a data set by split."""
    table = make_table(escape(clean(report.root)))
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
    more = f" and {len(shown) - _SIZES} more" if len(shown) > _SIZES else ""
    sizes = ", ".join(shown[:_SIZES]) + more
    table.caption = (
        f"unreadable images: {len(report.unreadable)}; ids in both train and test: {len(report.overlap)}; "
        f"queries without a match: {len(report.queries_without_match)}\nheight×width: {sizes or '–'}"
    )
    return table


def settings_table(rows: Sequence[tuple[str, str, str, str]]) -> Table:
    """What `--set` takes."""
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
