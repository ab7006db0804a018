"""Intervals and differences beside closed forms, other programs and plain loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from sa_study.metrics.confidence import Stratum, bonferroni_level, difference, estimate, intervals
from sa_study.metrics.query_scores import QueryScores
from sa_study.utils.errors import DataError


def one_query_each(precision: Any, pids: Any = None) -> QueryScores:
    precision = np.asarray(precision, np.float64)
    return QueryScores(
        np.arange(1, precision.size + 1) if pids is None else np.asarray(pids),
        precision,
        np.where(precision > 0.5, 1, 9).astype(np.int64),
    )


def random_scores(seed: int, identities: int = 50, queries: int = 3) -> QueryScores:
    rng = np.random.default_rng(seed)
    pids = np.repeat(np.arange(1, identities + 1), queries)
    of_identity = np.repeat(rng.uniform(0.2, 0.8, identities), queries)
    return one_query_each(np.clip(of_identity + rng.normal(0, 0.1, pids.size), 0.01, 1), pids)


def test_an_interval_of_many_identities_is_students() -> None:
    scores = one_query_each(np.random.default_rng(0).uniform(0.1, 0.9, 200))
    low, high = intervals(scores)["mAP"] or (0, 0)
    values = scores.average_precision
    expected = stats.t.interval(0.95, 199, values.mean(), stats.sem(values))
    np.testing.assert_allclose([low, high], expected, atol=0.004)


def test_few_identities_are_taken_to_vary_more() -> None:
    """Korn's and Graubard's bounds, with half a root of n identities more that succeed or fail wholly."""
    values = np.array([0.9, 1.0, 0.8, 1.0, 0.95, 1.0, 0.7, 1.0, 1.0])
    n, mean = 9, values.mean()
    variance = (n * values.var(ddof=1) + 1.5 * mean * (1 - mean)) / (n + 1.5) / n
    trials = mean * (1 - mean) / variance * (stats.norm.ppf(0.025) / stats.t.ppf(0.025, n - 1)) ** 2
    hits, misses = trials * mean, trials * (1 - mean)
    low, high = stats.beta.ppf(0.025, hits, misses + 1), stats.beta.ppf(0.975, hits + 1, misses)
    assert intervals(one_query_each(values))["mAP"] == pytest.approx([low, high])


def test_queries_of_one_identity_count_together() -> None:
    """Four equal queries of each identity tell no more than one."""
    values = np.random.default_rng(1).uniform(0.1, 0.9, 40)
    once = intervals(one_query_each(values))
    four = intervals(one_query_each(np.repeat(values, 4), np.repeat(np.arange(1, 41), 4)))
    assert once == four


def test_where_all_succeed_the_bound_is_clopper_and_pearsons() -> None:
    found = intervals(one_query_each(np.full(30, 1.0)))
    exact = stats.binomtest(30, 30).proportion_ci(0.95, "exact")
    assert found["rank1"] == pytest.approx([exact.low, exact.high])
    found = intervals(one_query_each(np.full(30, 0.2)))
    exact = stats.binomtest(0, 30).proportion_ci(0.95, "exact")
    assert found["rank1"] == pytest.approx([exact.low, exact.high])


def test_intervals_hold_the_figure_and_do_not_depend_on_the_order() -> None:
    scores = random_scores(3)
    order = np.random.default_rng(0).permutation(scores.pids.size)
    mixed = QueryScores(scores.pids[order], scores.average_precision[order], scores.first_match[order])
    found, again = intervals(scores), intervals(mixed)
    for figure in ("rank1", "mAP"):
        low, high = found[figure] or (1, 0)
        assert low < scores.of(figure).mean() < high
        assert again[figure] == pytest.approx([low, high], abs=1e-12)


def test_one_identity_tells_nothing_of_others() -> None:
    assert intervals(one_query_each([0.3, 0.6], [1, 1])) == {"rank1": None, "mAP": None}


@pytest.mark.parametrize("identities", [6, 300])
def test_the_difference_of_single_runs_is_the_paired_t_test(identities: int) -> None:
    rng = np.random.default_rng(5)
    before = rng.uniform(0.2, 0.8, identities)
    after = np.clip(before + rng.normal(0.02, 0.1, identities), 0.01, 1)
    ours, theirs = ([Stratum(0, [one_query_each(values)])] for values in (after, before))
    found = difference(ours, theirs, "mAP")
    test = stats.ttest_rel(after, before)
    expected = test.confidence_interval(0.95)
    assert found.mean == pytest.approx((after - before).mean())
    assert [found.low, found.high] == pytest.approx([expected.low, expected.high])
    assert 2 * min(found.p_better, 1 - found.p_better) == pytest.approx(test.pvalue)


def test_the_seeds_part_is_welchs_where_identities_do_not_differ() -> None:
    """Every identity scores alike, so that only the runs' means vary."""
    ours, theirs = [0.50, 0.54, 0.58], [0.40, 0.41, 0.43]
    sides = [[Stratum(0, [one_query_each(np.full(20, mean)) for mean in side])] for side in (ours, theirs)]
    found = difference(sides[0], sides[1], "mAP")
    test = stats.ttest_ind(ours, theirs, equal_var=False)
    expected = test.confidence_interval(0.95)
    np.testing.assert_allclose([found.low, found.high], [expected.low, expected.high], rtol=1e-6)
    assert found.p_better == pytest.approx(1 - test.pvalue / 2)


