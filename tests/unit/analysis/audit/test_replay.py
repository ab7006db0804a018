"""The audit's plain loops stop and spare the same trials as Ray's rules."""

from __future__ import annotations

import numpy as np
import pytest

from sa_study.analysis.audit.replay import JUDGES
from sa_study.settings.space import Scheduler
from sa_study.tuning.stopping.ray_scheduler import make_rule
from sa_study.tuning.stopping.schedulers import scheduler_spec


@pytest.mark.parametrize("name", ["asha", "hyperband", "median"])
@pytest.mark.parametrize("seed", range(5))
def test_the_replay_decides_as_the_rules_do(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scheduler = Scheduler(name, grace_period=5, reduction_factor=3)
    rule, judge = make_rule(scheduler), JUDGES[scheduler_spec(scheduler).rule](scheduler)
    progress = dict.fromkeys(range(30), 0.0)
    steps = {number: float(rng.choice([2.0, 5.0, 25.0])) for number in progress}
    decisions = []
    while progress:
        number = int(rng.choice(list(progress)))
        progress[number] += steps[number]
        value = float(rng.random())
        stop = rule.stops(number, progress[number], value)
        mine = bool(judge(number, progress[number], value))
        if progress[number] < 100:
            decisions.append((stop, mine))
        if stop or progress[number] >= 100:
            del progress[number]
    assert any(stop for stop, _ in decisions) and not all(stop for stop, _ in decisions)
    assert [stop for stop, _ in decisions] == [mine for _, mine in decisions]
