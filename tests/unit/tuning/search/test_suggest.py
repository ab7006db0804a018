"""Samplers by name, on a real database: reproducible, quiet, without duplicates, and safe from kills."""

from __future__ import annotations

import itertools
import json
import logging
import math
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from checkout import SEARCH_PATH
from optuna.trial import Trial, TrialState
from sqlalchemy import event

from sa_study.settings.space import Parameter, SearchSpace
from sa_study.tuning.search.suggest import ask, draw_untried, reseed, suggest

NAMES = ("multifidelity", "tpe", "random", "gp", "cmaes")
BOOLEAN = (True, False)
Params = dict[str, Any]


def mixed(sampler: str) -> SearchSpace:
    """Every kind of parameter; two are searched only with some attention."""
    search = {
        "lr": Parameter("float", 1e-3, 1.0, log=True),
        "dropout": Parameter("float", 0.0, 0.85, 0.1),
        "epochs": Parameter("int", 2, 8, 2),
        "attention": Parameter("categorical", choices=("mean", "softmax", "none")),
        "attention_stage4": Parameter(
            "categorical", choices=BOOLEAN, when={"attention": ("mean", "softmax")}
        ),
        "flip": Parameter("float", 0.0, 1.0, when={"attention_stage4": (True,)}),
    }
    baseline = {"lr": 0.1, "dropout": 0.5, "epochs": 4, "attention": "mean", "attention_stage4": False}
    return SearchSpace(search, {}, baseline, sampler)


def discrete(sampler: str) -> SearchSpace:
    """Fourteen configurations: 2 x 3 x 2 with attention, 2 without."""
    search = {
        "attention": Parameter("categorical", choices=("mean", "none")),
        "parts": Parameter("int", 2, 6, 2, when={"attention": ("mean",)}),
        "dropout": Parameter("float", 0.1, 0.3, 0.2),
        "deep_supervision": Parameter("categorical", choices=BOOLEAN, when={"attention": ("mean",)}),
    }
    baseline = {"attention": "mean", "parts": 6, "dropout": 0.3, "deep_supervision": True}
    return SearchSpace(search, {}, baseline, sampler)


ALL_DISCRETE = {
    *itertools.product(["mean"], [2, 4, 6], [0.1, 0.3], BOOLEAN),
    *itertools.product(["none"], [None], [0.1, 0.3], [None]),
}


def as_tuple(params: Params) -> tuple[Any, ...]:
    return tuple(params.get(name) for name in ("attention", "parts", "dropout", "deep_supervision"))


def storage(path: Path) -> optuna.storages.RDBStorage:
    exists = path.exists()
    opened = optuna.storages.RDBStorage(
        f"sqlite:///{path}", skip_compatibility_check=exists, skip_table_creation=exists
    )
    # Not waiting for the disk makes the tests fast; what a killed process leaves is the same.
    event.listen(
        opened.engine, "checkout", lambda connection, *_: connection.execute("PRAGMA synchronous=OFF")
    )
    return opened


def new_study(folder: Path, directions: Any = ("maximize",)) -> optuna.Study:
    folder.mkdir(exist_ok=True)
    return optuna.create_study(storage=storage(folder / "a.db"), study_name="s", directions=directions)


def open_study(path: Path) -> optuna.Study:
    return optuna.load_study(storage=storage(path), study_name="s")


def finish(study: optuna.Study, trial: Trial) -> None:
    """Complete, stopped early or failed, by the trial's number."""
    value = math.sin(trial.number) + trial.params.get("dropout", 0.0)
    if trial.number % 4 == 2:
        study.tell(trial, state=TrialState.FAIL)
        return
    trial.storage.set_trial_intermediate_value(trial._trial_id, 250, value / 2)
    if trial.number % 4 == 1:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, [value, 1.0 / (1 + trial.number)][: len(study.directions)])


def run(study: optuna.Study, space: SearchSpace, trials: int, seed: int = 5) -> list[Params]:
    for _ in range(trials):
        trial = ask(study, space, seed)
        assert trial is not None
        finish(study, trial)
    return [trial.params for trial in study.trials]


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No warning of Python's or Optuna's may reach the terminal."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.logging.enable_propagation()
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        yield
    optuna.logging.disable_propagation()
    assert caplog.messages == []


@pytest.mark.parametrize("name", NAMES)
def test_a_relaunch_suggests_what_one_launch_does(name: str, tmp_path: Path) -> None:
    space = mixed(name)
    whole = run(new_study(tmp_path / "whole"), space, 17)
    assert whole[0] == space.baseline
    run(new_study(tmp_path / "parts"), space, 14)
    assert run(open_study(tmp_path / "parts" / "a.db"), space, 3) == whole
    assert run(new_study(tmp_path / "other"), space, 3, seed=6) != whole[:3]
    for params in whole:
        active = {name for name in space.search if space.active(name, params)}
        assert params.keys() == active
        assert all(space.search[name].contains(value) for name, value in params.items())
        assert params["dropout"] == round(params["dropout"], 1), "no rounding errors of steps"
    assert {"flip" in params for params in whole} == {True, False}


def test_another_process_suggests_the_same(tmp_path: Path) -> None:
    here = run(new_study(tmp_path / "here"), mixed("tpe"), 16)
    program = "import json, pathlib, sys; from test_suggest import *; print(json.dumps("
    program += "run(new_study(pathlib.Path(sys.argv[1])), mixed('tpe'), 16)))"
    paths = f"{Path(__file__).parent}{os.pathsep}{SEARCH_PATH}"
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": paths}
    command = [sys.executable, "-c", program, str(tmp_path / "there")]
    there = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
    assert json.loads(there.stdout) == here


