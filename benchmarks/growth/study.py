"""Growth with the number of trials of a study: the next suggestion, a record, what `status` reads."""

from __future__ import annotations

import gc
import statistics
import tempfile
from pathlib import Path
from typing import Any

import harness
from simulation.written import write_study

from sa_study.metrics import names
from sa_study.study.config import StudyConfig
from sa_study.study.database import open_readonly, open_storage, study_attributes, trials_in
from sa_study.study.folder import StudyFolder
from sa_study.study.records import read_record
from sa_study.tuning.budget import Budget, BudgetTracker
from sa_study.tuning.search.ray_searcher import StudySearcher
from sa_study.tuning.stopping.ray_scheduler import StudyScheduler

TRIALS = (50, 100, 200, 400)
REPEATS = 5


def trials() -> list[dict[str, float]]:
    """What a launch does for one more trial in longer and longer studies."""
    with tempfile.TemporaryDirectory(prefix="scaling_") as place:
        folders = [write_study(Path(place) / str(count), count) for count in (TRIALS[0] // 2, *TRIALS)]
        gc.freeze()  # else a collection, of all that PyTorch and Ray hold, takes longer than what is measured
        return [_trials(folder) for folder in folders][1:]  # the first warms up


def _trials(folder: StudyFolder) -> dict[str, float]:
    config = StudyConfig.read(folder.config)
    reading = [harness.seconds(lambda: _read(folder)) for _ in range(REPEATS)]
    searches: list[StudySearcher] = []
    beginning = [harness.seconds(lambda: searches.append(_begin(folder, config))) for _ in range(REPEATS)]
    search = searches[0]
    asking, recording = [], []
    for number in range(REPEATS):
        name = f"trial-{number}"
        asking.append(harness.seconds(lambda: search.suggest(name)))  # noqa: B023, called at once
        recording.append(harness.seconds(lambda: _record(search, name)))  # noqa: B023
    return {
        "trials": config.trials,
        "a suggestion, ms": 1000 * statistics.median(asking),
        "an epoch's record, ms": 1000 * statistics.median(recording),
        "a relaunch's start, ms": 1000 * statistics.median(beginning),
        "what status reads, ms": 1000 * statistics.median(reading),
        "database, MiB": folder.database.stat().st_size / 2**20,
    }


def _begin(folder: StudyFolder, config: StudyConfig) -> StudySearcher:
    """What a launch makes of the database before its first suggestion."""
    database = open_storage(folder)
    earlier = trials_in(database, folder)
    tracker = BudgetTracker(Budget(), map(read_record, earlier), lambda: REPEATS)
    search = StudySearcher(
        space=config.space,
        metric=config.metric,
        storage=database,
        seed=1,
        session="session_2",
        tracker=tracker,
    )
    StudyScheduler(config.space.scheduler, config.metric, search, tracker, earlier)
    return search


def _record(search: StudySearcher, name: str) -> None:
    """The first epoch of a trial, written down."""
    result: dict[str, Any] = {
        names.EPOCH: 1,
        names.PROGRESS: 1.0,
        **dict.fromkeys(names.RANKING, 0.1),
        names.SECONDS: 1.0,
        "checkpoint_dir_name": "checkpoint_000000",
    }
    search.record_epoch(name, result, stopped=False)
    search.commit(name)


def _read(folder: StudyFolder) -> None:
    database = open_readonly(folder)
    trials_in(database, folder)
    study_attributes(database, folder)
