"""Early stopping as Ray drives it: the decision after an epoch is recorded together with the epoch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from sa_study.metrics import names
from sa_study.settings.space import Scheduler
from sa_study.study.records import BASELINE, progress_of, read_record, step_of
from sa_study.tuning.budget import BudgetTracker
from sa_study.tuning.launch.memory import MemoryKills
from sa_study.tuning.search.ray_searcher import StudySearcher
from sa_study.tuning.stopping.rules import make_rule


class StudyScheduler(FIFOScheduler):
    """Asks a stopping rule, and has the searcher record each epoch together with the decision.

    The baseline is never stopped: the winner is compared with it. When the launch is to stop, every trial is
    paused at its next checkpoint; in the database it stays running, and `resume` continues it.

    Args:
        scheduler: The scheduler that the search space names.
        metric: The figure that is maximised.
        search: Records the decisions.
        tracker: Tells when the launch is to stop.
        earlier: Trials of earlier launches, whose reports the rule learns; Ray does not keep them.
        kills: Tells whether a trial's process was killed for lack of memory; None if that is not watched.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        metric: str,
        search: StudySearcher,
        tracker: BudgetTracker,
        earlier: Iterable[FrozenTrial] = (),
        kills: MemoryKills | None = None,
    ):
        super().__init__()  # type: ignore[no-untyped-call]
        self._rule = make_rule(scheduler)
        self._objective = metric
        self._search = search
        self._tracker = tracker
        self._kills = kills
        for trial in earlier:
            # A value after the last recorded epoch belongs to an epoch that will be run again.
            last = step_of(read_record(trial).last.get(names.PROGRESS, 0.0))
            for step, value in sorted(trial.intermediate_values.items()):
                if step <= last:
                    self._rule.replay(trial.number, progress_of(step), value)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Begins to watch the memory with the first trial."""
        if self._kills:
            self._kills.watch()

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decides whether a trial continues."""
        number = trial.config["number"]
        if names.HALT in result:
            self._tracker.abort(f"trial {number}: {result[names.HALT]}")
            return TrialScheduler.STOP
        if names.FAILURE in result:
            self._search.record_failure(trial.trial_id, str(result[names.FAILURE]))
            return TrialScheduler.STOP
        progress = result[names.PROGRESS]
        finished = progress >= 100
        below = self._rule.stops(number, progress, result[self._objective])
        stopped = below and not finished and number != BASELINE
        self._search.record_epoch(trial.trial_id, result, stopped=stopped)
        continues = not (stopped or finished or self._tracker.stop_reason)
        return TrialScheduler.CONTINUE if continues else TrialScheduler.STOP

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Has the searcher record that a trial's process crashed, and why; Ray may start it again."""
        if self._kills:
            self._search.record_crash(trial.trial_id, self._kills.reason(_last_error(trial)))

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Does nothing: the rule has had the last result already."""


def _last_error(trial: Any) -> str:
    """What Ray has written about the last crash of a trial's process; each has a heading."""
    try:
        errors = Path(trial.error_file).read_text(errors="replace")
    except (OSError, TypeError):  # no file, as the disk was full
        return ""
    _, _, last = errors.rpartition("Failure # ")
    return last.partition("\n")[2]
