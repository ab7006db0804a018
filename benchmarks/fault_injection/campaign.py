"""A tiny study that is killed again and again, resumed each time, and looked over at its end."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fault_injection.driver import Driver, left_behind
from fault_injection.moments import Moment, Watch, ended_trials, recorded_epochs, wait_for
from sa_study.analysis.audit.checks import audit
from sa_study.study.database import read_trials
from sa_study.study.folder import StudyFolder

_LONGEST = 300.0
_PATIENCE = 90.0
"""Seconds that a launch may take, and in which a driver that was asked to end must have ended."""

_RAYS_OWN = 90.0
"""Seconds that Ray's agents take at most to notice that the rest of their Ray died while they started."""

MAX_FAILURES = 2


@dataclass(frozen=True)
class Case:
    """A kind of study.

    Attributes:
        sampler: Of the search.
        scheduler: Of early stopping.
        slots: Trials at a time.
        time_budget: Seconds of a launch, or None.
        trials: Trials in all.
        epochs: Epochs of a trial.
        backbone: Of the network.
    """

    sampler: str
    scheduler: str
    slots: int
    time_budget: int | None = None
    trials: int = 4
    epochs: int = 3
    backbone: str = "resnet18"

    def __str__(self) -> str:
        budget = f", {self.time_budget} s a launch" if self.time_budget else ""
        return f"{self.sampler}, {self.scheduler}, {self.slots} at a time{budget}"

    @property
    def reference(self) -> Case | None:
        """A study left alone that must end alike; None where timing decides what is suggested or stopped."""
        if self.slots == 1 or (self.sampler, self.scheduler) == ("random", "none"):
            return dataclasses.replace(self, slots=1, time_budget=None)
        return None

    def words(self, root: Path, data: Path) -> list[str | Path]:
        """The command that begins the study, or goes on with it."""
        budget = ["--time-budget", f"{self.time_budget}s"] if self.time_budget else []
        if (root / "study.yaml").exists():
            return ["resume", "--study", root, *budget]
        space = root.with_suffix(".yaml")
        space.write_text(yaml.safe_dump(self._space()))
        command: list[str | Path] = ["tune", "--study", root, "--data-dir", data, "--space", space, *budget]
        return [*command, "--trials", str(self.trials), "--max-concurrent", str(self.slots)]

    def _space(self) -> dict[str, Any]:
        return {
            "search": {
                "lr": {"type": "float", "low": 1e-4, "high": 0.1, "log": True},
                "dropout": {"type": "float", "low": 0.0, "high": 0.5},
            },
            "fixed": {
                "backbone": self.backbone,
                "pretrained": "none",
                "height": 32,
                "width": 16,
                "parts": 1,
                "num_features": 4,
                "batch_size": 16,
                "epochs": self.epochs,
                "deep_supervision": False,
                "backbone_lr_factor": 1.0,
            },
            "baseline": {"lr": 0.003, "dropout": 0.0},
            "sampler": self.sampler,
            "scheduler": {"name": self.scheduler, "grace_period": 30, "reduction_factor": 2},
        }


@dataclass(frozen=True)
class Kill:
    """A fault to inject: one of `fault_injection.driver.KINDS`, at a moment."""

    kind: str
    moment: Moment


