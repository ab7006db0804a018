"""A study of Syne Tune's, in its own simulator, on a task of a suite. Needs Syne Tune 0.13.

The simulator takes an epoch's duration and score from the suite; deciding and stopping take no time. Syne
Tune is imported when a study is run: the rest of this module serves without it.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from sa_study.settings.space import Parameter, Scheduler
from simulation.landscapes import Floats
from simulation.suites import Suite, SuiteTask

EPOCH, SCORE, ELAPSED, LAST_EPOCH = "epoch", "score", "elapsed", "last_epoch"
"""Names in reports and configurations."""

_LOOP = 0.05
"""Time, in epochs, after which the simulator looks for new reports."""


class SuiteBlackbox:
    """A task of a suite with the attributes that Syne Tune's simulator asks of a `Blackbox`.

    Args:
        suite: The suite.
        task: One of its tasks.

    Attributes:
        configuration_space: The settings by name, those that are passed on to the task.
        objectives_names: Names of the columns of an answer.
        fidelity_values: The epochs that an answer has rows for.
    """

    objectives_names = (SCORE, ELAPSED)

    def __init__(self, suite: Suite, task: SuiteTask):
        self.configuration_space = suite.parameters
        self.fidelity_values = list(range(1, suite.epochs + 1))
        self._task = task
        self._numbers: dict[tuple[Any, ...], int] = {}

    def fidelity_name(self) -> str:
        """Name of the number of epochs."""
        return EPOCH

    def objective_function(self, configuration: Mapping[str, Any], seed: int | None = None) -> Floats:
        """The score after each epoch, and the time since the start: [epochs, 2].

        A configuration's number, which decides the durations, is the order in which it was first asked for:
        a trial that is resumed goes on as it began.
        """
        number = self._numbers.setdefault(tuple(configuration.values()), len(self._numbers))
        run = self._task.run(number=number, **configuration)
        return np.column_stack([run.reported, np.cumsum(run.durations)])


class SyneTuneTrial:
    """How far a trial is.

    Attributes:
        finished: Whether it has reported its last epoch.
    """

    finished = False


class SyneTuneStudy:
    """A study of one of Syne Tune's methods.

    Args:
        name: Name of its class in `syne_tune.optimizer.baselines`.
        suite: The suite.
        task: One of its tasks.
        slots: Trials at a time.
        seed: Of the search.

    Attributes:
        suggest_seconds: Seconds of each suggestion, those to resume a trial among them.
    """

    def __init__(self, name: str, suite: Suite, task: SuiteTask, slots: int, seed: int):
        self._name, self._suite, self._task, self._slots, self._seed = name, suite, task, slots, seed
        self._found: list[float] = []
        self._trials: dict[int, SyneTuneTrial] = {}
        self.suggest_seconds: list[float] = []

    @property
    def trials(self) -> list[SyneTuneTrial]:
        """The trials that have reported anything."""
        return list(self._trials.values())

    def values(self, budget: int) -> Iterator[float]:
        """The best score that any trial has reported, after each epoch that any slot has trained."""
        np.random.seed(self._seed)  # some searchers draw from it
        logging.getLogger("syne_tune").setLevel(logging.ERROR)
        quiet = contextlib.redirect_stdout(io.StringIO())  # it prints which optional packages are missing
        with tempfile.TemporaryDirectory() as folder, quiet:
            os.environ["SYNETUNE_FOLDER"] = folder
            self._run(budget)
        yield from self._found[:budget]

    def _run(self, budget: int) -> None:
        from syne_tune import Tuner
        from syne_tune.backend.simulator_backend.simulator_backend import SimulatorConfig
        from syne_tune.backend.simulator_backend.simulator_callback import SimulatorCallback
        from syne_tune.blackbox_repository import UserBlackboxBackend

        backend = UserBlackboxBackend(
            SuiteBlackbox(self._suite, self._task),
            ELAPSED,
            max_resource_attr=LAST_EPOCH,
            simulator_config=SimulatorConfig(0, 0, 0, 0, 0),
            tuner_sleep_time=_LOOP,
        )
        backend.time_keeper.real_time_since_last_recent_exit = lambda: 0.0
        scheduler = make_scheduler(self._name, self._suite, self._seed)
        scheduler.suggest = self._timed(scheduler.suggest)
        scheduler.on_trial_result = self._recorded(scheduler.on_trial_result)
        tuner = Tuner(
            backend,
            scheduler,
            stop_criterion=lambda status: len(self._found) >= budget,
            n_workers=self._slots,
            sleep_time=0,
            results_update_interval=3600,
            callbacks=[SimulatorCallback()],
            save_tuner=False,
        )
        tuner.run()

    def _timed(self, suggest: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            suggestion = suggest(*args, **options)
            self.suggest_seconds.append(time.perf_counter() - start)
            return suggestion

        return timed

    def _recorded(self, on_trial_result: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(trial: Any, result: Mapping[str, Any]) -> Any:
            self._found.append(max([float(result[SCORE]), *self._found[-1:]]))
            seen = self._trials.setdefault(trial.trial_id, SyneTuneTrial())
            seen.finished = result[EPOCH] == self._suite.epochs
            return on_trial_result(trial=trial, result=result)

        return recorded


def make_scheduler(name: str, suite: Suite, seed: int) -> Any:
    """One of Syne Tune's methods with our grace period and, but for DyHPO's even rungs, reduction factor."""
    from syne_tune.optimizer import baselines

    rule = Scheduler()
    options: dict[str, Any] = {"grace_period": max(1, round(suite.epochs * rule.grace_period / 100))}
    if name != "DyHPO":
        options["reduction_factor"] = rule.reduction_factor
    space = {key: _domain(parameter) for key, parameter in suite.parameters.items()}
    return getattr(baselines, name)(
        space | {LAST_EPOCH: suite.epochs},
        metric=SCORE,
        mode="max",
        resource_attr=EPOCH,
        max_resource_attr=LAST_EPOCH,
        random_seed=seed,
        **options,
    )


def _domain(parameter: Parameter) -> Any:
    from syne_tune import config_space

    low, high = parameter.ends
    if parameter.kind == "int":
        return (config_space.lograndint if parameter.log else config_space.randint)(int(low), int(high))
    return (config_space.loguniform if parameter.log else config_space.uniform)(low, high)
