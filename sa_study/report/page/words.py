"""What a study says, in plain sentences: who won, whether to believe it, what it cost."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sa_study import keys
from sa_study.report.console import duration, interval, percent
from sa_study.report.page.text import plain
from sa_study.report.page.view import StudyView, TrialView, evaluates_winner

AP_FORMULA = (
    "mAP: mean of k/position over a query's matches, as scikit-learn; mAP (trapezoid): as the data set's own "
    "script, usually different by up to a few points. Compare figures of the same formula only."
)
_CLOSE = 0.01
"""Scores within this of the winner's are called close."""

_FEW = 5
_LATE = 2 / 3
"""From this share of the schedule on, changes between epochs count as noise."""


@dataclass(frozen=True)
class Verdict:
    """What stands at the top of the page.

    Attributes:
        headline: The winner beside the baseline.
        judgement: Whether that can be trusted, in a few words.
        tone: `good`, `fair` or `poor`.
        reasons: What the judgement rests on.
    """

    headline: str
    judgement: str
    tone: str
    reasons: tuple[str, ...]


def points(difference: float) -> str:
    """A difference of two fractions, in points of per cent."""
    return f"{100 * difference:+.1f}".replace("-", "−")


def give_verdict(study: StudyView) -> Verdict:
    """Who won, and whether that can be trusted."""
    winner, baseline = study.best, study.baseline
    if winner is None or winner.score is None:
        return Verdict(_no_winner(study), "There is nothing to trust yet", "poor", tuple(_counts(study)))
    metric, noise = study.config.metric, epoch_noise(study)
    lead = None
    if baseline is not None and baseline.score is not None and not winner.baseline:
        lead = winner.score - baseline.score
    headline = f"Trial {winner.number} won: validation {metric} {percent(winner.score)} %"
    if winner.baseline:
        headline = (
            f"The baseline won: validation {metric} {percent(winner.score)} %. No complete trial beats it."
        )
    elif lead is None:
        headline += "; the baseline has no score to compare with."
    else:
        other = percent(baseline.score if baseline else None)
        headline += f", {points(lead)} points over the paper’s baseline ({other} %)."
    judgement, tone = _judge(study, winner, lead, noise)
    if study.trust.confirmed is not None:
        judgement, tone = _confirmed(study, study.trust.confirmed)
    reasons = [*_counts(study), *_runners_up(study, winner), *_noise(study, noise, lead), *_seeds(study)]
    return Verdict(headline, judgement, tone, (*reasons, _tested(study)))


def _no_winner(study: StudyView) -> str:
    if not study.trials:
        return "No trial has begun yet."
    failed = study.states.get("FAIL", 0)
    if failed and failed == len(study.trials):
        return f"All {failed} trials failed: there is no winner." if failed > 1 else "The only trial failed."
    return "No trial is complete yet."


def _judge(study: StudyView, winner: TrialView, lead: float | None, noise: float | None) -> tuple[str, str]:
    if winner.baseline:
        return "The search has found nothing better than the paper’s baseline", "fair"
    if lead is None:
        return "The gain cannot be judged without the baseline’s score", "poor"
    gain = test_gain(study)
    if gain is not None and gain <= 0:
        return "The test set does not confirm the gain over the baseline", "poor"
    luck = None if noise is None else noise * _luck(len(study.complete))
    if luck is not None and lead < luck:
        return "The gain over the baseline may be luck: treat both as equal", "poor"
    if luck is None or lead < 2 * luck:
        return "The gain over the baseline is probably real, but small against chance", "fair"
    if len(study.complete) < _FEW:
        return "The gain is large against chance, but rests on few complete trials", "fair"
    if gain is not None:
        return "The gain over the baseline is clear, and the test set confirms it", "good"
    return "The gain over the baseline is clear on validation; the test set has not been asked", "fair"


def _confirmed(study: StudyView, better: bool) -> tuple[str, str]:
    """What retraining with new seeds and identities says, which weighs more than any rule of thumb."""
    said = study.trust.verdict.rstrip(".")
    if study.winner not in study.trust.tried:
        return f"Trial {study.winner} is not confirmed: confirm did not retrain it. It said: {said}", "poor"
    if not study.trust.ended:
        return f"Not confirmed yet: the runs of confirm have not all ended. So far: {said}", "fair"
    return (f"Confirmed: {said}", "good") if better else (f"Not confirmed: {said}", "poor")


def _counts(study: StudyView) -> list[str]:
    states = study.states
    said = [
        f"{states[state]} {text}"
        for state, text in (
            ("COMPLETE", "ran their whole schedule"),
            ("PRUNED", "were stopped early"),
            ("FAIL", "failed"),
            ("RUNNING", "have not ended"),
            ("WAITING", "have not begun"),
        )
        if state in states
    ]
    total = f"{len(study.trials)} of {study.config.trials} trials have begun"
    return [f"{total}: {', '.join(said)}." if said else f"{total}."]


def _runners_up(study: StudyView, winner: TrialView) -> list[str]:
    others = [trial for trial in study.complete if trial.number != winner.number]
    if not others:
        return [
            "No other trial is complete, so there is nothing to compare the winner with but the stopped ones."
        ]
    score, best = winner.score or 0.0, others[0]
    behind = 100 * (score - (best.score or 0.0))
    close = sum(score - (trial.score or 0.0) <= _CLOSE for trial in others)
    name = "the baseline" if best.baseline else f"trial {best.number}"
    text = f"The runner-up, {name}, is {behind:.1f} points behind"
    if not close:
        return [f"{text}; no other complete trial comes within one point."]
    verb = "trial lies" if close == 1 else "trials lie"
    return [f"{text}; {close} {verb} within one point of the winner, and may be as good."]


