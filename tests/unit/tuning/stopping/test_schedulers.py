"""The one definition of rungs and brackets, against those of Ray's own ASHA."""

from __future__ import annotations

from typing import Any

import pytest
from ray.tune.schedulers import AsyncHyperBandScheduler

from sa_study.settings.space import Scheduler
from sa_study.tuning.stopping.schedulers import bracket_count, bracket_of, rungs, rungs_of_trial
from sa_study.utils.errors import ConfigError

HALVING = [
    Scheduler(name, grace, factor)
    for name in ("asha", "hyperband")
    for grace in (1, 5, 10, 25, 33.3, 50, 99, 100)
    for factor in (1.5, 2, 3, 4, 10, 100)
]


def milestones(bracket: Any) -> list[float]:
    """Without Ray's rung at 100 %, at which no trial is stopped."""
    return sorted(share for share, _ in bracket._rungs if share < 100 - 1e-9)


@pytest.mark.parametrize("scheduler", HALVING, ids=str)
def test_rungs_are_those_of_rays_schedulers(scheduler: Scheduler) -> None:
    count = bracket_count(scheduler)
    grace: Any = scheduler.grace_period
    ray = AsyncHyperBandScheduler(
        grace_period=grace, reduction_factor=scheduler.reduction_factor, brackets=count
    )
    brackets = ray._brackets
    assert all(bracket._rungs for bracket in brackets)
    for number, bracket in enumerate(brackets):
        assert milestones(bracket) == pytest.approx(rungs(scheduler, number))


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        (Scheduler("asha", 10, 3), [10, 30, 90]),
        (Scheduler("hyperband", 10, 3), [10, 30, 90]),
        (Scheduler("asha", 25, 2), [25, 50]),
        (Scheduler("asha", 25, 4), [25]),
        (Scheduler("asha", 100, 3), []),
        (Scheduler("median", 10, 3), [10]),
        (Scheduler("none"), []),
    ],
    ids=str,
)
def test_shares_of_the_schedule(scheduler: Scheduler, expected: list[float]) -> None:
    assert rungs(scheduler) == pytest.approx(expected)


def test_a_later_bracket_begins_later() -> None:
    scheduler = Scheduler("hyperband", 10, 3)
    assert [rungs(scheduler, bracket) for bracket in range(3)] == [[10, 30, 90], [30, 90], [90]]


def test_trials_are_spread_over_the_brackets_by_their_numbers() -> None:
    scheduler = Scheduler("hyperband", 5, 3)
    brackets = [bracket_of(number, scheduler) for number in range(300)]
    assert brackets == [bracket_of(number, scheduler) for number in range(300)]
    counts = [brackets.count(bracket) for bracket in range(3)]
    assert counts[0] > counts[1] > counts[2] > 0, "Ray's shares: each further bracket has a smaller one"
    assert {bracket_of(number, Scheduler("asha", 5, 3)) for number in range(50)} == {0}
    second = brackets.index(1)
    assert rungs_of_trial(scheduler, second) == rungs(scheduler, 1) == [15, 45]


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"scheduler\.name: 'pbt' is not one of asha, hyperband"):
        rungs(Scheduler("pbt"))
