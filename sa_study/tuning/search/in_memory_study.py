"""New trials in memory, beside the trials of a real study, which is neither copied nor written."""

from __future__ import annotations

import copy
from collections.abc import Container, Sequence

import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState


class DraftStorage(InMemoryStorage):
    """One study whose new trials stay in memory and are numbered after those of another.

    Args:
        earlier: The other study's trials, by number; they are never changed.
    """

    def __init__(self, earlier: Sequence[FrozenTrial]):
        super().__init__()
        self._earlier = earlier

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Adds a trial whose number comes after the earlier trials'."""
        trial_id = super().create_new_trial(study_id, template_trial)
        self.get_trial(trial_id).number += len(self._earlier)
        return trial_id

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """The earlier trials and the new ones."""
        earlier = [trial for trial in self._earlier if states is None or trial.state in states]
        new = super().get_all_trials(study_id, deepcopy, states)
        return [*(copy.deepcopy(earlier) if deepcopy else earlier), *new]


def in_memory_study(
    earlier: Sequence[FrozenTrial], like: optuna.Study, sampler: optuna.samplers.BaseSampler
) -> optuna.Study:
    """A study on a `DraftStorage`, with the directions of `like`."""
    storage = DraftStorage(earlier)
    storage.create_new_study(like.directions, like.study_name)
    return optuna.Study(like.study_name, storage, sampler)
