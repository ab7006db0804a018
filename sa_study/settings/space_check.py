"""What a search space would do wrong only hours later, in one of its trials, is refused up front."""

from __future__ import annotations

import math
from typing import Any

from sa_study.settings.space import Parameter, SearchSpace
from sa_study.utils.errors import ConfigError

_MOST = 100_000
"""Configurations that are gone through one by one."""

_TOGETHER = (("height", "parts"), ("batch_size", "accumulate"))
"""Settings that `Settings` checks against each other, each at its worst at an end of its range."""


def check_space(space: SearchSpace) -> None:
    """Checks what no parameter shows by itself.

    Raises:
        ConfigError: A condition never holds, or some configuration is refused.
    """
    if math.prod(1 + len(values) for values in space.named.values()) > _MOST:
        raise ConfigError(f"search: its conditions tell more than {_MOST} combinations apart; name fewer")
    for key in space.never_searched:
        raise ConfigError(f"search.{key}.when: never holds ({space.search[key].describe()})")
    space.settings(space.baseline)
    for keys in _TOGETHER:
        part = _extremes(space, [key for key in keys if key in space.search])
        if (part.size or 0) > _MOST:
            raise ConfigError(
                f"search: conditions leave {part.size} ways for {' and '.join(keys)}; name fewer"
            )
        others = {key: value for key, value in space.baseline.items() if key not in part.search}
        for point in part.points():
            space.settings({**others, **point})


def _extremes(space: SearchSpace, keys: list[str]) -> SearchSpace:
    """The space of these settings and of those that their conditions name, cut to a few values.

    What is left of a range are its ends, the values that conditions name, and the ends of all other values.
    """
    needed = list(keys)
    for key in needed:  # grows on the way
        needed += [other for other in space.search[key].when if other in space.search and other not in needed]
    search = {}
    for key, parameter in space.search.items():
        if key in needed:
            search[key] = Parameter("categorical", choices=_few(space, key), when=parameter.when)
    return SearchSpace(search, space.fixed, {})


def _few(space: SearchSpace, key: str) -> tuple[Any, ...]:
    parameter = space.search[key]
    if parameter.kind == "categorical" or parameter.count is None:
        return parameter.ends
    conditions = [other.when[key] for other in space.search.values() if key in other.when]
    named = {parameter.index(value) for values in conditions for value in values if parameter.contains(value)}
    last, most = parameter.count - 1, len(named) + 1
    near_ends = {index for i in range(min(most, parameter.count)) for index in (i, last - i)}
    return tuple(parameter.value(index) for index in sorted(named | near_ends))
