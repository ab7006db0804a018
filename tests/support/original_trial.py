"""A recorded trial, and reruns of it, without training anything."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

from random_study import SPACE

from sa_study.analysis.reproduce.original import (
    DATABASE_BEST,
    DATABASE_LAST,
    DATABASE_SCORES,
    RAY_RESULTS,
    OriginalTrial,
)
from sa_study.analysis.reproduce.reproduction import Rerun
from sa_study.settings.run import Settings
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.study.records import TrialRecord
from sa_study.study.result_files import ResultRow
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import TrialSummary

EPOCHS = 4
CHECKPOINT = "session_1/trial_0003/checkpoint_000003"
NOW: dict[str, Any] = {
    "time": "2026-11-25T12:00:00+00:00",
    "command": "run_study.py tune",
    "python": "3.11.7",
    "packages": {"torch": "2.15.0", "numpy": "2.4.6"},
    "git": {"commit": "0123456789abcdef", "dirty": False},
    "sources": "ab" * 32,
    "hardware": {
        "platform": "Linux-6.1",
        "cpu": "EPYC 9654",
        "instruction_set": "AVX512",
        "cpus": 2,
        "gpus": ["H100"],
    },
}


def figures(epoch: int) -> dict[str, float]:
    return {
        "epoch": epoch,
        "progress": 100 * epoch / EPOCHS,
        "loss": 9.0 / epoch,
        "loss/part1": 5.0 / epoch,
        "train_accuracy": 0.2 * epoch,
        "lr": 0.1,
        "rank1": 0.2 * epoch,
        "rank5": 0.21 * epoch,
        "rank10": 0.22 * epoch,
        "mAP": 0.1 * epoch + 1 / 30,
        "seconds": 3.0,
        "latency": 1.0,
        "images_per_second": 100.0,
    }


def original_trial(folder: Path) -> OriginalTrial:
    """A trial of four epochs, of which nothing differs since."""
    best = figures(EPOCHS)
    record = TrialRecord(last=best, best=best, best_checkpoint=CHECKPOINT, epochs_run=EPOCHS)
    rows = [
        ResultRow(1, {**figures(epoch), "accumulate": 1, "hostname": "vm"}) for epoch in range(1, EPOCHS + 1)
    ]
    config = StudyConfig(data_dir=Path("/data"), space=SPACE, trials=9, gpus_per_trial=0.0)
    return OriginalTrial(
        study=StudySummary(StudyFolder(folder), config),
        summary=TrialSummary(3, "COMPLETE", {}, "mAP", EPOCHS, record),
        settings=Settings(pretrained="none", threads=1, device="cpu", epochs=EPOCHS),
        launches={1: copy.deepcopy(NOW)},
        rows=rows,
        sources={
            RAY_RESULTS: {row.epoch: row.values for row in rows},
            DATABASE_SCORES: {epoch: {"mAP": figures(epoch)["mAP"]} for epoch in range(1, EPOCHS + 1)},
            DATABASE_BEST: {EPOCHS: best},
            DATABASE_LAST: {EPOCHS: best},
        },
    )


def with_record(original: OriginalTrial, state: str = "COMPLETE", **changes: Any) -> OriginalTrial:
    """The same trial with a changed record."""
    record = dataclasses.replace(original.summary.record, **changes)
    summary = dataclasses.replace(original.summary, state=state, record=record)
    return dataclasses.replace(original, summary=summary)


def on_gpu(original: OriginalTrial) -> OriginalTrial:
    """The same trial, which had a GPU."""
    config = dataclasses.replace(original.study.config, gpus_per_trial=1.0)
    settings = dataclasses.replace(original.settings, device="auto")
    return dataclasses.replace(original, study=StudySummary(original.study.folder, config), settings=settings)


def make_rerun(**changes: Any) -> Rerun:
    """A rerun, slower than the record; changes are factors on a figure of every epoch from the second on."""
    epochs = {epoch: {**figures(epoch), "seconds": 7.0, "latency": 2.0} for epoch in range(1, EPOCHS + 1)}
    for epoch in range(2, EPOCHS + 1):
        epochs[epoch] |= {name: epochs[epoch][name] * factor for name, factor in changes.items()}
    return Rerun(epochs)


def elsewhere(original: OriginalTrial, **hardware: Any) -> OriginalTrial:
    """The same trial, recorded on another machine."""
    launch = {**NOW, "hardware": {**NOW["hardware"], "cpu": "Xeon 8480", **hardware}}
    return dataclasses.replace(original, launches={1: launch})
