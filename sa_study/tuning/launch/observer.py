"""What hears of a launch while it runs, as the live view does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from optuna.trial import FrozenTrial

from sa_study.study.config import StudyConfig
from sa_study.study.records import TrialEvent


class LaunchObserver(Protocol):
    """Hears of a launch while it runs, as the live view does."""

    def starting(self) -> None:
        """Called before Ray starts, or a cluster is joined."""

    def decoded(self, done: int, total: int) -> None:
        """Called with the number of images that are decoded, and of all."""

    def begin(self, config: StudyConfig, trials: Sequence[FrozenTrial], slots: int) -> None:
        """Called before any trial runs, with the study's trials and how many may run at a time."""

    def announce(self, event: TrialEvent) -> None:
        """Called with every event of a trial."""

    def say(self, text: str) -> None:
        """Called with a message about the launch."""

    def fail(self, text: str) -> None:
        """Called, from any thread, with the reason why the launch cannot go on; then the process ends."""
