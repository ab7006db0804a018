"""Records, the Pareto front and what a study has cost."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
from optuna.trial import TrialState
from random_study import SPACE

from sa_study.metrics import names
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.study.records import TrialRecord, objectives
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import TrialSummary, pareto_front


def test_the_state_at_the_end() -> None:
    assert TrialRecord(last={"progress": 100.0}).final_state == TrialState.COMPLETE
    assert TrialRecord(last={"progress": 30.0}).final_state == TrialState.PRUNED
    assert TrialRecord(last={"progress": 100.0}, failure="died").final_state == TrialState.FAIL


def epoch(number: int, value: float, latency: float = 2.0) -> dict[str, float]:
    return {names.EPOCH: number, "mAP": value, names.SECONDS: 10.0, names.LATENCY: latency}


def test_a_record_pays_for_every_epoch_and_scores_each_once() -> None:
    record = TrialRecord()
    for number, value, latency in ((1, 0.1, 3.0), (2, 0.4, 2.0), (2, 0.4, 2.5), (3, 0.3, 2.2)):
        record = record.after_epoch(epoch(number, value, latency), "mAP", f"c{number}", gpus=0.5)
    assert (record.epoch, record.epochs_run, record.seconds, record.gpu_seconds) == (3, 4, 40.0, 20.0)
    assert record.cost == 30.0 and record.latency == 2.0
    assert record.checkpoints == ["c3", "c2"]
    assert objectives(record, "mAP", None) == [0.4]
    assert objectives(record, "mAP", names.COST) == [0.4, 30.0]
    assert objectives(record, "mAP", names.LATENCY) == [0.4, 2.0]


def test_the_front_is_what_no_other_trial_beats() -> None:
    random.seed(0)
    points = [(random.randint(0, 9) / 10, float(random.randint(1, 9))) for _ in range(60)]
    trials = [
        TrialSummary(number, "COMPLETE", {}, "mAP", 10, values=point) for number, point in enumerate(points)
    ]
    trials.append(TrialSummary(60, "PRUNED", {}, "mAP", 10))

    def beaten(one: tuple[float, float], other: tuple[float, float]) -> bool:
        return other != one and other[0] >= one[0] and other[1] <= one[1]

    best = {p for p in points if not any(beaten(p, other) for other in points)}
    front = pareto_front(trials)
    assert [trial.values for trial in front] == sorted(best, reverse=True)
    for one, other in itertools.pairwise(front):
        assert one.values[0] > other.values[0] and one.values[1] > other.values[1]


def test_what_a_study_cost() -> None:
    records = (
        TrialRecord(epochs_run=3, seconds=30.0, gpu_seconds=15.0),
        TrialRecord(epochs_run=1, seconds=9.0),
    )
    trials = [TrialSummary(0, "RUNNING", {}, "mAP", 10, record) for record in records]
    launches = {
        "launch:session_1": {"slot_seconds": 40.0, "training_seconds": 30.0},
        "launch:session_2": {"slot_seconds": 20.0, "training_seconds": 9.0},
        "lasting": {},
    }
    config = StudyConfig(data_dir=Path("/data"), space=SPACE, trials=2)
    cost = StudySummary(StudyFolder(Path("/study")), config, tuple(trials), launches).cost
    assert (cost.epochs, cost.seconds, cost.gpu_seconds) == (4, 39.0, 15.0)
    assert cost.training_share == pytest.approx(39 / 60)
    nothing = StudySummary(StudyFolder(Path("/study")), config).cost
    assert nothing.training_share is None and nothing.seconds == 0
