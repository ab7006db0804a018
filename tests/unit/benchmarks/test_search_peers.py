"""The benchmark of other packages' searches, as far as it runs without them."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkout import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import search_peers
from simulation.botorch_sampler import BOTORCH, rows
from simulation.landscapes import Floats
from simulation.suites import Suite, SuiteTask
from simulation.syne_tune_study import SuiteBlackbox

from sa_study.settings.space import Parameter
from sa_study.tuning.search.curve_model import Curve
from sa_study.tuning.search.samplers import SAMPLERS

EPOCHS = 20


def curve(settings: Mapping[str, Any]) -> Floats:
    return float(settings["lr"]) * np.arange(1, EPOCHS + 1) / EPOCHS


@pytest.fixture
def suite() -> Suite:
    task = SuiteTask("one", 0, best=1.0, median=0.5, curve=curve)
    return Suite("small", EPOCHS, {"lr": Parameter("float", 1e-3, 1.0, log=True)}, [task])


def test_the_simulator_gets_what_the_suite_answers(suite: Suite) -> None:
    blackbox = SuiteBlackbox(suite, suite.tasks[0])
    assert blackbox.fidelity_values == [*range(1, EPOCHS + 1)] and blackbox.fidelity_name() == "epoch"
    first, second, resumed = (blackbox.objective_function({"lr": lr}, seed=None) for lr in (0.1, 0.2, 0.1))
    for number, (lr, answer) in enumerate([(0.1, first), (0.2, second)]):
        run = suite.tasks[0].run(number=number, lr=lr)
        assert np.array_equal(answer, np.column_stack([run.reported, np.cumsum(run.durations)]))
    assert np.array_equal(first, resumed)


def test_a_missing_package_gives_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["search_peers.py", str(tmp_path), "--methods", "ours,DEHB"])
    with pytest.raises(SystemExit) as stopped:
        search_peers.main()
    assert stopped.value.code == 2
    written = capsys.readouterr()
    assert (
        written.err == "DEHB needs the package syne_tune, which is missing; see --help\n" and not written.out
    )


def test_the_model_has_a_row_for_each_rung_that_a_trial_has_reached() -> None:
    curves = [
        Curve((0.2, 0.4, 0.5), ended=True, failed=False),
        Curve((), ended=False, failed=False),
        Curve((0.3,), ended=True, failed=False),
    ]
    inputs, scores = rows(np.array([[0.0, 0.1], [0.5, 0.5], [1.0, 0.9]]), curves, (0.1, 0.3))
    assert inputs.tolist() == [[0.0, 0.1, 0.1], [0.0, 0.1, 0.3], [0.0, 0.1, 1.0], [1.0, 0.9, 0.1]]
    assert scores.tolist() == [0.2, 0.4, 0.5, 0.3]


def test_the_sampler_begins_at_random_in_our_machinery(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SAMPLERS, "botorch", BOTORCH)
    study = search_peers.simulate("botorch", suite, suite.tasks[0], slots=2, seed=0)
    values = list(study.values(2 * EPOCHS))
    tried = [trial.run.reported[-1] for trial in study.trials]
    assert len(set(tried)) == len(study.trials) == len(study.suggest_seconds) > 2
    assert values[-1] in tried
