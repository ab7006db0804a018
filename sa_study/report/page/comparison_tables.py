"""Tables of several studies: scores, test figures, differences, cost, settings, spaces and commands."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

from sa_study.metrics import names
from sa_study.metrics.protocol import PROTOCOL, protocol_notes
from sa_study.report.page.comparison import ComparedStudy, Comparison, Group
from sa_study.report.page.page_study import Difference
from sa_study.report.page.tables import provenance_rows, short_setting, usual_command
from sa_study.report.terminal.tables import evaluation_table
from sa_study.report.terminal.text_table import TextTable
from sa_study.report.text import duration, percent, points, short, with_interval
from sa_study.report.verdict import judge, validation_lead
from sa_study.settings.run import Settings, canonical_key
from sa_study.settings.space import Parameter, SearchSpace

_BUDGETS = (0.25, 0.5, 0.75, 1.0)
"""Shares of the least epochs that any study trained, after which scores are compared."""

_SETTINGS = tuple(field.name for field in dataclasses.fields(Settings))
ABOUT_SEARCH = ("data set", "training images (SHA-256)", "maximised", "sampler", "early stopping")
"""Rows of the studies' provenance that are shown side by side."""


def score_table(comparison: Comparison, group: Group) -> TextTable:
    """Validation figures of a group's winners, and what they lead their own baselines by."""
    figures = list(dict.fromkeys((comparison.studies[group.studies[0]].config.metric, *names.STUDY_METRICS)))
    rows = [_score_row(name, comparison.studies[name], figures) for name in group.studies]
    leads = ("over its baseline, points", "retrained, points", "can that be trusted?")
    headings = ("study", "trial", "best epoch", *map(names.heading, figures), *leads)
    known = any(winner.interval_of(figure) for _, winner in comparison.ranked(group) for figure in figures)
    covered = "In brackets 95 % intervals over the held-out identities; other seeds are not covered."
    notes = [*protocol_notes({PROTOCOL: comparison.studies[group.studies[0]].protocol}), *[covered] * known]
    return TextTable(
        "Validation, per cent", headings, rows, notes, words=(0, len(headings) - 1), compact=True
    )


def _score_row(name: str, study: ComparedStudy, figures: list[str]) -> tuple[str, ...]:
    best, lead, retrained = study.winner, validation_lead(study), study.trust.lead
    if best is None:
        return (name, *["–"] * (len(figures) + 4), judge(study).text)
    confirmed = retrained if retrained and retrained.label == f"trial {best.number}" else None
    return (
        name,
        str(best.number),
        f"{best.best_epoch} of {best.epochs}",
        *(with_interval(best.figures.get(figure), best.interval_of(figure)) for figure in figures),
        "–" if lead is None else f"{100 * lead:+.1f}",
        f"{confirmed.mean:+.1f} ({confirmed.low:+.1f} to {confirmed.high:+.1f})" if confirmed else "–",
        judge(study).text,
    )


def budget_table(comparison: Comparison, group: Group) -> TextTable | None:
    """The best scores of a group's studies after the same numbers of epochs; None without two to compare."""
    studies = {name: comparison.studies[name] for name in group.studies if comparison.studies[name].leaders}
    if len(studies) < 2:
        return None
    least = min(study.cost.epochs for study in studies.values())
    budgets = sorted({max(1, round(share * least)) for share in _BUDGETS})
    rows = [
        (name, *(percent(study.best_after(epochs)) for epochs in budgets)) for name, study in studies.items()
    ]
    metric = names.heading(next(iter(studies.values())).config.metric, names.VALIDATION)
    note = (
        "The last column is all that the study with the fewest epochs trained; a dash: no trial was complete."
    )
    headings = ("study", *(f"{epochs:,} epochs" for epochs in budgets))
    return TextTable(f"Best {metric} so far, per cent, at the same cost", headings, rows, [note])


def test_table(comparison: Comparison, group: Group) -> TextTable:
    """Test figures of a group's winners."""
    evaluations = {short(name): comparison.evaluations[name] for name in group.studies}
    return evaluation_table(evaluations, one_line=True)


def difference_table(comparison: Comparison, group: Group) -> TextTable | None:
    """Differences of the test figures of every two of a group's winners; None where there are no two."""
    rows = [
        (
            f"{second} − {first}",
            *(_difference(comparison, first, second, name) for name in names.STUDY_METRICS),
        )
        for first, second in itertools.combinations(group.studies, 2)
    ]
    note = (
        "Paired by query, in brackets 95 % intervals over identities, each by itself, as “compare” gives "
        "them; other seeds are not covered."
    )
    headings = ("", *map(names.heading, names.STUDY_METRICS))
    return TextTable("Differences on the test set, points", headings, rows, [note]) if rows else None


def _difference(comparison: Comparison, first: str, second: str, figure: str) -> str:
    if found := comparison.test_difference(first, second, figure):
        return points(dataclasses.asdict(found))
    before, after = (comparison.evaluations[name][figure] for name in (first, second))
    return f"{100 * (after - before):+.1f} (no interval: evaluate again)"


