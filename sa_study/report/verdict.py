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
from sa_study.report.page.view import StudyView, TrialView, evaluates_winner
from sa_study.study.records import same_validation

FEW_TRIALS = 5
"""With fewer complete trials even a large gain rests on little."""

_MIN_TRIALS = 2
_MIN_STEPS = 3
"""Late steps from an epoch to the next of which a median tells something."""

_LATE = 2 / 3
"""From this share of the schedule on, changes between epochs count as noise."""


@dataclass(frozen=True)
class Judgement:
    """Whether a study's gain over its baseline can be trusted.

    Attributes:
        text: In a few words, without a full stop.
        tone: `good`, `fair`, `poor`, or `unknown` where it cannot be judged.
    """

    text: str
    tone: str


@dataclass(frozen=True)
class Gain:
    """The winner's test mAP less the baseline's, fractions.

    Attributes:
        mean: The difference.
        low: Lower end of its 95 % interval, paired by query; None where single queries' scores are not known.
        high: The upper end.
    """

    mean: float
    low: float | None = None
    high: float | None = None


def judge(study: StudyView) -> Judgement:
    """Judges a study's gain over its baseline."""
    if study.best is None or study.best.score is None:
        return Judgement("There is nothing to trust yet", "unknown")
    if study.trust.confirmed is not None:
        return _by_confirmation(study, study.trust.confirmed)
    if study.best.baseline:
        return Judgement("The search has found nothing better than the baseline", "fair")
    return _by_test_set(study) or _by_chance(study, study.best)


def validation_lead(study: StudyView) -> float | None:
    """The winner's score less the baseline's, 0 where the baseline won.

    Returns:
        None where there are not two scores on the same identities.
    """
    winner, baseline = study.best, study.baseline
    if winner is None or baseline is None:
        return None
    if winner.score is None or baseline.score is None or not same_identities(study, winner, baseline):
        return None
    return winner.score - baseline.score


def same_identities(study: StudyView, one: TrialView, other: TrialView) -> bool:
    """Whether two trials were scored on the same held-out identities."""
    return same_validation(study.config.space, one.params, other.params)


def why_no_test_gain(study: StudyView) -> str:
    """Why the test figures must not be subtracted; empty where they may, or where there are not two."""
    if not {"best", "baseline"} <= set(study.evaluations):
        return ""
    return why_not_comparable(study.evaluations["best"], study.evaluations["baseline"])


def test_gain(study: StudyView) -> Gain | None:
    """The winner's gain on the test set; None where one of both is not known, or they cannot be compared."""
    if not {"best", "baseline"} <= set(study.evaluations) or not evaluates_winner(study):
        return None
    if why_no_test_gain(study):
        return None
    from sa_study.analysis.compare import paired_difference  # imports SciPy, which takes its time

    best, baseline = (study.evaluations[name] for name in ("best", "baseline"))
    found = paired_difference(baseline, best, names.MAP)
    mean = float(best[names.MAP] - baseline[names.MAP])
    return Gain(mean, found.low, found.high) if found else Gain(mean)


def epoch_noise(study: StudyView) -> float | None:
    """How far scores move from one epoch to the next late in the schedule, the median; None if not known."""
    steps = []
    for trial in study.complete:
        late = [value for share, value in trial.curve if share >= 100 * _LATE - 1e-9]
        steps += [abs(after - before) for before, after in itertools.pairwise(late)]
    return statistics.median(steps) if len(steps) >= _MIN_STEPS else None


def lead_by_chance(study: StudyView) -> float | None:
    """By how much the best of so many equally good trials would lead by chance; None where that is not known.

    The median difference of two epochs is 0.67 · √2 of one's deviation: about the deviation itself. The best
    of n leads their mean by √(2 ln n) deviations.
    """
    noise, trials = epoch_noise(study), len(study.complete)
    if noise is None or trials < _MIN_TRIALS:
        return None
    return noise * math.sqrt(2 * math.log(trials))


def _by_confirmation(study: StudyView, better: bool) -> Judgement:
    """What retraining with new seeds and identities says, which weighs more than any rule of thumb."""
    said = study.trust.verdict.rstrip(".")
    if study.winner not in study.trust.tried:
        text = f"Trial {study.winner} is not confirmed: confirm did not retrain it. It said: {said}"
        return Judgement(text, "poor")
    if not study.trust.ended:
        return Judgement(f"Not confirmed yet: the runs of confirm have not all ended. So far: {said}", "fair")
    return Judgement(f"Confirmed: {said}", "good") if better else Judgement(f"Not confirmed: {said}", "poor")


def _by_test_set(study: StudyView) -> Judgement | None:
    """What the test set says against the gain; None where it says nothing against it."""
    gain = test_gain(study)
    if gain is None or gain.mean > 0:
        return None
    return Judgement("The test set does not confirm the gain over the baseline", "poor")


def _by_chance(study: StudyView, winner: TrialView) -> Judgement:
    lead, chance, few = validation_lead(study), lead_by_chance(study), len(study.complete) < FEW_TRIALS
    if lead is None:
        return Judgement(f"The gain cannot be judged: {_no_lead(study, winner)}", "unknown")
    if chance is None:
        return Judgement("The gain cannot be judged: how far scores move by chance is not known", "unknown")
    if lead < chance:
        return Judgement("The gain over the baseline may be luck: treat both as equal", "poor")
    if _intervals_overlap_widely(study, winner):
        return Judgement(
            "The gain cannot be judged: the 95 % intervals of both scores overlap widely", "unknown"
        )
    if lead < 2 * chance and few:
        return Judgement("The gain cannot be judged: it is small, and few trials are complete", "unknown")
    if lead < 2 * chance:
        return Judgement("The gain is more than chance would give, but not by much", "fair")
    if few:
        return Judgement("The gain is large against chance, but rests on few complete trials", "fair")
    gain = test_gain(study)
    if gain is None:
        return Judgement("The gain is clear on validation; the test set has not been asked", "fair")
    if gain.low is not None and gain.low > 0:
        return Judgement("The gain over the baseline is clear, and the test set confirms it", "good")
    return Judgement("The gain is clear on validation; the test set does not settle it", "fair")


def _no_lead(study: StudyView, winner: TrialView) -> str:
    baseline = study.baseline
    if baseline is None or baseline.score is None:
        return "the baseline has no score"
    return "the baseline was scored on other identities"


def _intervals_overlap_widely(study: StudyView, winner: TrialView) -> bool:
    """Whether one of both scores lies in the other's interval; False where none was recorded."""
    baseline = study.baseline
    if baseline is None or winner.score is None or baseline.score is None:
        return False
    low_end, high_end = names.INTERVALS[study.config.metric]
    low, high = winner.figures.get(low_end), baseline.figures.get(high_end)
    return (low is not None and baseline.score >= low) or (high is not None and winner.score <= high)
