"""Runs that repeat others, as tables and lines: confirmation, ablation, retraining, reproduction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sa_study.metrics import names
from sa_study.metrics.protocol import protocol_notes
from sa_study.report.terminal.tables import evaluation_table
from sa_study.report.terminal.text_table import TextTable
from sa_study.report.text import (
    STATES,
    mean_and_std,
    percent,
    points,
    setting_text,
    settings_text,
    with_interval,
)
from sa_study.study.result_files import is_number
from sa_study.utils.text import plural

if TYPE_CHECKING:
    from sa_study.analysis.reproduce.original import OriginalTrial
    from sa_study.analysis.reproduce.reproduction import Reproduction

_MAX_FAILURE_LENGTH = 200
_MAX_DIFFERENCES = 8
"""Differences that are listed; reproduction.json has the largest of each figure."""


def confirmation_table(found: Mapping[str, Any]) -> TextTable:
    """The findings of `confirm`, `confirmation.json`: a row for each configuration."""
    metric, figures = found["metric"], names.STUDY_METRICS
    rows = [
        (
            row["name"],
            f"{row['runs'] - row['failed']} of {row['runs']}",
            *_means(row["figures"]),
            _points(row["difference"], metric),
            _confidence(row["difference"], metric),
        )
        for row in found["configurations"]
    ]
    folds = len(found["folds"])
    identities = "other identities" if folds == 1 else f"{folds} sets of other identities"
    several = found["comparisons"] > 1
    together = f" that hold for all {found['comparisons']} together" if several else ""
    means = (f"{names.heading(figure)} ± std" for figure in figures)
    return TextTable(
        f"Retrained with {len(found['seeds'])} new seeds on {identities}, validation, per cent",
        ("", "runs", *means, f"{names.heading(metric)} − baseline", "P(better)"),
        rows,
        (
            f"± standard deviation of the runs; differences in points, paired by query, with "
            f"{100 * found['level']:.0f} % intervals{together}, over identities and seeds.",
            *protocol_notes(found),
        ),
    )


def curse_line(found: Mapping[str, Any]) -> str:
    """The winner's curse: how much of the study's own lead is left; empty where unknown."""
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


def effects_table(found: Mapping[str, Any]) -> TextTable:
    """The effects in `ablation.json`, a row for each setting."""
    figures = names.STUDY_METRICS
    rows = [
        (
            f"{effect['factor']}: {setting_text(effect['from'])} → {setting_text(effect['to'])}",
            *(_points(effect["difference"], figure) for figure in figures),
            _confidence(effect["difference"], found["metric"]),
        )
        for effect in found["effects"]
    ]
    seeds = plural(len(found["seeds"]), "seed")
    pairs = min((effect["cells"] for effect in found["effects"] if effect["difference"]), default=1)
    spread = (
        "one seed: the pairs' spread stands for the seeds'" if pairs > 1 else "other seeds are not covered"
    )
    over = f"and {seeds}" if len(found["seeds"]) > 1 else f"({spread})"
    return TextTable(
        f"What a change does, validation, points; {seeds}",
        ("change", *map(names.heading, figures), "P(better)"),
        rows,
        (
            "Mean over all pairs of cells that differ in this alone, with its 95 % interval over identities "
            f"{over}; paired by query.",
            "One interval in twenty misses the truth: the more changes are tested, the more seem to matter.",
            *protocol_notes(found),
        ),
    )


def cells_table(found: Mapping[str, Any]) -> TextTable:
    """Every cell of the ablation's grid."""
    rows = [
        (
            settings_text(cell["settings"]),
            f"{cell['runs'] - cell['failed']}/{cell['runs']}",
            *_means(cell["figures"]),
            " / ".join(_mean(cell["reranked"], figure) for figure in names.STUDY_METRICS),
        )
        for cell in found["cells"]
    ]
    labels = [names.heading(figure) for figure in names.STUDY_METRICS]
    headings = ("settings", "runs", *labels, f"re-ranked {' / '.join(labels)}")
    return TextTable("Every cell, validation, per cent ± std", headings, rows, protocol_notes(found))


def retrained_tables(
    found: Mapping[str, Any], evaluations: Mapping[str, Mapping[str, Any]], ledger: str
) -> Iterator[TextTable]:
    """Every run's test figures, and their summary in `retrained.json`; `ledger` is its sentence."""
    yield evaluation_table(evaluations, ledger)
    if len(found["configurations"][0]["seeds"]) > 1 or found["difference"] or found["not_compared"]:
        yield retrained_table(found, runs=False)


