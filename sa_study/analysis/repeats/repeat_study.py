"""A study that trains given configurations with several seeds and folds, instead of searching for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import TrialState

from sa_study.analysis.repeats.runs import without_repeats
from sa_study.settings.space import Parameter, Scheduler, SearchSpace
from sa_study.study.config import StudyConfig
from sa_study.study.database import read_trials
from sa_study.study.folder import StudyFolder
from sa_study.tuning.launch.changes import StudyChanges
from sa_study.tuning.launch.launch import LaunchObserver, Outcome, launch, resume
from sa_study.tuning.search.initial_trials import InitialTrials
from sa_study.utils.errors import ConfigError

_MAX_SEED = 2**31 - 1


@dataclass(frozen=True)
class RepeatStudy:
    """A study of repeats, launched or still to be launched.

    Attributes:
        folder: Its folder.
        config: What it is to do, where it is new.
        initial_trials: All its configurations, with seed and fold.
    """

    folder: StudyFolder
    config: StudyConfig
    initial_trials: InitialTrials

    def run(self, observer: LaunchObserver, changes: StudyChanges) -> Outcome:
        """Launches the study, or resumes it with the configurations that it does not have yet.

        Args:
            observer: Hears of the launch while it runs.
            changes: What is asked of a study that exists, but for the number of trials.

        Raises:
            StudyError: Bad input; nothing was written, or the study is as it was.
        """
        if not self.folder.config.exists():
            return launch(self.folder.root, self.config, observer, self.initial_trials)
        asked = len(self.initial_trials.configurations)
        begun = sum(trial.state != TrialState.WAITING for trial in read_trials(self.folder))
        if begun > asked:
            raise ConfigError(
                f"--seeds: {self.folder.root} has begun {begun} runs, more than these {asked}; give more"
            )
        return resume(
            self.folder.root, dataclasses.replace(changes, trials=asked), observer, self.initial_trials
        )


def repeat_space(space: SearchSpace, seed: int, folds: Sequence[int] | None) -> SearchSpace:
    """A space whose trials differ in seed and fold too, and of which none is stopped early.

    Args:
        space: The space of the configurations.
        seed: The first seed.
        folds: The folds, or None for the one that the space fixes.
    """
    added = {"seed": Parameter("int", 0, _MAX_SEED)}
    first = {"seed": seed}
    if folds is not None:
        added["fold"] = Parameter("categorical", choices=tuple(folds))
        first["fold"] = folds[0]
    return dataclasses.replace(
        space,
        search={**without_repeats(space.search), **added},
        fixed={name: value for name, value in space.fixed.items() if name not in added},
        baseline={**without_repeats(space.baseline), **first},
        sampler="random",  # never asked: every configuration is given
        scheduler=Scheduler("none"),
    )


def repeat_points(
    configurations: Sequence[Mapping[str, Any]], seeds: Sequence[int], folds: Sequence[int] | None
) -> tuple[dict[str, Any], ...]:
    """Every configuration with every seed on every fold.

    Seeds vary slowest: a study that is stopped early has about as many runs of each configuration.
    """
    of_folds: list[dict[str, Any]] = [{}] if folds is None else [{"fold": fold} for fold in folds]
    return tuple(
        {**configuration, "seed": seed, **of_fold}
        for seed in seeds
        for of_fold in of_folds
        for configuration in configurations
    )
