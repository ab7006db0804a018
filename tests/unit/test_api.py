"""Studies from Python: what they tell, and that errors are exceptions with the command line's message."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from checkout import ROOT
from command_line import CommandLine
from sound_study import TRIALS, copy
from written_study import make_study

import sa_study
from sa_study import Study, StudyError, load_study, tune
from sa_study.settings.run import Settings
from sa_study.settings.yaml_files import read_yaml
from sa_study.study.summary import StudySummary
from sa_study.utils.errors import ConfigError, RunFailed, StudyFolderError


@pytest.fixture
def study(sound: Path, tmp_path: Path) -> Study:
    copy(sound / "market", tmp_path / "market")
    return load_study(copy(sound / "study", tmp_path / "study"))


def test_all_public_names_can_be_had() -> None:
    for name in sa_study.__all__:
        assert getattr(sa_study, name).__doc__, name
    with pytest.raises(AttributeError, match="tunes"):
        _ = sa_study.tunes


def test_trials_are_a_frame(study: Study) -> None:
    trials = study.trials
    assert list(trials["trial"]) == [0, 1, 2, 3]
    assert list(trials["state"]) == [trial.state for trial in StudySummary.read(study.path).trials]
    assert trials["param_lr"][1] == TRIALS[1].lr
    kinds = trials.dtypes
    assert isinstance(kinds["trial"], pd.Int64Dtype) and isinstance(kinds["param_lr"], pd.Float64Dtype)
    assert isinstance(kinds["state"], pd.StringDtype)
    assert pd.isna(trials["mAP"][3]), "a failed trial has no score"
    complete = trials[trials["state"] == "COMPLETE"]
    assert complete.loc[complete["mAP"].idxmax(), "trial"] == 1


def test_the_columns_are_documented(study: Study) -> None:
    text = (ROOT / "docs" / "python.md").read_text()
    for column in study.trials.columns:
        assert f"`{column}`" in text or column.startswith("param_"), column


def test_best_and_baseline(study: Study) -> None:
    assert study.best and study.best.number == 1 and study.best.score == 0.5
    assert study.baseline and study.baseline.number == 0
    assert "2 COMPLETE" in repr(study)


def test_settings_are_those_of_best_yaml(study: Study) -> None:
    study.network()
    assert study.settings == Settings.from_mapping(read_yaml(study.path / "best.yaml"))


def test_the_network_gives_features(study: Study) -> None:
    network = study.network()
    images = np.zeros((3, *network.size, 3), np.uint8)
    assert network(images).shape[0] == 3


def test_evaluate_is_a_look(study: Study) -> None:
    before = study.summary().ledger.count
    found = study.evaluate(baseline=True, progress=False)
    assert set(found) == {"best", "baseline"} and 0 <= found["best"]["mAP"] <= 1
    assert study.summary().ledger.count == before + 1
    kept = json.loads((study.path / "evaluation.json").read_text())
    assert kept["mAP"] == found["best"]["mAP"]


def test_the_report(study: Study, tmp_path: Path) -> None:
    assert study.report() == study.path / "report.html"
    assert study.report(tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")


def test_a_study_without_a_winner(tmp_path: Path) -> None:
    fresh = load_study(make_study(tmp_path / "fresh", (), data_dir=tmp_path).root)
    assert fresh.best is None and "no trials" in repr(fresh)
    for ask in (lambda: fresh.settings, fresh.network):
        with pytest.raises(RunFailed, match="no trial is complete"):
            ask()


def test_errors_are_those_of_the_command_line(tool: CommandLine, tmp_path: Path) -> None:
    with pytest.raises(StudyFolderError) as missing:
        load_study(tmp_path / "none")
    tool.refuses("status", "--study", tmp_path / "none", naming=[str(missing.value)])
    wrong: list[tuple[dict[str, Any], list[str]]] = [
        ({"space": "wild"}, ["--space", "wild"]),
        ({"sampler": "luck"}, ["--sampler", "luck"]),
        ({"scheduler": "soon"}, ["--scheduler", "soon"]),
        ({"metric": "speed"}, ["--metric", "speed"]),
        ({"trials": 0}, ["--trials", "0"]),
    ]
    for options, words in wrong:
        with pytest.raises(StudyError) as error:
            tune(tmp_path, tmp_path / "study", **options)
        command = ("tune", "--data-dir", tmp_path, "--study", tmp_path / "study", *words)
        tool.refuses(*command, naming=[str(error.value)])


def test_a_space_given_as_a_dict_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^space: search\.lr\.low: is missing"):
        tune(tmp_path, tmp_path / "study", {"search": {"lr": {"type": "float"}}})
    with pytest.raises(ConfigError, match=r"^overrides: lr: 0\.0 is out of range"):
        tune(tmp_path, tmp_path / "study", overrides={"lr": 0})
    assert not (tmp_path / "study").exists()


def test_a_study_is_run_from_the_main_thread(make_market: Callable[..., Path], tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def launch() -> None:
        try:
            tune(
                make_market(), tmp_path / "study", {"fixed": {"val_identities": 1}}, trials=1, progress=False
            )
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=launch)
    thread.start()
    thread.join()
    assert isinstance(errors[0], ConfigError) and "main thread" in str(errors[0])
    assert not (tmp_path / "study").exists()
