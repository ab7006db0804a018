"""Can a study's gain over its baseline be believed? The one judgement that page, terminal and JSON give.

How far scores move by chance is estimated from the study itself. Where it holds too little for that, or where
the intervals of the scores overlap widely, the gain "cannot be judged": that takes `confirm`.
"""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass

from sa_study.metrics import names
from sa_study.metrics.comparability import why_not_comparable
from sa_study.report.text import percent
from sa_study.study.findings import ConfirmationSummary
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import TrialSummary

_FEW_TRIALS = 5
"""With fewer complete trials even a large gain rests on little."""

_MIN_TRIALS = 2
_MIN_STEPS = 3
"""Late steps from an epoch to the next of which a median tells something."""

_LATE = 2 / 3
"""From this share of the schedule on, changes between epochs count as noise."""


@dataclass(frozen=True)
class Judgement:
    """Whether a gain can be trusted: in a few words, and as `good`, `fair`, `poor`, or `unknown`."""

    text: str
    tone: str


@dataclass(frozen=True)
class Gain:
    """The winner's test mAP less the baseline's, a fraction, with its 95 % interval, paired by query.

    The interval's ends are None where the scores of single queries are not known.
    """

    mean: float
    low: float | None = None
    high: float | None = None


def headline(study: StudySummary) -> str:
    """Who won, beside the baseline, in a sentence."""
    winner, baseline, lead = study.winner, study.baseline, validation_lead(study)
    if winner is None:
        return _no_winner(study)
    won = f"won: {names.heading(study.config.metric, names.VALIDATION)} {percent(winner.score)} %"
    if winner.baseline:
        return f"The baseline {won}. No complete trial beats it."
    text = f"Trial {winner.number} {won}"
    if baseline is None or baseline.score is None:
        return f"{text}; the baseline has no score to compare with."
    if lead is None:
        return f"{text}; the baseline was scored on other identities, so there is no difference to state."
    scored = f"{percent(baseline.score)} %" + ("" if baseline.complete else ", not complete")
    return f"{text}, {100 * lead:+.1f} points over the baseline ({scored})."


def judge(study: StudySummary) -> Judgement:
    """Judges a study's gain over its baseline."""
    winner = study.winner
    if winner is None or winner.score is None:
        return Judgement("There is nothing to trust yet", "unknown")
    if study.confirmation is not None:
        return _by_confirmation(winner, study.confirmation)
    if winner.baseline:
        return Judgement("The search has found nothing better than the baseline", "fair")
    gain = test_gain(study)
    if gain is not None and gain.mean <= 0:
        return Judgement("The test set does not confirm the gain over the baseline", "poor")
    return _by_chance(study, winner, gain)


def validation_lead(study: StudySummary) -> float | None:
    """The winner's score less the baseline's, 0 where the baseline won.

    Returns:
        None where there are not two scores on the same identities.
    """
    winner, baseline = study.winner, study.baseline
    if winner is None or baseline is None:
        return None
    if winner.score is None or baseline.score is None or not study.same_identities(winner, baseline):
        return None
    return winner.score - baseline.score


def why_no_test_gain(study: StudySummary) -> str:
    """Why the test figures must not be subtracted; empty where they may, or where there are not two."""
    if not {"best", "baseline"} <= set(study.evaluations):
        return ""
    return why_not_comparable(study.evaluations["best"], study.evaluations["baseline"])


def test_gain(study: StudySummary) -> Gain | None:
    """The winner's gain on the test set; None where one of both is not known, or they cannot be compared."""
    if not {"best", "baseline"} <= set(study.evaluations) & set(study.current_evaluations):
        return None
    if why_no_test_gain(study):
        return None
    from sa_study.analysis.compare import paired_difference  # imports SciPy, which takes its time

    best, baseline = (study.evaluations[name] for name in ("best", "baseline"))
    found = paired_difference(baseline, best, names.MAP)
    mean = float(best[names.MAP] - baseline[names.MAP])
    return Gain(mean, found.low, found.high) if found else Gain(mean)