@pytest.mark.parametrize("name", ["tpe", "random", "gp", "grid"])
def test_two_objectives(name: str, tmp_path: Path) -> None:
    space = discrete(name) if name == "grid" else mixed(name)
    study = new_study(tmp_path, ["maximize", "minimize"])
    run(study, space, 12)
    states = [trial.state for trial in study.trials]
    assert {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL} == set(states)


@pytest.mark.parametrize("name", [*NAMES, "grid"])
@pytest.mark.parametrize("ended", [True, False], ids=["one at a time", "all at once"])
def test_every_configuration_comes_once_and_then_none(name: str, ended: bool, tmp_path: Path) -> None:
    study, space = new_study(tmp_path), discrete(name)
    for _ in range(len(ALL_DISCRETE)):
        trial = ask(study, space, 0)
        assert trial is not None
        if ended:
            finish(study, trial)
    assert ask(study, space, 0) is None
    found = [as_tuple(trial.params) for trial in study.trials]
    assert len(found) == len(ALL_DISCRETE) and set(found) == ALL_DISCRETE
    assert found[0] == ("mean", 6, 0.3, True)


def test_queued_configurations_come_first_and_once(tmp_path: Path) -> None:
    study, space = new_study(tmp_path), discrete("random")
    queued = [space.baseline, {"attention": "none", "dropout": 0.1}]
    for point in queued:
        study.enqueue_trial(point)
    found = []
    while trial := ask(study, space, 0):
        found.append(trial.params)
    assert found[:2] == queued
    assert len(found) == len(ALL_DISCRETE) and {as_tuple(params) for params in found} == ALL_DISCRETE


def continuation(path: Path, space: SearchSpace, most: int) -> list[Params]:
    """What a relaunch makes of a study: interrupted trials go on, then new ones begin."""
    study = open_study(path)
    for interrupted in study.get_trials(states=(TrialState.RUNNING,)):
        trial = Trial(study, interrupted._trial_id)
        reseed(study, space, 5, interrupted.number)
        suggest(space, trial)
        finish(study, trial)
    while len(study.trials) < most and (new := ask(study, space, 5)):
        finish(study, new)
    assert all(trial.state.is_finished() for trial in study.trials)
    return [trial.params for trial in study.trials]


class Killed(BaseException):
    """Like Ctrl-C, caught nowhere on the way."""


def killed_at_commit(number: int, path: Path, space: SearchSpace) -> bool:
    """Asks with a driver that dies at a commit, if it comes to that."""
    commits = itertools.count()

    def on_commit(connection: Any) -> None:
        if next(commits) == number:
            raise Killed

    opened = storage(path)
    study = optuna.load_study(storage=opened, study_name="s")
    event.listen(opened.engine, "commit", on_commit)
    try:
        ask(study, space, 5)
    except Killed:
        return True
    finally:
        opened.remove_session()
        opened.engine.dispose()
    return False


@pytest.mark.parametrize(
    ("make", "name"), [(mixed, "tpe"), (discrete, "tpe"), (mixed, "cmaes"), (mixed, "multifidelity")]
)
@pytest.mark.parametrize("begun", [0, 12])
def test_a_driver_killed_between_any_two_writes_changes_nothing(
    make: Any, name: str, begun: int, tmp_path: Path
) -> None:
    space = make(name)
    start = new_study(tmp_path)
    if not begun:
        start.enqueue_trial(space.baseline)
    run(start, space, begun)
    shutil.copy(tmp_path / "a.db", tmp_path / "whole.db")
    whole = continuation(tmp_path / "whole.db", space, begun + 2)
    for number in itertools.count():
        path = tmp_path / f"{number}.db"
        shutil.copy(tmp_path / "a.db", path)
        if not killed_at_commit(number, path, space):
            break
        assert continuation(path, space, begun + 2) == whole
    assert number > 1, "there were writes to kill at"


@pytest.mark.parametrize("most", [100_000, 3], ids=["listed", "drawn"])
def test_the_last_configuration_left_is_found(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sa_study.tuning.search.suggest.MAX_CONFIGURATIONS", most)
    space = discrete("tpe")
    points = list(space.points())
    for last in points:
        taken = {space.key(point) for point in points if point != last}
        assert draw_untried(space, taken, seed=1) == last


def test_configurations_left_are_equally_likely() -> None:
    space = discrete("tpe")
    points = list(space.points())
    taken = {space.key(point) for point in points[:9]}
    drawn = [points.index(draw_untried(space, taken, seed)) for seed in range(500)]
    counts = [drawn.count(index) for index in range(14)]
    assert counts[:9] == [0] * 9 and all(70 <= count <= 130 for count in counts[9:])


def test_a_suggestion_leaves_nothing_in_the_database_but_its_trial(tmp_path: Path) -> None:
    study, space = new_study(tmp_path), mixed("tpe")
    run(study, space, 14)
    before = study.trials
    trial = ask(study, space, 5)
    assert trial is not None and study.trials[:-1] == before
    last = study.trials[-1]
    assert (last.number, last.state, last.params) == (14, TrialState.RUNNING, trial.params)
    assert last.system_attrs == {} and last.user_attrs == {}


def test_cma_es_goes_on_when_a_conditional_number_is_missing(tmp_path: Path) -> None:
    study = new_study(tmp_path)
    run(study, mixed("cmaes"), 24)
    generations = [trial.system_attrs.get("cma:generation", -1) for trial in study.trials]
    assert generations[0] == -1 and -1 not in generations[1:]
    assert max(generations) > 0, "it has learnt"
