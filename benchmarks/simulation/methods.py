"""Studies in simulated time: real searchers and schedulers, driven as Ray's controller drives them.

An epoch takes about one unit of time; slots are filled as they become free. The order of calls is that of
`ray.tune.execution.tune_controller`: the scheduler judges a result first, the searcher is told of it only
where the trial goes on, callbacks come next, and a trial that ends is completed in the scheduler, then in the
searcher, with its last result.
"""

from __future__ import annotations

import dataclasses
import heapq
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.trial import TrialState
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import ConcurrencyLimiter, Searcher
from ray.tune.search.optuna import OptunaSearch

from sa_study.metrics import names
from sa_study.settings.space import Parameter, Scheduler, SearchSpace
from sa_study.study.records import read_record
from sa_study.tuning.budget import Budget, BudgetTracker
from sa_study.tuning.search.initial_trials import create_study
from sa_study.tuning.search.ray_searcher import StudySearcher
from sa_study.tuning.search.suggest import distribution
from sa_study.tuning.stopping.ray_scheduler import StudyScheduler
from simulation.landscapes import DROPOUT, EPOCHS, LR, Run


class Choice(NamedTuple):
    """What a study would return at this moment: a trial's number, and the epoch whose weights it offers."""

    number: int
    epoch: int


@dataclass
class Trial:
    """What a scheduler sees of a trial, and how far it is."""

    trial_id: str
    config: dict[str, Any]
    number: int
    run: Run
    epoch: int = 0

    def next_result(self) -> dict[str, Any]:
        """Trains one epoch."""
        self.epoch += 1
        return {
            "training_iteration": self.epoch,
            "checkpoint_dir_name": f"checkpoint_{self.epoch - 1:06d}",
            names.EPOCH: self.epoch,
            names.PROGRESS: 100 * self.epoch / len(self.run.reported),
            names.SECONDS: float(self.run.durations[self.epoch - 1]),
            names.MAP: float(self.run.reported[self.epoch - 1]),
        }

    @property
    def finished(self) -> bool:
        """Whether its schedule is done."""
        return self.epoch == len(self.run.reported)


class Task(Protocol):
    """What a study trains, such as a landscape."""

    def run(self, *args: Any, **settings: Any) -> Run:
        """The training of a trial with these settings; `number` is the trial's."""


class Method:
    """A searcher and a scheduler; Ray's own `get_best_result` returns the trial whose last report is best."""

    def __init__(self, search: Searcher, scheduler: TrialScheduler):
        self.search: Any = search  # Ray's annotations ask for a controller, and its own kind of trial
        self.scheduler: Any = scheduler
        self._last: dict[int, tuple[float, Choice]] = {}

    def settings(self, config: dict[str, Any]) -> dict[str, Any]:
        """The searched settings in what the searcher suggested."""
        return config

    def reported(self, trial: Trial, result: dict[str, Any]) -> None:
        """What callbacks do with a result that scheduler and searcher have had."""
        self._last[trial.number] = (result[names.MAP], Choice(trial.number, trial.epoch))

    def ended(self) -> None:
        """Takes notice that a trial has ended."""

    def choice(self) -> Choice | None:
        """What the study would return now."""
        return max(self._last.values())[1] if self._last else None


class OptunaMethod(Method):
    """Ray's OptunaSearch, limited to the slots there are.

    Args:
        scheduler: Ray's scheduler.
        slots: Trials at a time.
        seed: Of the search.
        sampler: An Optuna sampler; None for Ray's default.
        space: What is searched; None for that of the landscapes.
    """

    def __init__(
        self,
        scheduler: TrialScheduler,
        slots: int,
        seed: int,
        sampler: BaseSampler | None = None,
        space: SearchSpace | None = None,
    ):
        searched = (space or _landscape_space(seed)).search
        search = OptunaSearch(
            {name: distribution(parameter) for name, parameter in searched.items()},
            metric=names.MAP,
            mode="max",
            sampler=sampler,
            seed=None if sampler else seed,
        )
        super().__init__(ConcurrencyLimiter(search, max_concurrent=slots), scheduler)


