"""Checks of a search space as a whole, before any trial runs."""

from __future__ import annotations

import math
from typing import Any

from sa_study.settings.space import Parameter, SearchSpace
from sa_study.utils.errors import ConfigError

MAX_COMBINATIONS = 100_000
"""Most configurations that are checked one by one."""


def check_space(space: SearchSpace) -> None:
    """Raises ConfigError if a condition never holds, or `Settings` would refuse a trial hours later."""
    if math.prod(1 + len(values) for values in space.named.values()) > MAX_COMBINATIONS:
        what = f"distinguish more than {MAX_COMBINATIONS} combinations"
        raise ConfigError(f"search: its conditions {what}; name fewer")
    for key in space.never_searched:
        raise ConfigError(f"search.{key}.when: never holds ({space.search[key].describe()})")
    space.settings(space.baseline)
    # Settings that `Settings` checks against each other; the worst cases are at the ends of their ranges.
    for keys in (
        ("height", "parts"),
        ("batch_size", "accumulate", "images_per_identity", "triplet_weight"),
        ("epochs", "warmup_epochs"),
    ):
        part = _extremes(space, [key for key in keys if key in space.search])
        if (part.size or 0) > MAX_COMBINATIONS:
            ways = f"{part.size} ways for {' and '.join(keys)}"
            raise ConfigError(f"search: conditions leave {ways}; name fewer")
        others = {key: value for key, value in space.baseline.items() if key not in part.search}
        for point in part.points():
            space.settings({**others, **point})


def _extremes(space: SearchSpace, keys: list[str]) -> SearchSpace:
    """The space of these settings and of those that their conditions name, cut to a few values."""
    needed = list(keys)
    for key in needed:  # grows while it is gone through
        needed += [other for other in space.search[key].when if other in space.search and other not in needed]
    search = {
        key: Parameter("categorical", choices=_few(space, key), when=parameter.when)
        for key, parameter in space.search.items()
        if key in needed
    }
    return SearchSpace(search, space.fixed, {})


def _few(space: SearchSpace, key: str) -> tuple[Any, ...]:
    """A range's ends, the values that conditions name, and the ends of all other values; all choices."""
    parameter = space.search[key]
    if parameter.kind == "categorical" or parameter.count is None:
        return parameter.ends
    named = {parameter.index(value) for value in space.named.get(key, ()) if parameter.contains(value)}
    last, most = parameter.count - 1, min(len(named) + 1, parameter.count)
    near_ends = {index for i in range(most) for index in (i, last - i)}
    return tuple(parameter.value(index) for index in sorted(named | near_ends))
