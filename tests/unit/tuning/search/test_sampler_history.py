"""What samplers are shown of failed and stopped trials, and what comes of it."""

from __future__ import annotations

import math

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from sa_study.settings.space import Parameter, SearchSpace
from sa_study.tuning.search.suggest import ask, sampler_history


@pytest.mark.parametrize("name", ["multifidelity", "tpe", "gp", "cmaes"])
def test_a_region_that_fails_is_left(name: str) -> None:
    """The best value lies beside it: Optuna's TPE and GP, which leave failed trials out, stay there."""
    search = {"lr": Parameter("float", 0.01, 1.0, log=True), "dropout": Parameter("float", 0.0, 0.8)}
    space = SearchSpace(search, {}, {"lr": 0.1, "dropout": 0.5}, name)
    study = optuna.create_study(direction="maximize")
    for _ in range(36):
        trial = ask(study, space, 0)
        assert trial is not None
        rate, dropout = math.log10(trial.params["lr"]), trial.params["dropout"]
        if rate > math.log10(0.3):
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, 1 - (rate + 0.6) ** 2 / 2 - (dropout - 0.3) ** 2 / 3)
    failed = [trial.state == TrialState.FAIL for trial in study.trials]
    assert any(failed) and sum(failed[12:]) <= 12


def ended(state: TrialState, values: list[float] | None, curve: dict[int, float]) -> FrozenTrial:
    return create_trial(state=state, values=values, intermediate_values=curve)


def test_what_samplers_are_shown() -> None:
    complete = [ended(TrialState.COMPLETE, [value], {500: value}) for value in (0.4, 0.7)]
    stopped, failed = ended(TrialState.PRUNED, [0.2], {100: 0.2}), ended(TrialState.FAIL, None, {100: 0.1})
    running = create_trial(state=TrialState.RUNNING)
    trials = [*complete, stopped, failed, running]
    up = [StudyDirection.MAXIMIZE]
    assert sampler_history("unchanged", trials, up) == trials
    tpe = sampler_history("ranked", trials, up)
    assert tpe[:3] == trials[:3] and tpe[4] == running
    assert (tpe[3].state, tpe[3].values, tpe[3].intermediate_values) == (TrialState.PRUNED, None, {})
    model = sampler_history("scored", trials, up)
    assert [trial.state for trial in model[:4]] == [TrialState.COMPLETE] * 4 and model[4] == running
    assert [trial.value for trial in model[:4]] == [0.4, 0.7, 0.2, 0.2]
    assert failed.state == TrialState.FAIL and failed.values is None, "the study's own are not changed"
    assert sampler_history("scored", [failed], up) == [failed], "there is no worst value yet"


def test_what_samplers_are_shown_of_two_objectives() -> None:
    trials = [
        ended(TrialState.COMPLETE, [0.4, 3.0], {}),
        ended(TrialState.COMPLETE, [0.7, 9.0], {}),
        ended(TrialState.PRUNED, None, {100: 0.2}),
    ]
    directions = [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
    assert sampler_history("scored", trials, directions)[2].values == [0.4, 9.0]
    tpe = sampler_history("ranked", trials, directions)[2]
    assert (tpe.state, tpe.intermediate_values) == (TrialState.PRUNED, {})
