"""How far a figure, or the difference of two, can be trusted.

Queries of one identity succeed and fail together, so identities are what varies, each with all its queries:
resampling single queries would give intervals that are too narrow (see `benchmarks/coverage.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtri, stdtr, stdtrit

from sa_study.metrics import names
from sa_study.metrics.query_scores import QueryScores
from sa_study.utils.errors import DataError

LEVEL = 0.95
_NO_VARIANCE = 1e-24
FIGURES = tuple(names.INTERVALS)
"""The figures that are reported with an interval."""

Array = NDArray[np.float64]


def intervals(scores: QueryScores, level: float = LEVEL) -> dict[str, list[float] | None]:
    """Intervals of rank-1 and mAP over the identities of one ranking.

    They tell what other identities of the same kind would change, not what another training would. They are
    Clopper and Pearson's for the number of independent trials that would vary as much as the figure does,
    fewer where identities are few (Korn and Graubard, "Confidence Intervals for Proportions With Small
    Expected Number of Positive Counts Estimated From Survey Data", 1998). A sample may lack the few
    identities at which everything fails; so the variance is that with √n / 2 more identities that succeed or
    fail wholly: a ninth more at 20 identities, a fiftieth at 750. A bootstrap's percentiles contain the true
    value too seldom for high figures of few identities (`benchmarks/coverage.py`).

    Returns:
        Lowest and highest value by figure, fractions; None with fewer than two identities.
    """
    values = np.stack([scores.of(figure) for figure in FIGURES])
    sums, counts = _by_identity(scores, values)
    if len(counts) < 2:
        return dict.fromkeys(FIGURES)
    return {figure: _share_bounds(row, counts, level) for figure, row in zip(FIGURES, sums, strict=True)}


def interval_bounds(scores: QueryScores) -> dict[str, float]:
    """The ends of `intervals` by the names under which an epoch reports them; empty where there are none."""
    return {
        name: value
        for figure, found in intervals(scores).items()
        if found
        for name, value in zip(names.INTERVALS[figure], found, strict=True)
    }


def _share_bounds(sums: Array, counts: Array, level: float) -> list[float]:
    number, tail = len(counts), (1 - level) / 2
    mean = min(float(sums.sum() / counts.sum()), 1.0)
    variance, unseen = _jackknife_variance(sums, counts), math.sqrt(number) / 2
    # Without variation, as where all succeed, each identity counts as one trial.
    trials: float = number
    if variance > _NO_VARIANCE:
        variance = (number * variance + unseen * mean * (1 - mean) / number) / (number + unseen)
        trials = mean * (1 - mean) / variance * float(ndtri(tail) / stdtrit(number - 1, tail)) ** 2
    hits, misses = trials * mean, trials * (1 - mean)
    low = float(betaincinv(hits, misses + 1, tail)) if hits > 0 else 0.0
    high = float(betaincinv(hits + 1, misses, 1 - tail)) if misses > 0 else 1.0
    return [min(low, mean), max(high, mean)]


@dataclass(frozen=True)
class Stratum:
    """Runs that differ in their seed alone: same configuration, same images.

    Attributes:
        fold: Which identities are ranked; strata of different folds have no identity in common.
        runs: Each run's scores of the same queries.
    """

    fold: int
    runs: Sequence[QueryScores]


@dataclass(frozen=True)
class Estimate:
    """A mean over runs, or the difference of two such means, fractions.

    Attributes:
        mean: The value.
        low: Lower end of its interval.
        high: Upper end.
        p_better: Confidence that the true value is above 0.
    """

    mean: float
    low: float
    high: float
    p_better: float


def estimate(ours: Sequence[Stratum], figure: str, level: float = LEVEL) -> Estimate:
    """The mean of a figure over strata and runs, with its interval; see `difference`."""
    return _mean_and_interval([ours], figure, level)


def bonferroni_level(level: float, comparisons: int) -> float:
    """The level at which each of several intervals is taken, so that all hold together (Bonferroni)."""
    return 1 - (1 - level) / max(comparisons, 1)


def difference(
    ours: Sequence[Stratum],
    theirs: Sequence[Stratum],
    figure: str,
    level: float = LEVEL,
    *,
    same_runs: bool = False,
) -> Estimate:
    """The difference of a figure between two configurations, paired by query and by stratum.

    Two variances are added: that of the identities (a jackknife within each fold) and that of the seeds (the
    variance of the runs' means; a side of single runs is taken to vary like the other side, and if both have
    single runs, the strata's means are compared instead). Degrees of freedom for Student's t are Welch's and
    Satterthwaite's. Where a fold has a single identity, the interval is the whole possible range.

    Args:
        ours: One configuration's runs.
        theirs: The other's, in strata of the same folds in the same order.
        figure: `mAP` or a `rank…`.
        level: Confidence of the interval.
        same_runs: Whether both sides score the same trainings, one by one, so that these are paired too.

    Raises:
        DataError: The strata or their queries are not the same.
    """
    if [stratum.fold for stratum in ours] != [stratum.fold for stratum in theirs]:
        raise DataError("only runs on the same folds can be compared")
    return _mean_and_interval([ours, theirs], figure, level, same_runs)


def _mean_and_interval(
    sides: Sequence[Sequence[Stratum]], figure: str, level: float, same_runs: bool = False
) -> Estimate:
    _require_same_queries(sides)
    ours = sides[0]
    tables = [[np.stack([run.of(figure) for run in stratum.runs]) for stratum in side] for side in sides]
    if same_runs:
        tables = [[mine - other for mine, other in zip(*tables, strict=True)]]
    of_strata = [table.mean(axis=0) for table in tables[0]]
    if len(tables) > 1:
        of_strata = [mine - other.mean(axis=0) for mine, other in zip(of_strata, tables[1], strict=True)]
    mean = float(np.mean([values.mean() for values in of_strata]))
    least = -1.0 if len(sides) > 1 else 0.0
    if any(np.unique(s.runs[0].pids[s.runs[0].valid]).size < 2 for s in ours):
        return Estimate(mean, least, 1.0, 0.5)
    parts = [*_run_variances(tables, of_strata), *_identity_variances(ours, of_strata)]
    variance = sum(part for part, _ in parts)
    if variance <= _NO_VARIANCE:
        same = len(sides) > 1 and _same_scores(*sides)
        return Estimate(mean, mean, mean, 0.5) if same else _unvaried(mean, least, ours, level)
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    error = math.sqrt(variance)
    reach = float(stdtrit(freedom, (1 + level) / 2)) * error
    low, high = max(mean - reach, least), min(mean + reach, 1.0)
    return Estimate(mean, low, high, float(stdtr(freedom, mean / error)))


def _unvaried(mean: float, least: float, strata: Sequence[Stratum], level: float) -> Estimate:
    """Bounds where all identities score alike: unseen ones may not, in Clopper and Pearson's proportion."""
    scores = [stratum.runs[0] for stratum in strata]
    number = np.unique(np.concatenate([one.pids[one.valid] for one in scores])).size
    share = ((1 - level) / 2) ** (1 / number)
    doubt = min(0.5, (1 + abs(mean)) ** -float(number))  # the tail at which the interval's end is 0
    p_better = 1 - doubt if mean > 0 else doubt if mean < 0 else 0.5
    return Estimate(mean, share * mean + (1 - share) * least, share * mean + (1 - share), p_better)


def _same_scores(ours: Sequence[Stratum], theirs: Sequence[Stratum]) -> bool:
    """Whether the runs scored the same query by query, and not perfectly: then the networks are the same."""
    pairs = [
        (mine, other)
        for one, two in zip(ours, theirs, strict=True)
        for mine in one.runs
        for other in two.runs
    ]
    return all(
        np.array_equal(mine.average_precision, other.average_precision, equal_nan=True)
        and (mine.of(names.MAP) < 1).any()
        for mine, other in pairs
    )


def _run_variances(tables: list[list[Array]], of_strata: list[Array]) -> Iterator[tuple[float, int]]:
    """Variance of the mean that comes from seeds, and its degrees of freedom: one pair for each side.

    The strata of a side are taken to vary alike, and a side of single runs like the other side.
    """
    strata = len(of_strata)
    several = [any(len(table) > 1 for table in side) for side in tables]
    if any(several):
        for side in tables if all(several) else [list(chain.from_iterable(tables))]:
            means = [table.mean(axis=1) for table in side]
            freedom = sum(of_one.size - 1 for of_one in means)
            squares = sum(float(np.square(of_one - of_one.mean()).sum()) for of_one in means)
            yield squares / freedom * sum(1 / of_one.size for of_one in means) / strata**2, freedom
    elif strata > 1:
        means_of_strata = np.array([values.mean() for values in of_strata])
        yield float(means_of_strata.var(ddof=1)) / strata, strata - 1


def _identity_variances(strata: Sequence[Stratum], of_strata: list[Array]) -> Iterator[tuple[float, int]]:
    """Variance of the mean that comes from the identities of each fold, and its degrees of freedom."""
    for fold in dict.fromkeys(stratum.fold for stratum in strata):
        mine = [index for index, stratum in enumerate(strata) if stratum.fold == fold]
        scores = strata[mine[0]].runs[0]
        values = np.mean([of_strata[index] for index in mine], axis=0)
        sums, counts = _by_identity(scores, values[None])
        number = len(counts)
        share = len(mine) / len(strata)
        yield share**2 * _jackknife_variance(sums[0], counts), number - 1


def _jackknife_variance(sums: Array, counts: Array) -> float:
    """Variance of sums / counts by leaving out one identity at a time; that of a mean if counts are equal."""
    number = len(counts)
    without = (sums.sum() - sums) / (counts.sum() - counts)
    return float((number - 1) * without.var())


def _require_same_queries(sides: Iterable[Sequence[Stratum]]) -> None:
    first: dict[int, QueryScores] = {}
    for stratum in (stratum for side in sides for stratum in side):
        for run in stratum.runs:
            known = first.setdefault(stratum.fold, run)
            same = np.array_equal(known.pids, run.pids) and np.array_equal(known.valid, run.valid)
            if not same:
                raise DataError("the runs did not rank the same queries, so they cannot be compared")


def _by_identity(scores: QueryScores, values: Array) -> tuple[Array, Array]:
    """Sums of values (rows × valid queries) by identity, rows × identities, and its number of queries."""
    _, of_query = np.unique(scores.pids[scores.valid], return_inverse=True)
    counts = np.bincount(of_query).astype(np.float64)
    return np.stack([np.bincount(of_query, weights=row) for row in values]), counts