def alike(*means: float, fold: int = 0) -> Stratum:
    """Runs in which every identity scores the same, so that only their means vary."""
    pids = np.arange(20) + 100 * fold
    return Stratum(fold, [one_query_each(np.full(20, mean), pids) for mean in means])


def test_unequal_numbers_of_runs_share_one_variance() -> None:
    """As where some runs failed: two folds, whose runs are taken to vary alike."""
    few, many = [0.5, 0.6], [0.52, 0.55, 0.61, 0.49, 0.58]
    found = estimate([alike(*few, fold=1), alike(*many, fold=2)], "mAP")
    freedom = 1 + 4
    pooled = (1 * np.var(few, ddof=1) + 4 * np.var(many, ddof=1)) / freedom
    reach = stats.t.ppf(0.975, freedom) * np.sqrt(pooled * (1 / 2 + 1 / 5)) / 2
    assert [found.low, found.high] == pytest.approx([found.mean - reach, found.mean + reach])


def test_a_single_run_is_taken_to_vary_like_the_other_sides() -> None:
    ours = [0.50, 0.54, 0.58]
    found = difference([alike(*ours)], [alike(0.4)], "mAP")
    reach = stats.t.ppf(0.975, 2) * np.sqrt(np.var(ours, ddof=1) * (1 / 3 + 1))
    assert [found.low, found.high] == pytest.approx([0.14 - reach, 0.14 + reach])


def test_single_runs_on_several_folds_vary_with_the_folds() -> None:
    gains = np.array([0.02, 0.05, 0.11])
    ours = [alike(0.5 + gain, fold=fold) for fold, gain in enumerate(gains)]
    found = difference(ours, [alike(0.5, fold=fold) for fold in range(3)], "mAP")
    expected = stats.t.interval(0.95, 2, gains.mean(), stats.sem(gains))
    assert [found.low, found.high] == pytest.approx(expected)


def test_where_all_identities_tell_the_same_others_may_not() -> None:
    found = difference([alike(0.6)], [alike(0.5)], "mAP")
    share = 0.025 ** (1 / 20)
    assert [found.low, found.high] == pytest.approx([share * 0.1 - (1 - share), share * 0.1 + (1 - share)])
    at_zero = difference([alike(0.6)], [alike(0.5)], "mAP", level=1 - 2 * (1 - found.p_better))
    assert at_zero.low == pytest.approx(0, abs=1e-12)
    assert difference([alike(0.501)], [alike(0.5)], "mAP").p_better == pytest.approx(0.5)
    perfect = difference([alike(1.0)], [alike(1.0)], "mAP")
    assert perfect.low < -0.1 and perfect.high > 0.1, "two perfect rankings need not be one network's"


