"""Configurations that a study is given beforehand, instead of searching for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna

from sa_study.study.records import STUDY_NAME, configuration
from sa_study.utils.errors import DataError


@dataclass(frozen=True)
class Given:
    """What a launch is given beforehand.

    Attributes:
        points: Configurations to run, in this order, each once; values of all searched settings.
        about: What to keep with a new study beside its trials.
        images: Fingerprint that the training images must have; empty for any.
    """

    points: tuple[Mapping[str, Any], ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    images: str = ""

    def require_images(self, fingerprint: str) -> None:
        """Checks that the training images are the right ones.

        Raises:
            DataError: They are not.
        """
        if self.images and self.images != fingerprint:
            raise DataError("the training images are not those of the study that is repeated; give the same")


def queue_points(storage: optuna.storages.BaseStorage, points: Iterable[Mapping[str, Any]]) -> None:
    """Queues the configurations that the study has neither begun nor queued already."""
    study = optuna.load_study(study_name=STUDY_NAME, storage=storage)
    known = [configuration(trial) for trial in study.get_trials(deepcopy=False)]
    for point in points:
        if dict(point) not in known:
            study.enqueue_trial(dict(point))
