"""The benchmark of coverage: its simulation has the truth that it says, and its rule is `confirm`'s."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import coverage


def test_more_skill_ranks_better_and_none_is_chance() -> None:
    rng, model = np.random.default_rng(0), coverage.Model()
    people = coverage.draw_people(rng, model, 50)
    good, none = (coverage.rank(rng, people, skill - people.hardness) for skill in (4.0, 0.0))
    assert good.mAP > 0.8 > 0.1 > none.mAP and good.num_queries_without_match == 0


def test_a_clear_gain_is_called_and_the_baseline_never_is() -> None:
    rng, model = np.random.default_rng(1), coverage.Model()
    runs = coverage.draw_runs(rng, model, (1.5, 4.0, 1.5), 1, 3)
    assert coverage.called_better(runs, 2)
    assert not coverage.called_better(coverage.draw_runs(rng, model, (4.0, 1.5, 1.5), 1, 3), 2)
    assert [len(strata[0].runs) for strata in runs] == [3, 3, 3]


def test_shares_are_shares() -> None:
    row = coverage.coverage_of_figures(20, 3)
    assert all(0 <= share <= 1 for shares in row["coverage"].values() for share in shares.values())
    assert len(coverage.coverage_of_differences(0.1, 2)) == 6