def test_one_identity_leaves_every_difference_possible() -> None:
    ours, theirs = ([Stratum(0, [one_query_each(values, [1, 1])])] for values in ([0.3, 0.6], [0.4, 0.9]))
    found = difference(ours, theirs, "mAP")
    assert (found.low, found.high, found.p_better) == (-1, 1, 0.5)


def test_the_variance_over_identities_is_that_of_a_ratio() -> None:
    """Identities with different numbers of queries: the linear form of a mean of means, by a plain loop."""
    rng = np.random.default_rng(7)
    pids = np.repeat(np.arange(1, 201), rng.integers(1, 6, 200))
    values = np.clip(rng.normal(0.5, 0.1, pids.size) + 0.1 * (pids % 3 - 1), 0.01, 1)
    found = estimate([Stratum(0, [one_query_each(values, pids)])], "mAP")
    mean, total = values.mean(), 0.0
    for pid in range(1, 201):
        mine = values[pids == pid]
        total += (mine.sum() - mean * mine.size) ** 2
    error = np.sqrt(200 / 199 * total) / pids.size
    reach = stats.t.ppf(0.975, 199) * error
    assert found.mean == pytest.approx(mean)
    assert (found.high - found.low) / 2 == pytest.approx(reach, rel=0.05)


def test_folds_are_averaged_and_their_variances_added() -> None:
    runs = {fold: [random_scores(10 * fold + seed) for seed in range(3)] for fold in (1, 2)}
    both = estimate([Stratum(fold, of_fold) for fold, of_fold in runs.items()], "mAP")
    alone = [estimate([Stratum(fold, of_fold)], "mAP") for fold, of_fold in runs.items()]
    assert both.mean == pytest.approx(np.mean([one.mean for one in alone]))
    again = [[Stratum(fold, [of_fold[0]] * 2)] for fold, of_fold in runs.items()]  # seeds change nothing
    one, other = (found.high - found.low for found in (estimate(fold, "mAP") for fold in again))
    both = estimate([*again[0], *again[1]], "mAP")
    assert both.high - both.low == pytest.approx(math.hypot(one, other) / 2, rel=0.03)


def test_identities_count_once_however_many_strata_rank_them() -> None:
    values = np.random.default_rng(4).uniform(0.3, 0.7, 20)
    strata = [Stratum(0, [one_query_each(one)] * 2) for one in (values, 1 - values)]
    found, expected = estimate(strata, "mAP"), estimate([alike(0.5, 0.5)], "mAP")
    assert [found.low, found.high] == pytest.approx([expected.low, expected.high])


def test_the_same_runs_are_paired_one_by_one() -> None:
    base = [random_scores(seed) for seed in range(3)]
    more = [QueryScores(s.pids, np.minimum(s.average_precision + 0.01, 1), s.first_match) for s in base]
    paired = difference([Stratum(0, more)], [Stratum(0, base)], "mAP", same_runs=True)
    apart = difference([Stratum(0, more)], [Stratum(0, base)], "mAP")
    assert paired.mean == pytest.approx(apart.mean) and paired.high - paired.low < 0.005
    assert apart.high - apart.low > 5 * (paired.high - paired.low)


def test_equal_runs_differ_by_nothing() -> None:
    same = [Stratum(0, [random_scores(1)])]
    found = difference(same, same, "mAP")
    assert (found.mean, found.low, found.high, found.p_better) == (0, 0, 0, 0.5)


def test_what_cannot_be_compared() -> None:
    one, other = random_scores(1), random_scores(2, identities=49)
    with pytest.raises(DataError, match="same queries"):
        difference([Stratum(0, [one])], [Stratum(0, [other])], "mAP")
    with pytest.raises(DataError, match="same folds"):
        difference([Stratum(0, [one])], [Stratum(1, [one])], "mAP")


def test_levels_that_hold_together() -> None:
    assert bonferroni_level(0.95, 1) == pytest.approx(0.95) and bonferroni_level(0.95, 5) == pytest.approx(
        0.99
    )
