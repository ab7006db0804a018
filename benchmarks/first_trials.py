"""How soon the first trials train, if their workers start while images are decoded, and if after it.

Usage: python benchmarks/first_trials.py [--images N] [--rounds N] [--data-dir DIR] [--json FILE]

Each launch is a new process, in turns. Its time is from `launch`, imports done, until each slot has a network
and images. The data is the sample's, its images linked until there are as many as Market-1501 has to train
with, or a data set of your own. About five minutes on two cores.
"""

from __future__ import annotations

import io
import os
import statistics
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import harness
from rich.console import Console

from sa_study.data.sample import make_sample_data
from sa_study.metrics import names
from sa_study.report.terminal.launch_display import LaunchDisplay
from sa_study.settings.space_file import load_space
from sa_study.study.config import StudyConfig
from sa_study.tuning.launch import launch, prepare
from sa_study.tuning.launch.local_ray import NO_WORKERS
from sa_study.tuning.launch.trainable import TrialProcess
from sa_study.utils.errors import RunFailed

SLOTS = (1, 2)
MAX_SECONDS = 300.0


def ready_process(log: Path, slots: int) -> type[TrialProcess]:
    """Returns a process whose trials end when all of them could train; nested, so that it reaches workers."""
    begin = time.time()

    class ReadyProcess(TrialProcess):
        def step(self) -> dict[str, Any]:
            self._begin()
            (log / str(os.getpid())).write_text(str(time.time()))
            while len(list(log.iterdir())) < slots and time.time() < begin + MAX_SECONDS:
                time.sleep(0.1)  # else one process would take two trials
            return {self._metric: float("nan"), names.FAILURE: "it was not to train"}

    return ReadyProcess


def seconds_to_train(data_dir: Path, slots: int, early: bool) -> float:
    """Launches a study in this process; returns the seconds until all of its first trials could train."""
    space = load_space(Path("demo"))
    config = StudyConfig(data_dir=data_dir, space=space, trials=slots, max_concurrent=slots, gpus_per_trial=0)
    with ExitStack() as during:
        folder = Path(during.enter_context(tempfile.TemporaryDirectory(prefix="first_trials_")))
        (log := folder / "ready").mkdir()
        during.enter_context(patch.object(launch, "TrialProcess", ready_process(log, slots)))
        if not early:
            during.enter_context(patch.object(prepare, "first_workers", lambda *_: NO_WORKERS))
        begin = time.time()
        with suppress(RunFailed), LaunchDisplay(Console(file=io.StringIO()), config) as live:
            launch.launch(folder / "study", config, live)
        ready = [float(file.read_text()) for file in log.iterdir()]
    if len(ready) != slots:
        raise RuntimeError(f"{len(ready)} of {slots} trials were ready")
    return max(ready) - begin


def many_images(root: Path, count: int) -> Path:
    """Draws sample data, and links its training images under further names until there are so many."""
    data = make_sample_data(root)
    drawn = sorted((data / "bounding_box_train").glob("*.jpg"))
    for number in range(len(drawn), count):
        file = drawn[number % len(drawn)]
        os.link(file, file.with_name(f"{file.stem[:-2]}{number // len(drawn) + 10}.jpg"))
    return data


def measure(data_dir: Path, rounds: int) -> dict[str, Any]:
    taken: dict[str, Any] = {}
    for slots in SLOTS:
        seconds: dict[bool, list[float]] = {True: [], False: []}
        for early in [True, False] * rounds:
            seconds[early].append(harness.in_fresh_process(seconds_to_train, data_dir, slots, early))
        taken[str(slots)] = {"early": seconds[True], "late": seconds[False]}
    return taken


def table(taken: dict[str, Any]) -> harness.Table:
    rows = [
        (
            slots,
            f"{statistics.median(seconds['early']):.1f} s",
            f"{statistics.median(seconds['late']):.1f} s",
            f"{harness.ratio(seconds['early'], seconds['late']):.2f}",
        )
        for slots, seconds in taken.items()
    ]
    return harness.table(
        "From the launch to trials that can train",
        ("trials at a time", "workers start with Ray", "workers start with their trials", "ratio"),
        rows,
    )


def main() -> None:
    parser = harness.argument_parser(__doc__, "first_trials")
    parser.add_argument("--images", type=int, default=12936, help="to train with; default %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="default %(default)s")
    parser.add_argument("--data-dir", type=Path, help="a data set in place of the sample")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="first_trials_") as folder:
        data_dir = options.data_dir or many_images(Path(folder) / "data", options.images)
        taken = measure(data_dir, options.rounds)
    harness.finish({"seconds": taken}, options.json, table(taken))


if __name__ == "__main__":
    main()
