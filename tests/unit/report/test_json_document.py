"""What `--json` prints of a study."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from sa_study.report.json_document import study_document
from sa_study.settings.space import Scheduler
from sa_study.settings.space_file import load_space
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.study.lock import Driver
from sa_study.study.records import TrialRecord
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import TrialSummary


@pytest.fixture
def config(tmp_path: Path) -> StudyConfig:
    return StudyConfig(data_dir=tmp_path, space=load_space(Path("default")), trials=40)


def trial(number: int, state: TrialState, *values: float, failure: str = "") -> FrozenTrial:
    best = {"epoch": 3.0, "mAP": values[0], "rank1": 0.5} if values else {}
    record = TrialRecord(last=best, best=best, epochs_run=3, seconds=9.0, failure=failure)
    made = optuna.trial.create_trial(
        state=state,
        values=list(values) if state == TrialState.COMPLETE else None,
        intermediate_values={30: 0.2, 10: 0.1},
        user_attrs={"record": dataclasses.asdict(record)},
    )
    made.number = number
    return made


def document(
    config: StudyConfig, trials: list[FrozenTrial], driver: Driver | None = None, **more: Any
) -> Any:
    summaries = tuple(TrialSummary.of(trial, config) for trial in trials)
    study = StudySummary(StudyFolder(Path("runs/[a]")), config, summaries, driver=driver)
    made = study_document(study, **more)
    return json.loads(json.dumps(made, allow_nan=False))


def test_the_winner_and_by_how_much(config: StudyConfig) -> None:
    trials = [
        trial(0, TrialState.COMPLETE, 0.5),
        trial(1, TrialState.COMPLETE, 0.75),
        trial(2, TrialState.PRUNED, 0.9),
        trial(3, TrialState.FAIL, failure="loss is nan"),
    ]
    told = document(config, trials, stopped="interrupted", driver=Driver("host", 7, 1.5))
    assert (told["winner"], told["score"], told["baseline_score"], told["difference"]) == (1, 0.75, 0.5, 0.25)
    assert told["states"] == {"COMPLETE": 2, "PRUNED": 1, "FAIL": 1} and told["goal"] == 40
    assert told["stopped"] == "interrupted" and told["driver"] == {"host": "host", "pid": 7, "since": 1.5}
    assert told["cost"]["epochs"] == 12 and Path(told["study"]).is_absolute()
    rows = told["trials"]
    assert [row["baseline"] for row in rows] == [True, False, False, False]
    assert rows[0]["curve"] == [0.1, 0.2] and rows[3]["failure"] == "loss is nan" and rows[3]["best"] is None


def test_a_study_without_anything_yet(config: StudyConfig) -> None:
    told = document(config, [])
    assert told["winner"] is told["score"] is told["difference"] is told["driver"] is None
    assert told["trials"] == [] and told["states"] == {} and told["cost"]["training_share"] is None


def test_json_has_no_numbers_that_are_not_finite(config: StudyConfig) -> None:
    told = document(config, [trial(0, TrialState.PRUNED, math.nan)])
    assert told["trials"][0]["score"] is None and told["trials"][0]["best"]["epoch"] == 3


def test_two_objectives_have_a_front(config: StudyConfig) -> None:
    space = dataclasses.replace(config.space, scheduler=Scheduler("none"))
    config = dataclasses.replace(config, space=space, minimize="cost")
    trials = [trial(0, TrialState.COMPLETE, 0.5, 10.0), trial(1, TrialState.COMPLETE, 0.4, 20.0)]
    assert document(config, trials)["front"] == [0]
