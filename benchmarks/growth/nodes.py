"""Growth with the number of nodes: how many trials a minute a cluster runs whose trials only sleep.

The nodes are Ray's own, with one CPU each, on this machine; all but the trial itself is a launch's own code.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import harness
import numpy as np
from ray import tune
from ray.cluster_utils import Cluster
from ray.tune.result import SHOULD_CHECKPOINT

from sa_study.data.store import ImageStore, TrainingData
from sa_study.metrics import names
from sa_study.settings.space import Scheduler
from sa_study.settings.space_file import load_space, override
from sa_study.study.config import StudyConfig
from sa_study.study.records import TrialEvent
from sa_study.tuning.launch import launch

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

NODES = (1, 4)
EPOCHS, SECONDS = 4, 1.0
"""Of a trial, and of each of its epochs."""

PER_NODE = 3
"""Trials."""


class Clock:
    """Notes when epochs are recorded."""

    def __init__(self) -> None:
        self.epochs: list[tuple[float, int]] = []

    def announce(self, event: TrialEvent) -> None:
        """Notes an epoch and its trial."""
        if event.kind == "epoch":
            self.epochs.append((time.monotonic(), event.number))

    def starting(self) -> None:
        """Nothing."""

    def decoded(self, done: int, total: int) -> None:
        """Nothing."""

    def begin(self, config: StudyConfig, trials: Sequence[FrozenTrial], slots: int) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def fail(self, text: str) -> None:
        """Nothing."""

    def trials_a_minute(self, slots: int) -> float:
        """The rate once every slot has ended an epoch; before that workers start."""
        begin = next(i for i in range(len(self.epochs)) if len({n for _, n in self.epochs[: i + 1]}) == slots)
        (start, _), (end, _) = self.epochs[begin], self.epochs[-1]
        return (len(self.epochs) - begin - 1) / EPOCHS / (end - start) * 60


def nodes() -> list[dict[str, float]]:
    """Clusters of more and more nodes, each with as many trials a node."""
    return [harness.in_fresh_process(_nodes, count) for count in NODES]


def _nodes(count: int) -> dict[str, float]:
    start = time.monotonic()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    clock = Clock()
    try:
        for _ in range(count - 1):
            cluster.add_node(num_cpus=1)
        with (
            tempfile.TemporaryDirectory(prefix="scaling_") as place,
            patch.object(launch, "find_images", lambda config: _NoImages()),
            patch.object(launch, "TrialProcess", sleeping_trials(EPOCHS, SECONDS)),
            patch.object(launch, "save_winner", lambda *_: None),  # its checkpoint is empty
        ):
            launch.launch(Path(place) / "study", _config(Path(place), cluster.address, count), clock)
    finally:
        cluster.shutdown()
    rate = clock.trials_a_minute(count)
    return {
        "nodes": count,
        "trials a minute": rate,
        "of the slots' time asleep, %": 100 * rate / 60 * EPOCHS * SECONDS / count,
        "the whole launch, s": time.monotonic() - start,
    }


def sleeping_trials(epochs: int, seconds: float) -> type[tune.Trainable]:
    """A worker's process that trains nothing; nested, so that it reaches workers that have no benchmarks."""

    class SleepingTrials(tune.Trainable):
        def setup(self, config: dict[str, Any], **parts: Any) -> None:
            self.reset_config(config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self._epoch, self._score = 0, new_config["settings"]["lr"]
            return True

        def step(self) -> dict[str, Any]:
            time.sleep(seconds)
            self._epoch += 1
            figures = {names.EPOCH: self._epoch, names.PROGRESS: 100 * self._epoch / epochs}
            checkpoint = {SHOULD_CHECKPOINT: True, "checkpoint_dir_name": f"checkpoint_{self._epoch - 1:06d}"}
            return {
                **figures,
                names.SECONDS: seconds,
                **dict.fromkeys(names.RANKING, self._score),
                **checkpoint,
            }

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            (Path(checkpoint_dir) / "checkpoint.pt").touch()

    return SleepingTrials


def _config(place: Path, address: str, count: int) -> StudyConfig:
    space = override(load_space(Path("demo")), {"epochs": EPOCHS, "dropout": 0.5})
    space = dataclasses.replace(space, scheduler=Scheduler("none"))
    return StudyConfig(
        data_dir=place, space=space, trials=PER_NODE * count, gpus_per_trial=0, address=address
    )


class _NoImages:
    """In place of the data set's images: nothing is trained."""

    def decode(self, progress: object) -> dict[int, TrainingData]:
        images, ids = np.zeros((2, 8, 8, 3), np.uint8), np.arange(2)
        return {0: TrainingData(ImageStore(images, ids, ids, "none"), ids, ids, ids, ids, 2)}
