"""How much of a study's slot time is training, and how soon a slot trains again after a trial.

Usage: python benchmarks/overhead.py [--trials N] [--seconds S] [--slots N] [--json FILE]

Runs two studies on sample data (the demo's network, no early stopping, trials of about S seconds) through
`launch`, as `tune` does: one with epochs of about four seconds, and one with epochs of about one, as on a
GPU. The share is the study's own record: seconds of epochs divided by seconds of slots, from the first
suggestion to the last epoch. Timers in the workers and in the driver show where the rest goes. About 10
minutes on two cores; on a busy machine the shares mean little.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import harness
from rich.console import Console
from slot_time import Span, analyse

from sa_study.data.sample import make_sample_data
from sa_study.data.store import any_fold
from sa_study.report.terminal.launch_display import LaunchDisplay
from sa_study.settings.space import Scheduler, SearchSpace
from sa_study.settings.space_file import load_space, override
from sa_study.study.config import StudyConfig
from sa_study.study.database import open_storage, study_attributes
from sa_study.study.folder import StudyFolder
from sa_study.tuning.launch import launch
from sa_study.tuning.launch.checkpoint_writer import CheckpointWriter
from sa_study.tuning.launch.cluster import Slots
from sa_study.tuning.launch.prepare import find_images, resolve_settings
from sa_study.tuning.launch.trainable import TrialProcess, TrialRun
from sa_study.tuning.plan.probe import probe
from sa_study.tuning.search.ray_searcher import StudySearcher

SHARE_GOALS = {4.0: 0.95, 1.0: 0.85}
"""Share of the slots' time that is to be training, by the seconds of an epoch."""

START_GOAL = 0.35
"""Seconds from a trial's end to the first epoch of the next, in the median."""

IDENTITIES = 45
"""Identities of the data on which the length of an epoch is measured; it grows with their number."""

MIN_IDENTITIES = 10
"""So that there is a batch to train on, and some to validate with."""

Timed = Callable[..., Any]


def timed(function: Timed, name: str, log: Path, trial: Callable[[], int] = lambda: -1) -> Timed:
    """Wraps a function so that the time of each call is recorded, for the trial that runs."""

    def wrapper(*arguments: Any, **named: Any) -> Any:
        begin = time.time()
        try:
            return function(*arguments, **named)
        finally:
            with (log / str(os.getpid())).open("a") as file:
                file.write(json.dumps([trial(), name, begin, time.time()]) + "\n")

    return wrapper


def timed_process(log: Path) -> type[TrialProcess]:
    """Returns `TrialProcess` with its steps timed; nested, so that it reaches the workers."""

    class TimedProcess(TrialProcess):
        def setup(self, config: dict[str, Any], **parts: Any) -> None:
            for owner, step in (
                (TrialRun, "__init__"),
                (TrialRun, "run_epoch"),
                (CheckpointWriter, "finish"),
                (CheckpointWriter, "_write_tensors"),
            ):
                setattr(owner, step, timed(getattr(owner, step), step, log, lambda: self.number))
            super().setup(config, **parts)

        def reset(self, *arguments: Any, **named: Any) -> Any:
            return timed(super().reset, "reset", log)(*arguments, **named)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.number = new_config["number"]
            return super().reset_config(new_config)

    return TimedProcess


@contextmanager
def stopwatch(log: Path) -> Iterator[None]:
    """Times the steps of the driver and of the workers that it starts."""
    steps = ("suggest", "commit", "on_trial_complete")
    patches = [
        patch.object(StudySearcher, step, timed(getattr(StudySearcher, step), step, log)) for step in steps
    ]
    patches.append(patch.object(launch, "TrialProcess", timed_process(log)))
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in patches:
            one.stop()


def make_config(place: Path, options: argparse.Namespace, epoch: float, per_identity: float) -> StudyConfig:
    """A study on new sample data with epochs and trials of about the wanted seconds on this machine."""
    identities = max(MIN_IDENTITIES, round(epoch / per_identity))
    data_dir = make_sample_data(place / "data", identities=identities)
    epochs = max(1, round(options.seconds / (identities * per_identity)))
    return StudyConfig(
        data_dir=data_dir,
        space=without_early_stopping(override(load_space(Path("demo")), {"epochs": epochs})),
        trials=options.trials,
        max_concurrent=options.slots,
        gpus_per_trial=0,
    )


