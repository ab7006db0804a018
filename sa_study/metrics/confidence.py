"""How far a figure, or the difference of two, can be trusted.

Queries of one identity succeed and fail together, so identities are resampled, each with all its queries:
resampling single queries would give intervals that are too narrow. `benchmarks/coverage.py` shows both.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtr, stdtrit

from sa_study import keys
from sa_study.errors import DataError
from sa_study.metrics.query_scores import QueryScores

LEVEL = 0.95
DRAWS = 4000
_DRAWS_AT_ONCE = 500
FIGURES = (keys.RANK1, keys.MAP)
"""The figures that are reported with an interval."""

Array = NDArray[np.float64]


def intervals(scores: QueryScores, level: float = LEVEL) -> dict[str, list[float] | None]:
    """Bootstrap intervals of rank-1 and mAP over the identities of one ranking.

    They tell what other identities of the same kind would change, not what another training would. The
    percentiles are moved outwards as Student's t demands of few identities (Hesterberg, "What Teachers Should
    Know About the Bootstrap", 2015, section 3.3); the same scores give the same intervals.

    Returns:
        Lowest and highest value by figure, fractions; None with fewer than two identities.
    """
    values = np.stack([scores.of(figure) for figure in FIGURES])
    sums, counts = _by_identity(scores, values)
    number = len(counts)
    if number < 2:
        return dict.fromkeys(FIGURES)
    spread = math.sqrt(number / (number - 1)) * stdtrit(number - 1, (1 + level) / 2)
    tail = float(ndtr(-spread))
    means = np.concatenate([(weights @ sums.T) / (weights @ counts)[:, None] for weights in _weights(number)])
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    found: dict[str, list[float] | None] = {}
    for index, figure in enumerate(FIGURES):
        # Where all succeed, or fail, resampling sees no variation: the exact bound of that many trials.
        exact = ((1 - level) / 2) ** (1 / number)
        least = exact if values[index].min() == 1 else float(low[index])
        most = 1 - exact if values[index].max() == 0 else float(high[index])
        found[figure] = [least, most]
    return found


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
        seeds: Whether the interval tells what other seeds would change; not so of a single run.
    """

    mean: float
    low: float
    high: float
    p_better: float
    seeds: bool


def estimate(ours: Sequence[Stratum], figure: str, level: float = LEVEL) -> Estimate:
    """The mean of a figure over strata and runs, with its interval; see `difference`."""
    return _estimate([ours], figure, level)


def simultaneous(level: float, comparisons: int) -> float:
    """The level at which each of so many intervals is taken, so that all hold together (Bonferroni)."""
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

    Two things may have come out otherwise, and both count: which identities were ranked (the variance of a
    bootstrap over identities, within each fold) and what the seeds did (the variance of a bootstrap over
    runs, which has a closed form; of single runs that of the strata). Both are made free of the bootstrap's
    bias by n / (n − 1) and added, with Welch's and Satterthwaite's degrees of freedom for Student's t.

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
    return _estimate([ours, theirs], figure, level, same_runs)


def _estimate(
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
    of_runs = list(_run_variances(tables, of_strata))
    parts = [*of_runs, *_identity_variances(ours, of_strata)]
    variance = sum(part for part, _ in parts)
    seeds = bool(of_runs)
    if variance <= 0:
        return Estimate(mean, mean, mean, float(mean > 0) if mean else 0.5, seeds)
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    error = math.sqrt(variance)
    reach = float(stdtrit(freedom, (1 + level) / 2)) * error
    return Estimate(mean, mean - reach, mean + reach, float(stdtr(freedom, mean / error)), seeds)


def _run_variances(tables: list[list[Array]], of_strata: list[Array]) -> Iterator[tuple[float, int]]:
    """Variance of the mean that comes from seeds, and its degrees of freedom, side by side."""
    strata = len(of_strata)
    if all(len(table) > 1 for side in tables for table in side):
        for side in tables:
            sizes = np.array([len(table) for table in side])
            variances = [table.mean(axis=1).var(ddof=1) for table in side]
            yield float(np.sum(variances / sizes)) / strata**2, int(np.sum(sizes - 1))
    elif strata > 1:
        means = np.array([values.mean() for values in of_strata])
        yield float(means.var(ddof=1)) / strata, strata - 1


def _identity_variances(strata: Sequence[Stratum], of_strata: list[Array]) -> Iterator[tuple[float, int]]:
    """Variance of the mean that comes from the identities of each fold, and its degrees of freedom."""
    for fold in dict.fromkeys(stratum.fold for stratum in strata):
        mine = [index for index, stratum in enumerate(strata) if stratum.fold == fold]
        scores = strata[mine[0]].runs[0]
        values = np.mean([of_strata[index] for index in mine], axis=0)
        sums, counts = _by_identity(scores, values[None])
        number = len(counts)
        if number > 1:
            means = [(weights @ sums[0]) / (weights @ counts) for weights in _weights(number)]
            share = len(mine) / len(strata)
            variance = float(np.concatenate(means).var()) * number / (number - 1)
            yield share**2 * variance, number - 1


def _require_same_queries(sides: Iterable[Sequence[Stratum]]) -> None:
    first: dict[int, QueryScores] = {}
    for stratum in (stratum for side in sides for stratum in side):
        for run in stratum.runs:
            known = first.setdefault(stratum.fold, run)
            same = np.array_equal(known.pids, run.pids) and np.array_equal(known.valid, run.valid)
            if not same:
                raise DataError("the runs did not rank the same queries, so they cannot be compared")


def _by_identity(scores: QueryScores, values: Array) -> tuple[Array, Array]:
    """Sums of values (rows × valid queries) by identity, rows × identities, and each one's queries."""
    _, of_query = np.unique(scores.pids[scores.valid], return_inverse=True)
    counts = np.bincount(of_query).astype(np.float64)
    return np.stack([np.bincount(of_query, weights=row) for row in values]), counts


def _weights(number: int) -> Iterator[Array]:
    """How often each of so many identities is drawn: draws × identities, in blocks."""
    for block in np.split(_drawn(number), range(_DRAWS_AT_ONCE, DRAWS, _DRAWS_AT_ONCE)):
        yield block.astype(np.float64)


@functools.lru_cache(maxsize=2)
def _drawn(number: int) -> NDArray[np.uint16]:
    """The same draws whenever there are so many identities: drawing takes longer than all the rest."""
    rng = np.random.default_rng(0)
    return rng.multinomial(number, np.full(number, 1 / number), size=DRAWS).astype(np.uint16)
