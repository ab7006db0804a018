"""What becomes of a trial after each epoch, decided and recorded in one step."""

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
    """Asks a stopping rule, and has the search record each epoch together with the answer.

    The baseline is never stopped: the winner is shown beside it. When a budget is spent, every trial is
    stopped at its next checkpoint; the database then has it as running, and `resume` goes on with it.

    Args:
        scheduler: The space's choice.
        metric: The figure that is maximised.
        search: Records what is decided.
        tracker: Tells when the launch is to end.
        earlier: Trials of earlier launches; the rule is told what they reported, which Ray does not keep.
        kills: Tells whether a trial's process ended for lack of memory; None where nobody asks.
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
        self._rule = make_rule(scheduler, metric)
        self._search = search
        self._tracker = tracker
        self._kills = kills
        for trial in earlier:
            # A value beyond the record belongs to an epoch that will be run again.
            last = step_of(read_record(trial).last.get(names.PROGRESS, 0.0))
            values = {progress_of(step): v for step, v in trial.intermediate_values.items() if step <= last}
            self._rule.replay(trial.number, values)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Takes a trial in; one of an earlier launch keeps its places."""
        self._rule.on_trial_add(tune_controller, trial)
        self._rule.adopt(trial)
        if self._kills:
            self._kills.watch()

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Whether a trial goes on."""
        if names.HALT in result:
            self._tracker.abort(f"trial {trial.config['number']}: {result[names.HALT]}")
            return TrialScheduler.STOP
        if names.FAILURE in result:
            self._search.record_failure(trial.trial_id, str(result[names.FAILURE]))
            return TrialScheduler.STOP
        decision = str(self._rule.on_trial_result(tune_controller, trial, result))
        if trial.config["number"] == BASELINE:
            decision = TrialScheduler.CONTINUE
        finished = result[names.PROGRESS] >= 100
        stopped = decision == TrialScheduler.STOP and not finished
        self._search.record_epoch(trial.trial_id, result, stopped=stopped)
        goes_on = not (stopped or finished or self._tracker.stop_reason)
        return TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Has the search record that a trial's process ended by itself, and why; Ray may start it again."""
        if self._kills:
            self._search.record_death(trial.trial_id, self._kills.reason(_last_error(trial)))

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Nothing: the rule has had the last result already."""

    def debug_string(self) -> str:
        """The rule's own description."""
        return str(self._rule.debug_string())


def _last_error(trial: Any) -> str:
    """What Ray has written of the last end of a trial's process: an account under a heading for each."""
    try:
        accounts = Path(trial.error_file).read_text(errors="replace")
    except (OSError, TypeError):  # no file, as the disk was full
        return ""
    _, _, last = accounts.rpartition("Failure # ")
    return last.partition("\n")[2]
