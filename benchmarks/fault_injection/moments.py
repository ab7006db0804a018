"""Moments in a launch's life at which to strike, seen from outside."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from fault_injection.driver import Driver

_POLL_SECONDS = 0.004


class Watch:
    """Tells what has changed in a study's folder since the watch was made; only reads.

    Args:
        root: The study's folder.
        driver: The launch that runs now.
    """

    def __init__(self, root: Path, driver: Driver):
        self.root = root
        self.driver = driver
        self._epochs = recorded_epochs(root)
        self._trials = _count(root, _TRIALS)
        self._checkpoints = self._count_checkpoints()

    def new_epoch(self) -> bool:
        """Whether an epoch was recorded since."""
        return recorded_epochs(self.root) > self._epochs

    def new_checkpoint(self) -> bool:
        """Whether a checkpoint's folder appeared or went since; it appears before its file is whole."""
        return self._count_checkpoints() != self._checkpoints

    def end_not_yet_stored(self) -> bool:
        """Whether a trial's end is recorded, and its state not yet."""
        return _count(self.root, _DECIDED) > 0

    def new_trial(self) -> bool:
        """Whether a trial has begun since."""
        return _count(self.root, _TRIALS) > self._trials

    def _count_checkpoints(self) -> int:
        return sum(1 for _ in self.root.glob("trials/session_*/trial_*/checkpoint_*"))


@dataclass(frozen=True)
class Moment:
    """When to strike.

    Attributes:
        name: What it is called in the results.
        reached: Whether it has come.
        spread: Seconds within which to strike from then on, drawn evenly.
        phase: 0 for a launch's beginning, 1 for its middle, 2 for its end.
    """

    name: str
    reached: Callable[[Watch], bool]
    spread: float
    phase: int = 1


ANYWHERE = "anywhere"
MOMENTS = (
    Moment(ANYWHERE, lambda watch: True, 1.5),
    Moment("new folder", lambda watch: watch.root.exists(), 0.1, phase=0),
    Moment("after an epoch", Watch.new_epoch, 0.03),
    Moment(ANYWHERE, lambda watch: True, 1.5),
    Moment("start of Ray", lambda watch: watch.driver.has("gcs_server"), 6.0, phase=0),
    Moment("at a checkpoint", Watch.new_checkpoint, 0.2),
    Moment("last epoch done", Watch.end_not_yet_stored, 0.02),
    Moment("new trial", Watch.new_trial, 0.02),
    Moment(ANYWHERE, lambda watch: True, 1.5),
    Moment("early in a launch", lambda watch: True, 12.0, phase=0),
    Moment("best.pt", lambda watch: any(watch.root.glob(".best.pt.*")), 0.05, phase=2),
)
"""Those called `anywhere` spread kills evenly; the others are the delicate moments."""


def wait_for(moment: Moment, watch: Watch, epochs: int, rng: random.Random) -> bool:
    """Waits for a moment.

    Args:
        moment: The moment.
        watch: Made when the wait begins.
        epochs: How many epochs of the study are to be recorded before.
        rng: Draws where in the moment's spread to strike.

    Returns:
        Whether it came before the driver had ended.
    """
    late = rng.uniform(0, moment.spread)
    while recorded_epochs(watch.root) < epochs or not moment.reached(watch):
        if not watch.driver.running:
            return False
        time.sleep(_POLL_SECONDS)
    time.sleep(late)
    return watch.driver.running


def recorded_epochs(root: Path) -> int:
    """Epochs of which the study's database has the metric."""
    return _count(root, "SELECT count(*) FROM trial_intermediate_values")


def ended_trials(root: Path) -> int:
    """Trials that have ended."""
    return _count(root, "SELECT count(*) FROM trials WHERE state IN ('COMPLETE', 'PRUNED', 'FAIL')")


_DECIDED = """
SELECT count(*) FROM trials JOIN trial_user_attributes USING (trial_id)
WHERE state = 'RUNNING' AND key = 'record'
AND (json_extract(value_json, '$.last.progress') >= 100 OR json_extract(value_json, '$.stopped'))
"""

_TRIALS = "SELECT count(*) FROM trials"


def _count(root: Path, query: str) -> int:
    """A number from the database; 0 while there is none, or a cut-off write makes it unreadable."""
    try:
        uri = f"file:{quote(str(root / 'optuna.db'))}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=5)) as database:
            return int(database.execute(query).fetchone()[0])
    except sqlite3.Error:
        return 0