def seconds_per_identity(place: Path, options: argparse.Namespace) -> float:
    """How much longer each identity makes an epoch on this machine."""
    config = make_config(place, options, IDENTITIES, 1)
    data = any_fold(find_images(config).decode())
    space = resolve_settings(config, Slots(1, 0, options.slots)).space
    return probe(space.settings(space.baseline), data, lambda done, total: None).epoch_seconds / IDENTITIES


def without_early_stopping(space: SearchSpace) -> SearchSpace:
    return dataclasses.replace(space, scheduler=Scheduler("none"))


def run(config: StudyConfig, root: Path, console: Console) -> dict[str, Any]:
    log = root / "stopwatch"
    log.mkdir(parents=True)
    begin = time.time()
    with stopwatch(log), LaunchDisplay(console, config) as live:
        launch.launch(root / "study", config, live)
    end = time.time()
    folder = StudyFolder(root / "study")
    launch_usage = next(
        v for k, v in study_attributes(open_storage(folder), folder).items() if k.startswith("launch:")
    )
    lines = [line for file in log.iterdir() for line in file.read_text().splitlines()]
    spans = sorted((Span(*json.loads(line)) for line in lines), key=lambda span: span.begin)
    return {
        **launch_usage,
        **analyse(spans, launch_usage, config),
        "before": spans[0].begin - begin,
        "whole": end - begin,
    }


def tables(result: dict[str, Any], share_goal: float) -> list[harness.Table]:
    start, share = statistics.median(result["starts"]), result["shares"]["training"]
    goals = [
        (
            "slots' time that is training",
            f"{100 * share:.1f} %",
            met(share >= share_goal, f"≥ {100 * share_goal:.0f} %"),
        ),
        ("next trial's start, median", f"{start:.2f} s", met(start <= START_GOAL, f"≤ {START_GOAL} s")),
        ("next trial's start, slowest", f"{max(result['starts']):.2f} s", ""),
    ]
    rest = [(name, f"{100 * value:.1f} %") for name, value in result["shares"].items() if name != "training"]
    times = [(name, f"{value:.3f} s") for name, value in result["steps"].items()]
    times += [
        ("before the first suggestion: images, Ray", f"{result['before']:.1f} s"),
        ("from the launch's begin to its end", f"{result['seconds']:.1f} s"),
        ("the whole launch", f"{result['whole']:.1f} s"),
    ]
    epoch = result["steps"]["an epoch"]
    title = (
        f"{result['trials']} trials of {result['epochs_a_trial']} epochs of {epoch:.1f} s on "
        f"{result['slots']} slots"
    )
    return [
        harness.table(title, ("what", "value", "goal"), goals),
        harness.table("The slots' other time", ("what", "share"), rest),
        harness.table("Median time of each step, and time of the launch", ("what", "time"), times),
    ]


def met(reached: bool, goal: str) -> str:
    return f"{goal}, {'met' if reached else 'missed'}"


def main() -> None:
    parser = harness.argument_parser(__doc__, "overhead")
    parser.add_argument("--trials", type=int, default=40, help="at least one more than slots")
    parser.add_argument("--seconds", type=float, default=10.0, help="training time of a trial")
    parser.add_argument("--slots", type=int, default=2)
    options = parser.parse_args()
    if options.trials <= options.slots:
        parser.error("--trials: give at least one more than --slots")
    results, shown = {}, []
    with tempfile.TemporaryDirectory(prefix="overhead_") as folder:
        per_identity = seconds_per_identity(Path(folder) / "probe", options)
        for epoch, share_goal in SHARE_GOALS.items():
            place = Path(folder) / f"{epoch:g}_s"
            config = make_config(place, options, epoch, per_identity)
            result = {
                "trials": options.trials,
                "slots": options.slots,
                "epochs_a_trial": config.space.fixed["epochs"],
                **run(config, place, Console()),
                "load": os.getloadavg()[0],
            }
            results[f"epochs of about {epoch:g} s"] = result
            shown += tables(result, share_goal)
    harness.finish(results, options.json, *shown)


if __name__ == "__main__":
    main()
