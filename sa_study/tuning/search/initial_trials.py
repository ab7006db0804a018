"""A new study in its database, and the configurations that it runs before its sampler suggests any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import optuna

from sa_study.study.records import STUDY_NAME, configuration
from sa_study.utils.errors import DataError


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
        """Checks that the training images are the expected ones.

        Raises:
            DataError: Their fingerprint differs.
        """
        if self.image_fingerprint and self.image_fingerprint != fingerprint:
            raise DataError("the training images are not those of the study that is repeated; give the same")


def create_study(
    storage: optuna.storages.BaseStorage,
    directions: Sequence[Literal["maximize", "minimize"]] = ("maximize",),
    user_attrs: Mapping[str, Any] | None = None,
) -> None:
    """Creates the study in an empty database.

    Args:
        storage: The database.
        directions: `maximize`, and `minimize` for a second objective.
        user_attrs: Attributes to store with the study.
    """
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
