"""What the page of several studies says: whose winner is best, and whether that can be trusted."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from sa_study.metrics import names
from sa_study.report.page.comparison import Comparison, Group
from sa_study.report.page.sentences import Verdict
from sa_study.report.text import percent, points, short
from sa_study.report.verdict import Judgement, doubt, lead_by_chance
from sa_study.utils.text import joined


def comparison_verdict(comparison: Comparison) -> Verdict:
    """Whose winner is best, group by group, and whether that can be trusted."""
    reasons = tuple(_reasons(comparison))
    if len(comparison.groups) > 1:
        headline = f"The winners of these {len(comparison.studies)} studies cannot all be compared."
        judgement = "Only scores by the same figure on the same images are compared"
        return Verdict(headline, judgement, "unknown", reasons)
    [group] = comparison.groups
    judged = judge_lead(comparison, group)
    return Verdict(lead_sentence(comparison, group), judged.text, judged.tone, reasons)


def lead_sentence(comparison: Comparison, group: Group) -> str:
    """Whose winner is the best of a group, and by how much."""
    ranked = comparison.ranked(group)
    if not ranked:
        return f"No trial of {listed(group.studies)} is complete yet."
    name, best = ranked[0]
    metric = names.heading(best.metric, names.VALIDATION)
    scored = f"{metric} {percent(best.score)} % (trial {best.number})"
    if len(ranked) == 1:
        alone = len(group.studies) == 1
        return (
            f"The winner of {short(name)}: {scored}."
            if alone
            else f"Only {short(name)} has a winner: {scored}."
        )
    runner_up, second = ranked[1]
    lead = (best.score or 0.0) - (second.score or 0.0)
    if not lead:
        return f"{short(name)} and {short(runner_up)} have equally good winners: {scored}."
    return (
        f"{short(name)} has the best winner: {scored}, {100 * lead:+.1f} points over that of "
        f"{short(runner_up)} ({percent(second.score)} %)."
    )


def judge_lead(comparison: Comparison, group: Group) -> Judgement:
    """Whether the lead of a group's best winner over the next can be trusted."""
    ranked = comparison.ranked(group)
    if len(ranked) < 2:
        return Judgement("There are no two winners to compare yet", "unknown")
    (name, best), (runner_up, second) = ranked[:2]
    lead, chance = (best.score or 0.0) - (second.score or 0.0), chance_lead(comparison, name, runner_up)
    tested = comparison.test_difference(runner_up, name, names.MAP)
    if not lead:
        return Judgement("Neither of the two best winners leads", "unknown")
    if tested is not None and tested.mean <= 0:
        return Judgement("The test set does not confirm the lead", "poor")
    if doubted := doubt("lead", lead, chance, best, second):
        return doubted
    if tested is None:
        return Judgement("The lead is more than chance would give, on validation alone", "fair")
    if tested.low > 0:
        return Judgement("The lead is more than chance would give, and the test set confirms it", "good")
    return Judgement("The lead is more than chance would give; the test set does not settle it", "fair")


def chance_lead(comparison: Comparison, first: str, second: str) -> float | None:
    """By how much a winner would lead by chance, the greater of two studies; None where one is not known."""
    found = [lead_by_chance(comparison.studies[name]) for name in (first, second)]
    known = [chance for chance in found if chance is not None]
    return max(known) if len(known) == len(found) else None


def test_lines(comparison: Comparison) -> list[str]:
    """What must be known of each study's test figures, or why it has none where another has."""
    said = []
    for name, study in comparison.studies.items():
        if name in comparison.evaluations:
            line = study.trust.ledger_line
        elif "best" in study.evaluations:
            line = "its test figures are of an earlier winner: run evaluate again."
        else:
            line = "its winner was not evaluated." if comparison.evaluations else ""
        said += [f"{short(name)}: {line}"] if line else []
    return said


def listed(studies: Iterable[str]) -> str:
    """Names of studies as a sentence lists them."""
    return joined([short(name, 80) for name in studies])


def _reasons(comparison: Comparison) -> list[str]:
    groups = comparison.groups
    said = [
        f"{listed(group.studies)} cannot be compared with {listed(groups[0].studies)}: {short(group.reason)}."
        for group in groups
        if group.reason
    ]
    for group in groups:
        if len(groups) > 1:
            judged = f" {judge_lead(comparison, group).text}." if len(comparison.ranked(group)) > 1 else ""
            said.append(lead_sentence(comparison, group) + judged)
        if len(comparison.ranked(group)) > 1:
            said += _reasons_on_lead(comparison, group)
    return said


def _reasons_on_lead(comparison: Comparison, group: Group) -> list[str]:
    """What must be known of the lead of a group's best winner over the next."""
    (name, best), (runner_up, second) = comparison.ranked(group)[:2]
    said = []
    if (chance := chance_lead(comparison, name, runner_up)) is not None:
        said.append(
            "Judged by how far scores move late in the schedule, the best of equally good trials leads by "
            f"about {100 * chance:.1f} points by chance."
        )
    counts = [len(comparison.studies[one].complete) for one in (name, runner_up)]
    if counts[0] != counts[1]:
        said.append(
            f"{short(name)} chose from {counts[0]} complete trials, {short(runner_up)} from {counts[1]}: the "
            "best of more looks better even where all are equally good."
        )
    tested = comparison.test_difference(runner_up, name, names.MAP)
    if tested is not None:
        said.append(
            f"The {names.heading(names.MAP, names.TEST)} of {short(name)} less that of "
            f"{short(runner_up)}: {points(dataclasses.asdict(tested))} points, paired by query."
        )
    if best.figures == second.figures and best.params == second.params:
        said.append("Both winners have the same settings and figures.")
    return said
