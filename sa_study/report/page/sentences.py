"""What the page says of a study: which trial won, whether to believe it, and why."""

from __future__ import annotations

from dataclasses import dataclass

from sa_study.metrics import names
from sa_study.report.page.page_study import PageStudy
from sa_study.report.page.text import short
from sa_study.report.text import percent
from sa_study.report.verdict import (
    epoch_noise,
    headline,
    judge,
    lead_by_chance,
    test_gain,
    validation_lead,
    why_no_test_gain,
)
from sa_study.study.trial_summary import TrialSummary

AP_FORMULA = (
    f"{names.heading(names.MAP)}: mean of k/position over a query's matches, as scikit-learn; "
    f"{names.heading(names.MAP_TRAPEZOID)}: as the data set's own script, usually different by up to a few "
    "points. Compare figures of the same formula only."
)

_MAX_CLOSE_DIFFERENCE = 0.01
"""Scores that are at most this much below the winner's are called close."""


@dataclass(frozen=True)
class Verdict:
    """The verdict at the top of the page.

    Attributes:
        headline: The winner beside the baseline.
        judgement: Whether that can be trusted, in a few words.
        tone: `good`, `fair`, `poor` or `unknown`.
        reasons: What the judgement rests on.
    """

    headline: str
    judgement: str
    tone: str
    reasons: tuple[str, ...]


def points(difference: float) -> str:
    """A difference of two fractions, in points of per cent."""
    return f"{100 * difference:+.1f}".replace("-", "−")


def give_verdict(study: PageStudy) -> Verdict:
    """Who won, and whether that can be trusted."""
    winner, judgement = study.winner, judge(study)
    reasons = _counts(study)
    if winner is not None:
        reasons += [*_runners_up(study, winner), *_noise(study), *_seeds(study), _tested(study)]
    return Verdict(headline(study), short(judgement.text), judgement.tone, tuple(reasons))


def _counts(study: PageStudy) -> list[str]:
    states = study.states
    said = [
        f"{states[state]} {text}"
        for state, text in (
            ("COMPLETE", "ran their whole schedule"),
            ("PRUNED", "were stopped early"),
            ("FAIL", "failed"),
            ("RUNNING", "have not ended"),
            ("WAITING", "have not started"),
        )
        if state in states
    ]
    total = f"{len(study.trials)} of {study.config.trials} trials have started"
    return [f"{total}: {', '.join(said)}." if said else f"{total}."]


def _runners_up(study: PageStudy, winner: TrialSummary) -> list[str]:
    others = [
        trial
        for trial in study.complete
        if trial.number != winner.number and study.same_identities(trial, winner)
    ]
    if not others and len(study.complete) > 1:
        return ["Every other complete trial was scored on other identities than the winner."]
    if not others:
        return ["No other trial is complete, so the winner can only be compared with stopped ones."]
    score, best = winner.score or 0.0, others[0]
    behind = 100 * (score - (best.score or 0.0))
    close = sum(score - (trial.score or 0.0) <= _MAX_CLOSE_DIFFERENCE for trial in others)
    name = "the baseline" if best.baseline else f"trial {best.number}"
    text = f"The runner-up, {name}, is {behind:.1f} points behind"
    if not close:
        return [f"{text}; no other complete trial comes within one point."]
    verb = "trial lies" if close == 1 else "trials lie"
    return [f"{text}; {close} {verb} within one point of the winner, and may be as good."]


def _noise(study: PageStudy) -> list[str]:
    noise, chance, lead = epoch_noise(study), lead_by_chance(study), validation_lead(study)
    if noise is None or chance is None:
        return ["How far scores move by chance is not known: too few late epochs were recorded."]
    text = (
        f"Late in the schedule a score moves by {100 * noise:.1f} points from one epoch to the next "
        f"(median). The best of {len(study.complete)} equally good trials would lead by about "
        f"{100 * chance:.1f} by chance"
    )
    if not lead:  # not known, or the baseline won
        return [f"{text}."]
    return [f"{text}; the winner leads the baseline by {100 * lead:.1f}."]


def _seeds(study: PageStudy) -> list[str]:
    if "seed" in study.config.space.search or study.confirmation is not None:
        return []
    seed = study.value(study.trials[0], "seed")
    return [
        f"Every trial ran with one seed only (seed {short(seed)}); how much another would change was not "
        "measured."
    ]


def _tested(study: PageStudy) -> str:
    if "best" not in study.evaluations:
        if study.trust.summaries:
            return f"{_final(study)} {study.trust.seen_line}".rstrip()
        return (
            "These are validation figures on held-out training identities, and the best of many is somewhat "
            "optimistic. The test set has not been opened."
        )
    if not study.evaluates_winner:
        return "The test figures here are of an earlier winner: run evaluate again."
    gain, reason = test_gain(study), why_no_test_gain(study)
    seen = "".join(f" {line}" for line in (_final(study), study.trust.seen_line) if line)
    if reason:
        return f"No difference to the baseline on the test set is stated: {short(reason)}.{seen}"
    if gain is None:
        return (
            f"The test set was opened for the winner; evaluate --baseline adds the baseline’s figures.{seen}"
        )
    compared = f"the winner’s {names.heading(names.MAP)} is the baseline’s {points(gain.mean)} points"
    if gain.low is not None and gain.high is not None:
        compared += f" (95 % interval {points(gain.low)} to {points(gain.high)}, paired by query)"
    return f"On the test set, which the search never saw, {compared}.{seen}"


def _final(study: PageStudy) -> str:
    """The retrained test figures, which weigh more than a single evaluation; empty where there are none."""
    said = [
        f"{one.name} {percent(one.mean)} %"
        + (f" ± {percent(one.std)} over {one.seeds} seeds" if one.seeds > 1 else " (one seed)")
        for one in study.trust.summaries
    ]
    figure = names.heading(names.MAP, names.TEST)
    return f"Retrained on all training identities, {figure}: {', '.join(said)}." if said else ""


def standing(study: PageStudy) -> str:
    """Whether the study runs, in a few words."""
    if study.driver:
        return f"running ({short(study.driver)})"
    if study.ended >= study.config.goal:
        return "finished"
    return "not running; “resume” continues it"