def retrained_table(found: Mapping[str, Any], *, runs: bool) -> TextTable:
    """Test figures of retrained configurations: of single `runs`, their mean, and the difference."""
    rows, figures = [], names.STUDY_METRICS
    seeds = min(len(choice["seeds"]) for choice in found["configurations"])
    for choice in found["configurations"]:
        if runs:
            for seed, one in zip(choice["seeds"], choice["evaluations"], strict=True):
                ends = one.get("intervals") or {}
                rates = (with_interval(one[name], ends.get(name)) for name in figures)
                rows.append((f"{choice['name']}, seed {seed}", *rates))
        means = f"{choice['name']}, mean ± std of {len(choice['seeds'])}"
        rows.append((means, *_means(choice["summary"])))
    notes = ["In brackets 95 % intervals of single runs over identities."] if runs else []
    if difference := found["difference"]:
        rows.append(("best − baseline, points", *(points(difference[name]) for name in figures)))
        covers = "and seeds" if seeds > 1 else "only, not other seeds: those take --seeds 3"
        notes.append(f"Paired by query; 95 % intervals over identities {covers}.")
    if reason := found.get("not_compared"):
        notes.append(f"No difference is stated: {reason}.")
    notes += protocol_notes(found["configurations"][0]["evaluations"][0])
    title = f"Retrained on all identities, {plural(seeds, 'seed')}, test set, per cent"
    return TextTable(title, ("", *map(names.heading, figures)), rows, notes)


def figures_table(
    recorded: Mapping[str, Any], rerun: Mapping[str, Any], notes: Sequence[str] = ()
) -> TextTable:
    """The best epoch's figures then and now, with all their digits; `notes` are on their protocol."""
    rows = []
    for name in (*names.RANKING, names.LOSS):
        was: Any = recorded.get(name)
        is_now: Any = rerun.get(name)
        factor = 1 if name == names.LOSS else 100
        if is_number(was) and is_number(is_now):
            change = "0" if was == is_now else f"{factor * (is_now - was):+.2g}"
            rows.append((names.heading(name), f"{factor * was:.6f}", f"{factor * is_now:.6f}", change))
    title = f"Epoch {recorded[names.EPOCH]:.0f}, the best: per cent"
    return TextTable(title, ("", "recorded", "rerun", "difference"), rows, notes)


def opening_line(original: OriginalTrial, study: object) -> str:
    """Line that names the rerun trial and its number of epochs."""
    launches = ", ".join(map(str, original.launches)) or "of no record"
    epochs = f"{original.last_epoch} of {original.settings.epochs} epochs"
    failure = original.failure[:_MAX_FAILURE_LENGTH]
    after = f", the last of which failed ({failure})" if failure else ""
    return (
        f"trial {original.summary.number} of {study}, {STATES[original.summary.state]} in launch {launches}: "
        f"{epochs} are rerun{after}"
    )


def verdict_lines(found: Reproduction) -> Iterator[str]:
    """The result and its reasons, the result first."""
    weights = {
        "equal": "the best epoch's weights are equal",
        "different": "the best epoch's weights differ",
        "not compared": "no weights were compared",
    }[found.weights]
    if found.result == "equal":
        epochs = plural(len(found.rerun.epochs), "epoch")
        failure = "; the failure was reproduced" if found.original.failure else ""
        yield f"EQUAL: every recorded figure of {epochs} is the same to the last bit; {weights}{failure}"
        return
    reasons = list(found.reasons)
    if found.result == "within tolerance":
        metric = names.heading(found.original.metric)
        yield f"WITHIN TOLERANCE: {metric} at the best epoch is within {found.tolerance:g} points; {weights}"
    else:
        yield f"DIFFERENT: {reasons.pop(0)}"
    explained = " ".join(found.reasons)
    listed = [*reasons, *(line for line in map(str, found.differences) if line not in explained)]
    yield from (f"  {line}" for line in listed[:_MAX_DIFFERENCES])
    if len(listed) > _MAX_DIFFERENCES:
        yield f"  and {len(listed) - _MAX_DIFFERENCES} more"


def change_lines(found: Reproduction) -> Iterator[str]:
    """Lines on the differences between the recorded and the present environment."""
    if not found.changes:
        yield "then and now: the same code, versions, CPU and threads"
        return
    yield "then and now:"
    yield from (f"  {change.line}" for change in found.changes)


def _mean(figures: Mapping[str, Any] | None, figure: str) -> str:
    return percent(figures[figure]["mean"]) if figures else "–"


def _means(figures: Mapping[str, Any] | None) -> list[str]:
    return [mean_and_std(figures and figures[figure]) for figure in names.STUDY_METRICS]


def _points(found: Mapping[str, Any] | None, figure: str) -> str:
    return points(found[figure]) if found else "–"


def _confidence(found: Mapping[str, Any] | None, figure: str) -> str:
    if not found:
        return "–"
    share = found[figure]["p_better"]
    return "> 99.9 %" if share > 0.999 else "< 0.1 %" if share < 0.001 else f"{percent(share)} %"
