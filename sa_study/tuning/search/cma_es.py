"""CMA-ES in spaces that have conditional settings."""

from __future__ import annotations

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import CmaEsSampler
from optuna.trial import FrozenTrial

from sa_study.settings.space import SearchSpace


class UnconditionalCmaEs(CmaEsSampler):
    """CMA-ES over the numeric settings that every trial has; conditional ones are drawn at random.

    Optuna's own never returns to CMA-ES once a trial lacks one of the settings that it began with.
    """

    def __init__(self, space: SearchSpace, seed: int):
        super().__init__(seed=seed, warn_independent_sampling=False)
        self._unconditional = {name for name, parameter in space.search.items() if not parameter.when}

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The settings that CMA-ES suggests together."""
        inferred = super().infer_relative_search_space(study, trial)
        return {name: distribution for name, distribution in inferred.items() if name in self._unconditional}
