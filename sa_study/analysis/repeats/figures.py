"""Means, deviations and differences of repeated runs, as plain values for a JSON file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sa_study.metrics import names
from sa_study.metrics.confidence import LEVEL, Estimate, Stratum, difference, estimate


def figures_of(strata: Sequence[Stratum]) -> dict[str, dict[str, float]] | None:
    """Mean, standard deviation over runs (n - 1; 0 of one run) and interval of each figure, fractions.

    Returns:
        By figure; None where there is no run.
    """
    if not strata:
        return None
    found = {}
    for figure in names.STUDY_METRICS:
        values = [float(run.of(figure).mean()) for stratum in strata for run in stratum.runs]
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        of_mean = estimate(strata, figure)
        found[figure] = {"mean": of_mean.mean, "std": spread, "low": of_mean.low, "high": of_mean.high}
    return found


def differences_of(
    ours: Sequence[Stratum], theirs: Sequence[Stratum], level: float = LEVEL, *, same_runs: bool = False
) -> dict[str, dict[str, float]] | None:
    """The difference of each figure with its interval; None where the sides do not have the same strata."""
    if not ours or [one.fold for one in ours] != [one.fold for one in theirs]:
        return None
    return {
        figure: as_dict(difference(ours, theirs, figure, level, same_runs=same_runs))
        for figure in names.STUDY_METRICS
    }


def as_dict(found: Estimate) -> dict[str, float]:
    """An estimate as plain values."""
    return {"mean": found.mean, "low": found.low, "high": found.high, "p_better": found.p_better}