@dataclass
class Result:
    """What came of a study.

    Attributes:
        name: The kind of study.
        folder: Where it lies.
        kills: Those that struck: kind, moment, seconds after the launch began, epochs recorded, exit code.
        missed: Those whose moment did not come before the study's end, or that came too late to do anything.
        launches: How often it was launched.
        failures: Launches that ended otherwise than they should, in words.
        audit: What the audit found at the end.
        differs: How it differs from the study left alone; None where that is not to be compared.
        left_behind: Processes that outlived their driver by too long.
    """

    name: str
    folder: Path
    kills: list[dict[str, Any]] = field(default_factory=list)
    missed: list[Kill] = field(default_factory=list)
    launches: int = 0
    failures: list[str] = field(default_factory=list)
    audit: list[str] = field(default_factory=list)
    differs: list[str] | None = None
    left_behind: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing at all is wrong."""
        return not (self.failures or self.audit or self.differs or self.left_behind)


class Campaign:
    """Runs one study through its kills.

    Args:
        case: The kind of study.
        kills: What to inject, in this order.
        root: Folder of the study; must not exist.
        data: The data set.
        rng: Draws everything that is random.
    """

    def __init__(self, case: Case, kills: Sequence[Kill], root: Path, data: Path, rng: random.Random):
        self._case = case
        self._pending = list(kills)
        self._done: list[Kill] = []
        self._root = root
        self._data = data
        self._rng = rng
        self._drivers: list[int] = []
        self._result = Result(str(case), root)

    def run(self) -> Result:
        """Launches until the study is done; then audits it."""
        result = self._result
        while not self._launch():
            if len(result.failures) >= MAX_FAILURES:
                break
        result.missed += self._pending
        for pid in self._drivers:
            result.left_behind += left_behind(pid, _RAYS_OWN)
        if not result.failures:
            result.audit = audit(self._root)
        return result

    def _launch(self) -> bool:
        """One launch and what befalls it; whether the study is done."""
        words = self._case.words(self._root, self._data)
        with Driver(words, self._root.with_suffix(".log")) as driver:
            self._drivers.append(driver.pid)
            self._result.launches += 1
            struck = self._strike(driver)
            code = driver.end(_PATIENCE if struck else _LONGEST)
        if struck and code == 0:  # it was past doing anything about it
            self._result.missed.append(self._done.pop())
            self._result.kills.pop()
            struck = {}
        if code is None:
            self._fail(f"did not end within {_PATIENCE if struck else _LONGEST:.0f} s", struck)
        elif struck:
            struck["exit"] = code
        elif code and not (self._case.time_budget and "the time budget is spent" in self._last_lines()):
            self._fail(f"ended with exit code {code}", struck)
        else:
            return ended_trials(self._root) >= self._case.trials
        return False

    def _strike(self, driver: Driver) -> dict[str, Any]:
        """Injects what is due in this launch; gives the kill that ends it, empty when it is left to end."""
        while self._pending:
            kill = self._pending[0]
            watch = Watch(self._root, driver)
            epochs = 0 if kill.moment.phase != 1 else recorded_epochs(self._root) + self._pause()
            if not wait_for(kill.moment, watch, epochs, self._rng):
                break
            noted = {
                "kind": kill.kind,
                "moment": kill.moment.name,
                "second": round(time.monotonic() - driver.since, 2),
                "epochs": recorded_epochs(self._root),
            }
            if not self._hit(driver, kill.kind):
                break
            self._done.append(self._pending.pop(0))
            self._result.kills.append(noted)
            if kill.kind != "worker":
                return noted
            _wait(driver, Watch(self._root, driver).new_epoch)  # a trial may die thrice without progress
        return {}

    def _hit(self, driver: Driver, kind: str) -> bool:
        if kind == "worker":
            _wait(driver, driver.trial_processes)
        return driver.strike(kind, self._rng.random())

    def _pause(self) -> int:
        """Epochs to let pass, drawn so that the kills still to come spread over what is left of the study."""
        sure = self._case.epochs if self._case.scheduler == "none" else 1
        left = sure * (self._case.trials - ended_trials(self._root))
        return self._rng.randint(0, max(0, left // len(self._pending) - 1))

    def _fail(self, what: str, struck: dict[str, Any]) -> None:
        after = f" after {struck['kind']} at {struck['moment']}" if struck else ""
        self._result.failures.append(f"launch {self._result.launches} {what}{after}: {self._last_lines()}")

    def _last_lines(self) -> str:
        log = self._root.with_suffix(".log").read_text(errors="replace")
        return " / ".join(log.strip().splitlines()[-3:])


def _wait(driver: Driver, until: Any) -> None:
    while driver.running and not until():
        time.sleep(0.01)


def story(root: Path) -> list[tuple[Any, ...]]:
    """What must not depend on faults: each trial's number, settings, end, and every value to the last bit."""
    return [
        (trial.number, trial.params, trial.state.name, trial.values, trial.intermediate_values)
        for trial in read_trials(StudyFolder.existing(root))
    ]


def differences(root: Path, reference: Path) -> list[str]:
    """Lines on how two studies' trials differ."""
    ours, theirs = story(root), story(reference)
    found = [] if len(ours) == len(theirs) else [f"{len(ours)} trials, {len(theirs)} undisturbed"]
    return found + [
        f"{mine}, undisturbed {other}" for mine, other in zip(ours, theirs, strict=False) if mine != other
    ]