def epoch_noise(study: StudyView) -> float | None:
    """How far scores move from one epoch to the next late in the schedule, the median; None if not known."""
    steps = []
    for trial in study.complete:
        late = [value for share, value in trial.curve if share >= 100 * _LATE - 1e-9]
        steps += [abs(after - before) for before, after in itertools.pairwise(late)]
    return statistics.median(steps) if len(steps) >= 3 else None


def _luck(trials: int) -> float:
    """By how many deviations the best of so many equally good trials leads their mean: √(2 ln n)."""
    return math.sqrt(2 * math.log(max(trials, 2)))


def _noise(study: StudyView, noise: float | None, lead: float | None) -> list[str]:
    count = len(study.complete)
    if noise is None or count < 2:
        return ["How far scores move by chance is not known: too few late epochs were recorded."]
    # The median difference of two epochs is 0.67 · √2 of one's deviation: about the deviation itself.
    text = (
        f"Late in the schedule a score moves by {100 * noise:.1f} points from one epoch to the next "
        f"(median). The best of {count} equally good trials would lead by about "
        f"{100 * noise * _luck(count):.1f} by chance"
    )
    if lead is None:
        return [f"{text}."]
    return [f"{text}; the winner leads the baseline by {100 * lead:.1f}."]


def _seeds(study: StudyView) -> list[str]:
    if "seed" in study.config.space.search or study.trust.confirmed is not None:
        return []
    seed = study.value(study.trials[0], "seed")
    return [
        f"Every trial ran with one seed only (seed {plain(seed)}); what another would change was not "
        "measured."
    ]


def _tested(study: StudyView) -> str:
    if "best" not in study.evaluations:
        if study.trust.summaries:
            return f"{_final(study)} {study.trust.seen_line}".rstrip()
        return (
            "These are validation figures on held-out training identities, and the best of many is somewhat "
            "too good. The test set has not been opened."
        )
    if not evaluates_winner(study):
        return "The test figures here are of an earlier winner: run evaluate again."
    gain = test_gain(study)
    seen = "".join(f" {line}" for line in (_final(study), study.trust.seen_line) if line)
    if gain is None:
        return (
            f"The test set was opened for the winner; evaluate --baseline adds the baseline’s figures.{seen}"
        )
    compared = f"the winner’s mAP is the baseline’s {points(gain)} points"
    return f"On the test set, which the search never saw, {compared}.{seen}"


def _final(study: StudyView) -> str:
    """The retrained test figures, which weigh more than a single evaluation; empty where there are none."""
    said = [
        f"{one.name} {percent(one.mean)} %"
        + (f" ± {percent(one.std)} over {one.seeds} seeds" if one.seeds > 1 else " (one seed)")
        for one in study.trust.summaries
    ]
    return f"Retrained on all training identities, test mAP: {', '.join(said)}." if said else ""


def test_gain(study: StudyView) -> float | None:
    """The winner's test mAP less the baseline's; None where one is not known."""
    if not {"best", "baseline"} <= set(study.evaluations) or not evaluates_winner(study):
        return None
    best, baseline = (study.evaluations[name][keys.MAP] for name in ("best", "baseline"))
    return float(best - baseline)


def test_rows(study: StudyView) -> list[tuple[str, list[str]]]:
    """Rows of the test figures, in per cent; re-ranked ones behind."""
    rows = []
    for name, label in (("best", "winner"), ("baseline", "baseline")):
        evaluation = study.evaluations.get(name)
        if evaluation is None:
            continue
        rows.append((label, [_rate(evaluation, figure) for figure in keys.TEST_FIGURES]))
        if again := evaluation.get("reranked"):
            rows.append((f"{label}, re-ranked", [_rate(again, figure) for figure in keys.TEST_FIGURES]))
    return rows


def _rate(evaluation: Mapping[str, Any], figure: str) -> str:
    ends = (evaluation.get("intervals") or {}).get(figure)
    return percent(evaluation[figure]) + (f" ({interval(*ends)})" if ends else "")


def cost_items(study: StudyView) -> list[tuple[str, str]]:
    """What the study took: names and values."""
    cost = study.cost
    items = [("training time", duration(cost.seconds)), ("epochs", f"{cost.epochs:,}")]
    hours = f"{cost.gpu_seconds / 3600:,.2f}" if cost.gpu_seconds else "0 (CPU only)"
    items.insert(0, ("GPU-hours", hours))
    if (span := wall_clock(study)) is not None:
        items.append(("from first start to last end", duration(span)))
    if cost.training_share is not None:
        items.append(("share of the slots’ time spent training", f"{percent(cost.training_share)} %"))
    return items


def wall_clock(study: StudyView) -> float | None:
    """Seconds from the first trial's begin to the last one's end, pauses included; None before the first."""
    begun = [trial.began for trial in study.trials if trial.began is not None]
    ended: Sequence[float] = [trial.ended for trial in study.trials if trial.ended is not None]
    return max(ended) - min(begun) if begun and ended else None


def standing(study: StudyView) -> str:
    """Whether the study runs, in a few words."""
    if study.driver:
        return f"running ({plain(study.driver)})"
    if study.ended >= study.config.goal:
        return "finished"
    return "not running; resume goes on with it"