class StudyMethod(Method):
    """This package's search and scheduler; the winner is the completed trial with the best epoch.

    Args:
        slots: Trials at a time.
        seed: Of the search.
        sampler: Name of the sampler.
        rule: Early stopping; None for the default.
        space: What is searched; None for that of the landscapes.
    """

    def __init__(
        self,
        slots: int,
        seed: int,
        sampler: str = SearchSpace.sampler,
        rule: Scheduler | None = None,
        space: SearchSpace | None = None,
    ):
        space = space or _landscape_space(seed)
        space = dataclasses.replace(space, sampler=sampler, scheduler=rule or Scheduler())
        storage = optuna.storages.InMemoryStorage()
        create_study(storage)
        self._choice: Choice | None = None
        tracker = BudgetTracker(Budget(), [], lambda: slots)
        self._study = StudySearcher(
            space=space, metric=names.MAP, storage=storage, seed=seed, session="session", tracker=tracker
        )
        super().__init__(self._study, StudyScheduler(space.scheduler, names.MAP, self._study, tracker))

    def settings(self, config: dict[str, Any]) -> dict[str, Any]:
        """The searched settings; the rest are the package's defaults."""
        return dict(config["suggested"])

    def reported(self, trial: Trial, result: dict[str, Any]) -> None:
        """Has the study write it down, as its callback does."""
        self._study.commit(trial.trial_id)

    def ended(self) -> None:
        """Chooses the winner as the package does; only a trial's end can change it."""
        complete = self._study.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if winner := max(complete, key=lambda trial: (trial.value, -trial.number), default=None):
            self._choice = Choice(winner.number, int(read_record(winner).best[names.EPOCH]))

    def choice(self) -> Choice | None:
        """The winner now."""
        return self._choice


class Study(Protocol):
    """What is asked of a simulated study: its trials, how long it thought of each, and its scores."""

    suggest_seconds: list[float]

    @property
    def trials(self) -> Sequence[Any]:
        """The trials that were begun; each says whether it is `finished`."""

    def values(self, budget: int) -> Iterator[float]:
        """The score of what it would return, after each epoch that any slot has trained."""


class Simulation:
    """One method on one landscape, or on another task.

    Args:
        method: Searcher and scheduler.
        task: Takes the place of training.
        slots: Trials at a time.

    Attributes:
        trials: The trials that were begun.
        suggest_seconds: Seconds of each trial's suggestion.
    """

    def __init__(self, method: Method, task: Task, slots: int):
        self._method, self._task, self._slots = method, task, slots
        self.trials: list[Trial] = []
        self.suggest_seconds: list[float] = []

    def values(self, budget: int) -> Iterator[float]:
        """The expected mAP of what the study would return, after each epoch that any slot has trained."""
        running = [self._begin(0.0) for _ in range(self._slots)]
        heapq.heapify(running)
        for _ in range(budget):
            now, _, trial = heapq.heappop(running)
            if self._train(trial):
                event = (now + trial.run.durations[trial.epoch], trial.number, trial)
            else:
                event = self._begin(now)
            heapq.heappush(running, event)
            choice = self._method.choice()
            yield float(self.trials[choice.number].run.expected[choice.epoch - 1]) if choice else 0.0

    def _begin(self, now: float) -> tuple[float, int, Trial]:
        number = len(self.trials)
        start = time.perf_counter()
        config = self._method.search.suggest(f"trial-{number}")
        self.suggest_seconds.append(time.perf_counter() - start)
        settings = self._method.settings(config)
        trial = Trial(f"trial-{number}", config, number, self._task.run(number=number, **settings))
        self.trials.append(trial)
        self._method.scheduler.on_trial_add(None, trial)
        return now + trial.run.durations[0], number, trial

    def _train(self, trial: Trial) -> bool:
        """Trains one epoch; whether the trial goes on."""
        search, scheduler = self._method.search, self._method.scheduler
        result = trial.next_result()
        goes_on = bool(scheduler.on_trial_result(None, trial, result) != TrialScheduler.STOP)
        if goes_on:
            search.on_trial_result(trial.trial_id, result)
            goes_on = not trial.finished  # Ray then has the result once more, as done, and tells nobody
        self._method.reported(trial, result)
        if not goes_on:
            scheduler.on_trial_complete(None, trial, result)
            search.on_trial_complete(trial.trial_id, result=result)
            self._method.ended()
        return goes_on


def _landscape_space(seed: int) -> SearchSpace:
    """The space of the landscapes, with a baseline drawn at random."""
    rng = np.random.default_rng([seed, 2])
    search = {
        "lr": Parameter("float", *LR, log=True),
        "dropout": Parameter("float", *DROPOUT),
        "epochs": Parameter("int", *EPOCHS),
    }
    baseline = {
        "lr": float(np.exp(rng.uniform(*np.log(LR)))),
        "dropout": float(rng.choice(np.linspace(DROPOUT[0], DROPOUT[1], 9).round(1))),
        "epochs": int(rng.choice(np.arange(EPOCHS[0], EPOCHS[1] + 1, EPOCHS[2]))),
    }
    return SearchSpace(search=search, fixed={}, baseline=baseline)