def test_differences(comparison: Comparison, group: Group) -> list[Difference]:
    """Differences of the mAP on the test set of every two of a group's winners, for a plot."""
    return [
        Difference(short(f"{second} − {first}", 80), 100 * one.mean, 100 * one.low, 100 * one.high)
        for first, second in itertools.combinations(group.studies, 2)
        if (one := comparison.test_difference(first, second, names.MAP))
    ]


def cost_table(comparison: Comparison) -> TextTable:
    """What became of each study's trials, and what they cost."""
    units = list(dict.fromkeys(study.unit for study in comparison.studies.values()))
    rows = [
        (
            name,
            f"{len(study.trials)} of {study.config.goal}",
            *(str(study.states.get(state, 0)) for state in ("COMPLETE", "PRUNED", "FAIL")),
            f"{study.cost.epochs:,}",
            *(f"{study.hours:,.2f}" if study.unit == unit else "–" for unit in units),
            duration(study.cost.seconds),
        )
        for name, study in comparison.studies.items()
    ]
    headings = ("study", "trials", "complete", "stopped early", "failed", "epochs", *units, "training time")
    return TextTable("Trials and cost", headings, rows)


def winner_table(comparison: Comparison) -> TextTable | None:
    """The winners' settings that a study searched, or in which two winners differ; None without a winner."""
    winners = {
        name: dataclasses.asdict(study.settings(study.winner))
        for name, study in comparison.studies.items()
        if study.winner
    }
    if not winners:
        return None
    searched = {
        canonical_key(key) for study in comparison.studies.values() for key in study.config.space.search
    }
    rows = []
    for name in _SETTINGS:
        values = [short_setting(settings[name]) for settings in winners.values()]
        if name in searched or len(set(values)) > 1:
            rows.append((name, *values))
    return TextTable("Settings that were searched, or that differ", ("setting", *winners), rows)


def space_table(comparison: Comparison) -> TextTable:
    """The settings that the studies search or fix differently."""
    rows = [(name, *taken) for name, taken in _setting_by_study(comparison) if len(set(taken)) > 1]
    title = "What the search spaces have different" if rows else "The search spaces are the same"
    return TextTable(title, ("setting", *comparison.studies), rows, words=range(len(comparison.studies) + 1))


def common_settings(comparison: Comparison) -> list[tuple[str, str]]:
    """The settings that all studies search or fix alike."""
    named = {
        canonical_key(key)
        for study in comparison.studies.values()
        for key in (*study.config.space.search, *study.config.space.fixed)
    }
    return [
        (name, taken[0])
        for name, taken in _setting_by_study(comparison)
        if name in named and len(set(taken)) == 1
    ]


def _setting_by_study(comparison: Comparison) -> Iterator[tuple[str, list[str]]]:
    """Each setting, and what it is in the studies: a range, or a value."""
    spaces = [study.config.space for study in comparison.studies.values()]
    for name in _SETTINGS:
        yield name, [_range_or_value(space, name) for space in spaces]


def _range_or_value(space: SearchSpace, name: str) -> str:
    searched: Parameter | None = next(
        (parameter for key, parameter in space.search.items() if canonical_key(key) == name), None
    )
    return short(searched.describe()) if searched else f"{short_setting(space.possible(name)[0])} (fixed)"


def search_table(comparison: Comparison) -> TextTable:
    """How the studies searched, and on what."""
    about = [dict(provenance_rows(study)) for study in comparison.studies.values()]
    rows = [
        *((label, *(rows[label] for rows in about)) for label in ABOUT_SEARCH),
        ("trials asked for", *(str(study.config.trials) for study in comparison.studies.values())),
    ]
    words = range(len(about) + 1)
    return TextTable("How each study searched", ("", *comparison.studies), rows, words=words)


def comparison_commands(comparison: Comparison) -> list[tuple[str, str]]:
    """Next commands to run, each with its purpose."""
    roots = {name: study.folder.root for name, study in comparison.studies.items()}
    found: list[tuple[object, ...]] = []
    for name, study in comparison.studies.items():
        of_study = ("--study", roots[name])
        if study.winner and name not in comparison.evaluations:
            found.append((f"Evaluate the winner of {name} on the test set", "evaluate", *of_study))
        if study.winner and study.confirmation is None:
            found.append((f"Check whether a leader of {name} is really better", "confirm", *of_study))
    for group in comparison.test_groups:
        for first, second in itertools.combinations(group.studies, 2):
            purpose = f"Test whether the winner of {second} is really better than that of {first}"
            found.append((purpose, "compare", roots[first], roots[second]))
    found += [(f"Write the page of {name}", "report", "--study", root) for name, root in roots.items()]
    found.append(("Write this page again", "report", *roots.values()))
    return [(short(purpose), usual_command(*words)) for purpose, *words in found]
