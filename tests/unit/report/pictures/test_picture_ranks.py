"""What pictures of a ranking are made of, against a plain argsort, scikit-learn and the metrics."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from sa_study.metrics.distances import rank_features
from sa_study.report.pictures import ranked
from sa_study.report.pictures.ranking import DEPTH, FINE_BINS, DistanceCounts, Ranking, rank


class Case:
    """Random features of a few identities, with ties, distractors and junk of both sorts."""

    def __init__(self, seed: int = 0, queries: int = 300, gallery: int = 60):
        rng = np.random.default_rng(seed)
        # Small whole numbers: distances are exact, and many of them are equal.
        self.query_features, self.gallery_features = (
            torch.from_numpy(rng.integers(0, 4, (count, 6)).astype(np.float32))
            for count in (queries, gallery)
        )
        self.query = labels(rng, queries, 1)
        self.gallery = labels(rng, gallery, -1)
        self.distances: NDArray[np.float64] = (
            torch.cdist(self.query_features.double(), self.gallery_features.double()).square().round().numpy()
        )

    def ranking(self) -> Ranking:
        return rank(self.query_features, self.gallery_features, self.query, self.gallery)

    def masks(self, index: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which gallery images match a query, and which are junk."""
        same = (self.gallery.pids == self.query.pids[index]) & (self.gallery.pids > 0)
        camera = self.gallery.camids == self.query.camids[index]
        return same & ~camera, (same & camera) | (self.gallery.pids < 0)


def labels(rng: np.random.Generator, count: int, low: int) -> Any:
    return SimpleNamespace(pids=rng.integers(low, 9, count), camids=rng.integers(0, 3, count))


@pytest.mark.parametrize("gallery", [60, 12, 5])
def test_lists_are_the_plain_argsorts(gallery: int) -> None:
    case = Case(gallery=gallery)
    for index, entries in enumerate(case.ranking().lists):
        match, junk = case.masks(index)
        counted, expected = 0, []
        for column in np.argsort(case.distances[index], kind="stable"):
            if not junk[column]:
                counted += 1
            kind = "junk" if junk[column] else "match" if match[column] else "wrong"
            expected.append((column, kind, 0 if junk[column] else counted, case.distances[index, column]))
            if counted == DEPTH:
                break
        assert [(e.column, e.kind, e.rank, e.distance) for e in entries] == expected


def test_average_precision_is_scikit_learns_where_no_distances_are_equal() -> None:
    case = Case()
    noise = torch.from_numpy(np.random.default_rng(1).random(case.gallery_features.shape, np.float32))
    case.gallery_features += noise
    ranking = case.ranking()
    distances = torch.cdist(case.query_features.double(), case.gallery_features.double()).numpy()
    for index, precision in enumerate(ranking.average_precision):
        match, junk = case.masks(index)
        assert ranking.matches[index] == match.sum()
        if match.any():
            scores = -distances[index, ~junk]
            assert precision == pytest.approx(average_precision_score(match[~junk], scores))
            nearest = np.flatnonzero(match)[distances[index, match].argmin()]
            assert ranking.first_column[index] == nearest
            closer = (distances[index] < distances[index, nearest]) & ~junk
            assert ranking.first_match[index] == closer.sum() + 1
        else:
            assert np.isnan(precision) and ranking.first_match[index] == 0


def test_the_curve_is_that_of_the_metrics() -> None:
    case = Case()
    labels = case.query.pids, case.gallery.pids, case.query.camids, case.gallery.camids
    expected = rank_features(case.query_features, case.gallery_features, *labels)
    ranking = case.ranking()
    np.testing.assert_array_equal(ranking.metrics.cmc, expected.cmc)
    assert ranking.metrics.mAP == expected.mAP == pytest.approx(np.nanmean(ranking.average_precision))
    first = ranking.first_match[ranking.first_match > 0]
    np.testing.assert_allclose(expected.cmc, [(first <= r).mean() for r in range(1, 51)])


