"""A new study in its database, and what it runs before its sampler is asked, also of an earlier study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import optuna

from sa_study.settings.run import canonical_key, value_of
from sa_study.settings.space import SearchSpace
from sa_study.study.records import STUDY_NAME, configuration
from sa_study.study.summary import StudySummary
from sa_study.utils.errors import ConfigError, DataError, StudyFolderError

STARTED_FROM = "started_from"
"""Name of the Optuna study attribute that holds where a study's first configurations came from."""


@dataclass(frozen=True)
class InitialTrials:
    """Configurations to run first, and what is stored with a new study that runs them.

    Attributes:
        configurations: Values of all searched settings, in the order in which they run.
        user_attrs: Optuna attributes that a new study gets.
        image_fingerprint: Fingerprint that the training images must have; empty for any.
    """

    configurations: tuple[Mapping[str, Any], ...] = ()
    user_attrs: Mapping[str, Any] = field(default_factory=dict)
    image_fingerprint: str = ""

    def require_images(self, fingerprint: str) -> None:
        """Raises a DataError unless the training images have the expected fingerprint."""
        if self.image_fingerprint and self.image_fingerprint != fingerprint:
            raise DataError("the training images are not those of the study that is repeated; give the same")


def create_study(
    storage: optuna.storages.BaseStorage,
    directions: Sequence[Literal["maximize", "minimize"]] = ("maximize",),
    user_attrs: Mapping[str, Any] | None = None,
) -> None:
    """Creates the study in an empty database; a second objective has a direction too."""
    study = optuna.create_study(storage=storage, study_name=STUDY_NAME, directions=directions)
    for name, value in (user_attrs or {}).items():
        study.set_user_attr(name, value)


def enqueue_trials(storage: optuna.storages.BaseStorage, configurations: Iterable[Mapping[str, Any]]) -> None:
    """Queues the configurations that the study has neither run nor queued yet."""
    study = optuna.load_study(study_name=STUDY_NAME, storage=storage)
    known = [configuration(trial) for trial in study.get_trials(deepcopy=False)]
    for values in configurations:
        if dict(values) not in known:
            study.enqueue_trial(dict(values))


@dataclass(frozen=True)
class Transfer:
    """An earlier study's configurations for a new one, and those that do not fit.

    Attributes:
        initial_trials: The configurations that fit, the best first, after the new space's baseline.
        trials: Numbers of the earlier trials that they are of.
        misfits: Why others do not fit, a line each.
    """

    initial_trials: InitialTrials
    trials: tuple[int, ...]
    misfits: tuple[str, ...]


def transfer(earlier: StudySummary, space: SearchSpace, top: int, trials: int) -> Transfer:
    """Takes over an earlier study's best configurations; they are run again, scores are never copied.

    A configuration fits where the new space searches, or fixes, each setting that the earlier study searched
    at its value there. A setting that only the new space searches keeps the earlier study's fixed value.

    Args:
        earlier: The earlier study.
        space: The space of the new one.
        top: How many of the best configurations to try.
        trials: Trials of the new study; no more are taken over than it runs beside its baseline.

    Raises:
        ConfigError: `top` is out of range.
        StudyFolderError: The earlier study has no complete trial.
    """
    if top < 1:
        raise ConfigError(f"--top: {top} is not at least 1")
    if not earlier.complete:
        raise StudyFolderError(
            f"{earlier.folder.root}: no trial is complete, so there is nothing to start from"
        )
    fitting: dict[int, dict[str, Any]] = {}
    misfits: list[str] = []
    for trial in earlier.complete[:top]:
        values = earlier.settings(trial).to_dict()
        point = {name: value_of(name, values) for name in space.search}
        point = {name: point[name] for name in space.active_settings(point)}
        if misfit := _misfit(space, point, {name: value_of(name, values) for name in trial.params}):
            misfits.append(f"trial {trial.number} of {earlier.folder.root.name} does not fit: {misfit}")
            continue
        point = {name: space.search[name].canonical(value) for name, value in point.items()}
        if point not in [space.baseline, *fitting.values()] and len(fitting) < trials - 1:
            fitting[trial.number] = point
    about = {"study": str(earlier.folder.root.absolute()), "trials": list(fitting)}
    initial = InitialTrials((space.baseline, *fitting.values()), {STARTED_FROM: about})
    return Transfer(initial, tuple(fitting), tuple(misfits))


def require_same_start(study: StudySummary, start_from: Path) -> None:
    """Raises a ConfigError unless a study that is resumed was begun with the same `--from`."""
    found = study.attributes.get(STARTED_FROM)
    before = found.get("study") if isinstance(found, dict) else None
    if before != str(start_from.absolute()):
        raise ConfigError(
            f"--from {start_from}: but the study was begun with {before or 'none'}; leave it as it was, or "
            "begin another study"
        )


def _misfit(space: SearchSpace, point: dict[str, Any], searched: dict[str, Any]) -> str:
    """Why a configuration is none of a space's; empty where it is one.

    `point` has its values of what the space searches there, `searched` of what the earlier study searched.
    """
    for name, value in point.items():
        if value is None or not space.search[name].contains(value):
            return f"{name} {value} lies outside {space.search[name].describe()}"
    new = space.settings(point).to_dict()
    for name, value in searched.items():
        now = value_of(name, new)
        if now != value and canonical_key(name) not in map(canonical_key, point):
            return f"{name} is {value}, and {now} in the new study"
    return ""