def epoch_noise(study: StudySummary) -> float | None:
    """How far scores move from one epoch to the next late in the schedule, the median; None if not known."""
    steps = []
    for trial in study.complete:
        late = [value for share, value in trial.finite_curve if share >= 100 * _LATE - 1e-9]
        steps += [abs(after - before) for before, after in itertools.pairwise(late)]
    return statistics.median(steps) if len(steps) >= _MIN_STEPS else None


def lead_by_chance(study: StudySummary) -> float | None:
    """By how much the best of several equally good trials would lead by chance; None where that is not known.

    The median difference of two epochs is 0.67 · √2 of one's deviation: about the deviation itself. The best
    of n leads their mean by √(2 ln n) deviations.
    """
    noise, trials = epoch_noise(study), len(study.complete)
    if noise is None or trials < _MIN_TRIALS:
        return None
    return noise * math.sqrt(2 * math.log(trials))


def intervals_overlap_widely(better: TrialSummary, worse: TrialSummary) -> bool:
    """Whether one of two scores lies in the other's interval; False where none was recorded."""
    if better.score is None or worse.score is None:
        return False
    return bool(
        (better.interval and worse.score >= better.interval[0])
        or (worse.interval and better.score <= worse.interval[1])
    )


def doubt(
    what: str, lead: float, chance: float | None, better: TrialSummary, worse: TrialSummary
) -> Judgement | None:
    """Why a lead of one score over another, called `what`, is not trusted; None where it is beyond chance.

    `chance` is by how much it would lead by chance; None where that is not known.
    """
    if chance is None:
        reason = "how far scores move by chance is not known"
    elif lead < chance:
        return Judgement(f"The {what} may be luck: treat both as equal", "poor")
    elif intervals_overlap_widely(better, worse):
        reason = "the 95 % intervals of both scores overlap widely"
    else:
        return None
    return Judgement(f"The {what} cannot be judged: {reason}", "unknown")


def _no_winner(study: StudySummary) -> str:
    if not study.trials:
        return "No trial has begun yet."
    failed = study.states.get("FAIL", 0)
    if failed and failed == len(study.trials):
        return f"All {failed} trials failed: there is no winner." if failed > 1 else "The only trial failed."
    return "No trial is complete yet."


def _by_confirmation(winner: TrialSummary, found: ConfirmationSummary) -> Judgement:
    """What retraining with new seeds and identities says, which weighs more than any rule of thumb."""
    said = found.verdict.rstrip(".")
    if winner.number not in found.trials:
        text = f"Trial {winner.number} is not confirmed: confirm did not retrain it. It said: {said}"
        return Judgement(text, "poor")
    if not found.ended:
        return Judgement(f"Not confirmed yet: the runs of confirm have not all ended. So far: {said}", "fair")
    if found.winner is None:
        return Judgement(f"Not confirmed: {said}", "poor")
    return Judgement(f"Confirmed: {said}", "good")


def _by_chance(study: StudySummary, winner: TrialSummary, gain: Gain | None) -> Judgement:
    """What the study's own noise says, and a gain on the test set that does not contradict it."""
    lead, chance, few = validation_lead(study), lead_by_chance(study), len(study.complete) < _FEW_TRIALS
    if lead is None or study.baseline is None:
        scored = study.baseline is not None and study.baseline.score is not None
        reason = "was scored on other identities" if scored else "has no score"
        return Judgement(f"The gain cannot be judged: the baseline {reason}", "unknown")
    if doubted := doubt("gain", lead, chance, winner, study.baseline):
        return doubted
    small = chance is not None and lead < 2 * chance
    if small and few:
        return Judgement("The gain cannot be judged: it is small, and few trials are complete", "unknown")
    if small:
        return Judgement("The gain is more than chance would give, but not by much", "fair")
    if few:
        return Judgement("The gain is large against chance, but rests on few complete trials", "fair")
    if gain is None:
        return Judgement("The gain is clear on validation; the test set has not been asked", "fair")
    if gain.low is not None and gain.low > 0:
        return Judgement("The gain over the baseline is clear, and the test set confirms it", "good")
    return Judgement("The gain is clear on validation; the test set does not settle it", "fair")