def test_counts_are_those_of_all_pairs() -> None:
    case = Case()
    counts = case.ranking().counts
    masks = [case.masks(index) for index in range(len(case.query.pids))]
    match, junk = (np.array(part) for part in zip(*masks, strict=True))
    edges = np.arange(FINE_BINS + 1) * counts.width
    for found, mask in ((counts.matches, match), (counts.others, ~match & ~junk)):
        values = case.distances[mask]
        np.testing.assert_array_equal(found, np.histogram(values, edges)[0])
        assert counts.median(found) == pytest.approx(np.median(values), abs=counts.width)
    coarse, matches, others = counts.coarse()
    np.testing.assert_array_equal(matches, np.histogram(case.distances[match], coarse)[0])
    np.testing.assert_array_equal(others, np.histogram(case.distances[~match & ~junk], coarse)[0])
    assert 20 < len(matches) <= 61


def test_equal_error() -> None:
    matches, others = np.zeros(FINE_BINS, np.int64), np.zeros(FINE_BINS, np.int64)
    matches[[10, 20, 30, 110]] = 1
    others[[25, 100, 200, 300]] = 1
    threshold, rate = DistanceCounts(0.5, matches, others).equal_error()
    assert rate == 0.25 and 31 * 0.5 <= threshold <= 101 * 0.5


def test_best_and_worst_queries() -> None:
    case = Case()
    ranking, pids = case.ranking(), case.query.pids
    precision = ranking.average_precision
    for group, extreme in (("best", np.nanmax(precision)), ("worst", np.nanmin(precision))):
        chosen = ranked.choose_queries(ranking, pids, group, 5, 0)
        assert precision[chosen[0]] == extreme
        assert len(set(pids[chosen])) == 5
        order = precision[chosen] if group == "worst" else -precision[chosen]
        assert (np.diff(order) >= 0).all()
        for index in chosen:  # none of the same identity does better
            same = precision[(pids == pids[index]) & ~np.isnan(precision)]
            assert precision[index] == (same.max() if group == "best" else same.min())


def test_random_queries_are_seeded_and_have_a_match() -> None:
    case = Case()
    ranking, pids = case.ranking(), case.query.pids
    draws = [ranked.choose_queries(ranking, pids, "random", 5, seed) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    assert np.isfinite(ranking.average_precision[draws[0]]).all()


def test_an_identity_comes_again_only_when_all_have_come() -> None:
    pids = np.array([5, 5, 7, 7, 7])
    assert ranked.identities_in_turn(np.array([4, 0, 2, 1, 3]), pids) == [4, 0, 2, 1, 3]
    assert ranked.identities_in_turn(np.array([4, 2, 0, 1]), pids) == [4, 0, 2, 1]


def test_failures_are_the_nearest_wrong_ones() -> None:
    case = Case()
    ranking = case.ranking()
    wrong = {}
    for index, distances in enumerate(case.distances):
        match, junk = case.masks(index)
        first = np.argmin(np.where(junk, np.inf, distances))
        if match.any() and not match[first]:
            wrong[index] = distances[first]
    chosen = ranked.choose_failures(ranking, case.query.pids, 6)
    assert set(chosen) <= set(wrong)
    assert wrong[chosen[0]] == min(wrong.values())
    assert [wrong[index] for index in chosen] == sorted(wrong[index] for index in chosen)
    everyone = ranked.choose_failures(ranking, case.query.pids, 10**6)
    assert set(everyone) == set(wrong)


def test_much_junk_is_only_counted() -> None:
    case = Case(gallery=60)
    case.gallery.pids[:30], case.gallery.camids[:30] = 8, 2
    case.query.pids[0], case.query.camids[0] = 8, 2
    entries = case.ranking().lists[0]
    shown, hidden = ranked.shortened(entries)
    junk = [entry for entry in entries if entry.kind == "junk"]
    assert [entry for entry in shown if entry.kind == "junk"] == junk[:3] and hidden == len(junk) - 3 > 0
    assert [entry.rank for entry in shown if entry.rank] == list(range(1, DEPTH + 1))
