"""Early stopping by share of the schedule, by name, and with memory of earlier launches."""

from __future__ import annotations

import numpy as np
import pytest

from sa_study.settings.space import Scheduler
from sa_study.tuning.stopping.ray_scheduler import Rule, make_rule
from sa_study.tuning.stopping.schedulers import bracket_of

HALVING = Scheduler("asha", grace_period=25, reduction_factor=2)
CURVES = {
    number: {progress: value * progress / 100 for progress in (25.0, 50.0, 75.0, 100.0)}
    for number, value in enumerate([0.3, 0.9, 0.5, 0.7, 0.2, 0.8, 0.6, 0.4])
}


def run(rule: Rule, number: int, curve: dict[float, float]) -> float:
    """Reports a curve until the rule stops it; returns how far it came."""
    return next((progress for progress, value in curve.items() if rule.stops(number, progress, value)), 100.0)


def test_trials_of_different_length_meet_at_the_same_share() -> None:
    rule = make_rule(HALVING)
    assert not rule.stops(1, 25, 0.5)
    assert not rule.stops(2, 12.5, 0.1), "no rung there"
    assert not rule.stops(2, 25, 0.6)
    assert rule.stops(3, 30, 0.4)


def test_asha_keeps_one_in_so_many() -> None:
    rule, reached = make_rule(HALVING), {}
    seen: dict[float, list[float]] = {25.0: [], 50.0: []}
    for number, curve in CURVES.items():
        reached[number] = run(rule, number, curve)
        stop = 100.0
        for rung, values in seen.items():
            below = bool(values) and curve[rung] < np.quantile(values, 0.5)
            values.append(curve[rung])
            if below:
                stop = rung
                break
        assert reached[number] == stop, f"trial {number}"
    assert set(reached.values()) == {25.0, 50.0, 100.0}


def test_median_stops_what_is_below_the_others_running_means() -> None:
    rule = make_rule(Scheduler("median", grace_period=50))
    for number in (1, 2, 3):
        assert run(rule, number, {25.0: 0.4, 50.0: 0.6, 75.0: 0.7, 100.0: 0.8}) == 100
    # The others' means from the grace period on: 0.6 at 50 %, 0.65 at 75 %, 0.7 at the end.
    assert run(rule, 4, {25.0: 0.0, 50.0: 0.59}) == 50
    assert run(rule, 5, {25.0: 0.0, 50.0: 0.64, 75.0: 0.3}) == 75
    assert run(rule, 6, {25.0: 0.0, 50.0: 0.66, 75.0: 0.3, 100.0: 0.7}) == 100


def test_median_goes_on_where_there_is_too_little_to_compare_with() -> None:
    rule = make_rule(Scheduler("median", grace_period=10))
    for number in (1, 2, 3):
        assert run(rule, number, CURVES[number]) == 100


def test_hyperband_compares_within_a_bracket_alone() -> None:
    scheduler = Scheduler("hyperband", grace_period=10, reduction_factor=3)
    rule, brackets = make_rule(scheduler), {number: bracket_of(number, scheduler) for number in range(20)}
    strong, weak = [n for n in brackets if brackets[n] == 0][:2]
    other = next(n for n in brackets if brackets[n] == 1)
    run(rule, strong, {10.0: 0.9, 30.0: 0.9, 90.0: 0.9})
    assert run(rule, other, {10.0: 0.1, 30.0: 0.1, 90.0: 0.1}) == 100
    assert run(rule, weak, {10.0: 0.1}) == 10


def test_no_early_stopping() -> None:
    rule = make_rule(Scheduler("none"))
    assert all(run(rule, number, curve) == 100 for number, curve in CURVES.items())


@pytest.mark.parametrize("name", ["asha", "hyperband", "median"])
@pytest.mark.parametrize("relaunch_after", range(1, len(CURVES)))
def test_a_relaunch_decides_as_if_it_had_never_stopped(name: str, relaunch_after: int) -> None:
    scheduler = Scheduler(name, grace_period=20, reduction_factor=2)

    def reached(relaunch: int | None) -> list[float]:
        rule = make_rule(scheduler)
        found: list[float] = []
        for number, curve in CURVES.items():
            if number == relaunch:
                rule = make_rule(scheduler)
                for earlier, came in enumerate(found):
                    for progress, value in CURVES[earlier].items():
                        if progress <= came:
                            rule.replay(earlier, progress, value)
            found.append(run(rule, number, curve))
        return found

    assert reached(relaunch_after) == reached(None)
    assert min(reached(None)) < 100, "something must be stopped"


@pytest.mark.parametrize("name", ["asha", "hyperband", "median"])
def test_an_interrupted_trial_keeps_its_places(name: str) -> None:
    scheduler = Scheduler(name, grace_period=25, reduction_factor=2)
    alone, again = make_rule(scheduler), make_rule(scheduler)
    for number in (0, 1, 2, 3):
        for progress in (25.0, 50.0):
            alone.stops(number, progress, CURVES[number][progress])
            again.replay(number, progress, CURVES[number][progress])
    for progress in (50.0, 75.0):  # epoch 50 is run again
        assert not again.stops(3, progress, CURVES[3][progress])
    assert again.stops(6, 25.0, CURVES[6][25.0]) == alone.stops(6, 25.0, CURVES[6][25.0])
