"""Early stopping by share of the schedule, by name, and with memory of earlier launches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from sa_study.metrics import names
from sa_study.settings.space import Scheduler
from sa_study.tuning.stopping.rules import make_rule
from sa_study.tuning.stopping.schedulers import bracket_count

HALVING = Scheduler("asha", grace_period=25, reduction_factor=2)
CURVES = {
    number: {progress: value * progress / 100 for progress in (25.0, 50.0, 75.0, 100.0)}
    for number, value in enumerate([0.3, 0.9, 0.5, 0.7, 0.2, 0.8, 0.6, 0.4])
}


@dataclass(eq=False)
class Trial:
    """A trial as far as a rule looks at it."""

    trial_id: str
    config: dict[str, int]


def add(rule: Any, number: int) -> Any:
    trial = Trial(f"trial{number}", {"number": number})
    rule.on_trial_add(None, trial)
    rule.adopt(trial)
    return trial


def report(rule: Any, trial: Any, progress: float, value: float) -> str:
    return str(rule.on_trial_result(None, trial, {names.PROGRESS: progress, "mAP": value}))


def run(rule: Any, number: int, curve: dict[float, float]) -> float:
    """Reports a curve until the rule stops it; returns how far it came."""
    trial = add(rule, number)
    return next((p for p, value in curve.items() if report(rule, trial, p, value) == "STOP"), 100.0)


def test_trials_of_different_length_meet_at_the_same_share() -> None:
    rule = make_rule(HALVING, "mAP")
    first, second, third = (add(rule, number) for number in (1, 2, 3))
    assert report(rule, first, 25, 0.5) == "CONTINUE"
    assert report(rule, second, 12.5, 0.1) == "CONTINUE", "no rung there"
    assert report(rule, second, 25, 0.6) == "CONTINUE"
    assert report(rule, third, 30, 0.4) == "STOP"


def test_asha_keeps_one_in_so_many() -> None:
    rule, reached = make_rule(HALVING, "mAP"), {}
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
    rule = make_rule(Scheduler("median", grace_period=50), "mAP")
    for number in (1, 2, 3):
        assert run(rule, number, {25.0: 0.4, 50.0: 0.6, 75.0: 0.7, 100.0: 0.8}) == 100
    # The others' means from the grace period on: 0.6 at 50 %, 0.65 at 75 %, 0.7 at the end.
    assert run(rule, 4, {25.0: 0.0, 50.0: 0.59}) == 50
    assert run(rule, 5, {25.0: 0.0, 50.0: 0.64, 75.0: 0.3}) == 75
    assert run(rule, 6, {25.0: 0.0, 50.0: 0.66, 75.0: 0.3, 100.0: 0.7}) == 100


def test_median_goes_on_where_there_is_too_little_to_compare_with() -> None:
    rule = make_rule(Scheduler("median", grace_period=10), "mAP")
    for number in (1, 2, 3):
        assert run(rule, number, CURVES[number]) == 100


def test_hyperband_spreads_trials_over_brackets_by_their_numbers() -> None:
    rule: Any = make_rule(Scheduler("hyperband", grace_period=10, reduction_factor=3), "mAP")
    first_rungs = [min(rung for rung, _ in rule._bracket(number)._rungs) for number in range(200)]
    again = [min(rung for rung, _ in rule._bracket(number)._rungs) for number in range(200)]
    assert first_rungs == again and set(first_rungs) == {10.0, 30.0, 90.0}
    assert first_rungs.count(10.0) > first_rungs.count(30.0) > first_rungs.count(90.0)
    assert bracket_count(Scheduler("asha", 10, 3)) == 1


def test_hyperband_compares_within_a_bracket_alone() -> None:
    rule: Any = make_rule(Scheduler("hyperband", grace_period=10, reduction_factor=3), "mAP")
    brackets = {number: rule._brackets.index(rule._bracket(number)) for number in range(20)}
    strong, weak = [n for n in brackets if brackets[n] == 0][:2]
    other = next(n for n in brackets if brackets[n] == 1)
    run(rule, strong, {10.0: 0.9, 30.0: 0.9, 90.0: 0.9})
    assert run(rule, other, {10.0: 0.1, 30.0: 0.1, 90.0: 0.1}) == 100
    assert run(rule, weak, {10.0: 0.1}) == 10


def test_no_early_stopping() -> None:
    rule = make_rule(Scheduler("none"), "mAP")
    assert all(run(rule, number, curve) == 100 for number, curve in CURVES.items())


@pytest.mark.parametrize("name", ["asha", "hyperband", "median"])
@pytest.mark.parametrize("relaunch_after", range(1, len(CURVES)))
def test_a_relaunch_decides_as_if_it_had_never_stopped(name: str, relaunch_after: int) -> None:
    scheduler = Scheduler(name, grace_period=20, reduction_factor=2)

    def reached(relaunch: int | None) -> list[float]:
        rule = make_rule(scheduler, "mAP")
        found: list[float] = []
        for number, curve in CURVES.items():
            if number == relaunch:
                rule = make_rule(scheduler, "mAP")
                for earlier, came in enumerate(found):
                    rule.replay(earlier, {p: v for p, v in CURVES[earlier].items() if p <= came})
            found.append(run(rule, number, curve))
        return found

    assert reached(relaunch_after) == reached(None)
    assert min(reached(None)) < 100, "something must be stopped"


@pytest.mark.parametrize("name", ["asha", "hyperband", "median"])
def test_an_interrupted_trial_keeps_its_places(name: str) -> None:
    scheduler = Scheduler(name, grace_period=25, reduction_factor=2)
    alone, again = make_rule(scheduler, "mAP"), make_rule(scheduler, "mAP")
    for number in (0, 1, 2, 3):
        curve = CURVES[number]
        trial = add(alone, number)
        for progress in (25.0, 50.0):
            report(alone, trial, progress, curve[progress])
        again.replay(number, {25.0: curve[25.0], 50.0: curve[50.0]})
    one, other = add(again, 3), add(again, 6)
    mine = add(alone, 6)
    for progress in (50.0, 75.0):  # epoch 50 is run again
        assert report(again, one, progress, CURVES[3][progress]) == "CONTINUE"
    assert report(again, other, 25.0, CURVES[6][25.0]) == report(alone, mine, 25.0, CURVES[6][25.0])
