"""Configurations that a study holds already, and those that are left, in spaces that have an end."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from sa_study.settings.space import SearchSpace

Key = tuple[tuple[str, int], ...]
_MOST_ENUMERATED = 100_000


def tried(space: SearchSpace, trials: Iterable[FrozenTrial]) -> set[Key]:
    """The keys of the trials' configurations, also of those that are queued."""
    return {space.key({**trial.system_attrs.get("fixed_params", {}), **trial.params}) for trial in trials}


def draw_untried(space: SearchSpace, taken: Collection[Key], seed: int) -> dict[str, Any]:
    """A configuration that is not taken, each as likely as the others where they can be listed.

    Args:
        space: It has more configurations than are taken.
        taken: Keys of configurations.
        seed: Decides the draw.
    """
    random = np.random.default_rng(seed)
    if (space.size or 0) <= _MOST_ENUMERATED:
        left = [point for point in space.points() if space.key(point) not in taken]
        return left[random.integers(len(left))]
    while True:
        point: dict[str, Any] = {}
        for name, parameter in space.search.items():
            if space.active(name, point):
                point[name] = parameter.value(int(random.integers(parameter.count or 1)))
        if space.key(point) not in taken:
            return point
