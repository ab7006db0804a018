"""Confirmations and ablations as tables of text, for the terminal, the page and Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from sa_study.metrics import names
from sa_study.report.terminal.console import make_table, safe
from sa_study.report.text import percent, setting_text, settings_text


@dataclass(frozen=True)
class TextTable:
    """A table of text.

    Attributes:
        title: Its title.
        headings: Column headings; the first column is text, the others figures.
        rows: Cells, as read from a study: not safe to show as they are.
        notes: What must be known to read it.
    """

    title: str
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]
    notes: tuple[str, ...] = ()


def confirmation_rows(found: Mapping[str, Any]) -> TextTable:
    """Rows of the table of `confirm`, one for each configuration.

    Args:
        found: The content of `confirmation.json`.
    """
    metric = found["metric"]
    rows = [
        (
            row["name"],
            f"{row['runs'] - row['failed']} of {row['runs']}",
            *(_mean(row["figures"], figure) for figure in names.STUDY_METRICS),
            _difference(row["difference"], metric),
            _confidence(row["difference"], metric),
        )
        for row in found["configurations"]
    ]
    several = found["comparisons"] > 1
    together = f" that hold for all {found['comparisons']} together" if several else ""
    return TextTable(
        f"Retrained with {len(found['seeds'])} new seeds on {_folds(found)}, validation, per cent",
        (
            "",
            "runs",
            *(f"{names.heading(figure)} ± std" for figure in names.STUDY_METRICS),
            f"{names.heading(metric)} − baseline",
            "P(better)",
        ),
        rows,
        (
            f"± standard deviation of the runs; differences in points, paired by query, with "
            f"{100 * found['level']:.0f} % intervals{together}, over identities and seeds.",
        ),
    )


def confirmation_table(found: Mapping[str, Any]) -> Table:
    """Table of the findings of `confirm`."""
    return _table(confirmation_rows(found))


def curse_line(found: Mapping[str, Any]) -> str:
    """The winner's curse: how much of the study's own lead is left; empty where it is not known."""
    curse = found["curse"]
    if not curse:
        return ""
    lost = 100 * (curse["study_lead"] - curse["lead"])
    left = f"{lost:.1f} points of the lead are gone" if lost > 0 else "all of the lead is left"
    return (
        f"Winner's curse: in the study trial {curse['trial']} led the baseline by "
        f"{100 * curse['study_lead']:+.1f} points of {names.heading(found['metric'])}; retrained, by "
        f"{points({**curse, 'mean': curse['lead']})}: {left}."
    )


def effect_rows(found: Mapping[str, Any]) -> TextTable:
    """Rows of the ablation's effects, one for each setting.

    Args:
        found: The content of `ablation.json`.
    """
    rows = [
        (
            f"{effect['factor']}: {setting_text(effect['from'])} → {setting_text(effect['to'])}",
            *(_difference(effect["difference"], figure) for figure in names.STUDY_METRICS),
            _confidence(effect["difference"], found["metric"]),
        )
        for effect in found["effects"]
    ]
    seeds = len(found["seeds"])
    pairs = min((effect["cells"] for effect in found["effects"] if effect["difference"]), default=1)
    spread = (
        "one seed: the pairs' spread stands for the seeds'" if pairs > 1 else "other seeds are not covered"
    )
    over = f"and {seeds} seeds" if seeds > 1 else f"({spread})"
    return TextTable(
        f"What a change does, validation, points; {seeds} seed{'s' if seeds > 1 else ''}",
        ("change", *(names.heading(figure) for figure in names.STUDY_METRICS), "P(better)"),
        rows,
        (
            "Mean over all pairs of cells that differ in this alone, with its 95 % interval over identities "
            f"{over}; paired by query.",
            "One interval in twenty misses the truth: the more changes are looked at, the more will seem to "
            "matter.",
        ),
    )


def cell_rows(found: Mapping[str, Any]) -> TextTable:
    """Every cell of the grid."""
    rows = [
        (
            settings_text(cell["settings"]),
            f"{cell['runs'] - cell['failed']}/{cell['runs']}",
            *(_mean(cell["figures"], figure) for figure in names.STUDY_METRICS),
            " / ".join(_rate(cell["reranked"], figure) for figure in names.STUDY_METRICS),
        )
        for cell in found["cells"]
    ]
    labels = [names.heading(figure) for figure in names.STUDY_METRICS]
    headings = ("settings", "runs", *labels, f"re-ranked {' / '.join(labels)}")
    return TextTable("Every cell, validation, per cent ± std", headings, rows)


def ablation_tables(found: Mapping[str, Any]) -> list[Table]:
    """Tables of the findings of `ablate`."""
    return [_table(cell_rows(found)), _table(effect_rows(found))]


def _table(rows: TextTable) -> Table:
    table = make_table(rows.title)
    for index, head in enumerate(rows.headings):
        # A figure stays on one line, and the words before it are folded.
        table.add_column(head, justify="right" if index else "left", overflow="fold", no_wrap=index > 0)
    for row in rows.rows:
        table.add_row(*map(safe, row))
    table.caption = "\n".join(rows.notes) or None
    return table


def _folds(found: Mapping[str, Any]) -> str:
    count = len(found["folds"])
    return "other identities" if count == 1 else f"{count} sets of other identities"


def _rate(figures: Mapping[str, Any] | None, figure: str) -> str:
    return percent(figures[figure]["mean"]) if figures else "–"


def _mean(figures: Mapping[str, Any] | None, figure: str) -> str:
    if not figures:
        return "–"
    return f"{percent(figures[figure]['mean'])} ± {percent(figures[figure]['std'])}"


def _difference(found: Mapping[str, Any] | None, figure: str) -> str:
    return points(found[figure]) if found else "–"


def points(found: Mapping[str, Any]) -> str:
    """A difference with its interval, in points."""
    mean, low, high = (f"{100 * found[name]:+.1f}" for name in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"


def _confidence(found: Mapping[str, Any] | None, figure: str) -> str:
    if not found:
        return "–"
    share = found[figure]["p_better"]
    return "> 99.9 %" if share > 0.999 else "< 0.1 %" if share < 0.001 else f"{percent(share)} %"
