"""A search space: what is searched, what is fixed, and how.

Knows nothing of files (`sa_study.settings.space_file` reads and validates them), nor of Optuna or Ray
(`sa_study.tuning.search.suggest` turns a space into suggestions).
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sa_study.settings.parameter import Parameter
from sa_study.settings.run import (
    STUDY_DEFAULTS,
    Settings,
    canonical_key,
    merged,
    study_default,
    value_of,
)
from sa_study.utils.errors import ConfigError

MAX_COMBINATIONS = 100_000
"""Most configurations that are checked one by one."""

_CHECKED_TOGETHER = (("height", "parts"), ("batch_size", "accumulate"))
"""Settings that `Settings` checks against each other, each at its worst at an end of its range."""

_ANOTHER = object()
"""Stands for all values of a setting that no condition names."""


@dataclass(frozen=True)
class Scheduler:
    """Early stopping of a study's trials: the scheduler and its options.

    Attributes:
        name: Its name in `sa_study.tuning.stopping.schedulers`; `none` for no early stopping.
        grace_period: No trial is stopped before this percentage of its own schedule; the first rung.
        reduction_factor: One trial in so many goes on past a rung.
    """

    name: str = "asha"
    grace_period: float = 10.0
    reduction_factor: float = 3.0


@dataclass(frozen=True)
class SearchSpace:
    """A validated search space.

    A configuration is a value of each searched setting that is active in it: one whose conditions hold. The
    others keep their defaults and are no part of it, so that configurations differ just where settings do.

    Attributes:
        search: The searched settings; conditions name earlier ones.
        fixed: Settings that every trial shares.
        baseline: The configuration of trial 0.
        sampler: Its name in `sa_study.tuning.search.samplers`.
        scheduler: Early stopping.
        trials: Number of trials when the command line names none.
    """

    search: dict[str, Parameter]
    fixed: dict[str, Any]
    baseline: dict[str, Any]
    sampler: str = "tpe"
    scheduler: Scheduler = field(default_factory=Scheduler)
    trials: int = 40

    def settings(self, suggested: Mapping[str, Any]) -> Settings:
        """The complete settings of a trial with these suggested values."""
        return Settings.from_mapping(merged({**STUDY_DEFAULTS, **self.fixed}, suggested), "trial")

    @property
    def conditional(self) -> bool:
        """Whether some setting is searched only under a condition."""
        return any(parameter.when for parameter in self.search.values())

    def active(self, name: str, values: Mapping[str, Any]) -> bool:
        """Whether a setting is searched, given the values of those before it."""
        conditions = self.search[name].when.items()
        return all(self._value(key, values) in allowed for key, allowed in conditions)

    def possible(self, name: str) -> list[Any]:
        """The values a setting may have in trials: of a range its ends; with conditions the default too."""
        searched = next((key for key in self.search if canonical_key(key) == canonical_key(name)), None)
        if searched is None:
            return [self._value(name, {})]
        if searched != name:
            return [value_of(name, {searched: value}) for value in self.possible(searched)]
        parameter = self.search[name]
        default = [self._value(name, {})] if parameter.when else []
        return list(dict.fromkeys([*parameter.ends, *default]))

    @property
    def size(self) -> int | None:
        """Number of configurations, or None if there are infinitely many."""
        number, searched = self._census()
        return None if any(self.search[name].count is None for name in searched) else number

    @property
    def named(self) -> dict[str, set[Any]]:
        """The values of each setting that conditions name."""
        named: dict[str, set[Any]] = {}
        for parameter in self.search.values():
            for key, values in parameter.when.items():
                named.setdefault(key, set()).update(values)
        return named

    @property
    def never_searched(self) -> list[str]:
        """Settings whose conditions never hold."""
        searched = self._census()[1]
        return [name for name in self.search if name not in searched]

    def points(self) -> Iterator[dict[str, Any]]:
        """Every configuration once, in the order of the settings and their values; only of a finite space."""
        return self._points(list(self.search), {})

    def grid(self) -> list[dict[str, Any]]:
        """Every configuration, the baseline first."""
        return sorted(self.points(), key=lambda point: point != self.baseline)

    def key(self, values: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
        """A key that equal configurations share and no others; only of a finite space."""
        return tuple((name, p.index(values[name])) for name, p in self.search.items() if name in values)

    def to_dict(self) -> dict[str, Any]:
        """The space as it would stand in a file; `sa_study.settings.space_file.parse_space` reads it back."""
        return {
            "search": {key: parameter.to_dict() for key, parameter in self.search.items()},
            "fixed": dict(self.fixed),
            "baseline": dict(self.baseline),
            "sampler": self.sampler,
            "scheduler": dataclasses.asdict(self.scheduler),
            "trials": self.trials,
        }

    def _value(self, name: str, values: Mapping[str, Any]) -> Any:
        """Value of a setting in a trial with these suggested values."""
        return value_of(name, values, value_of(name, self.fixed, study_default(name)))

    def _points(self, names: Sequence[str], values: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if not names:
            yield values
        elif not self.active(names[0], values):
            yield from self._points(names[1:], values)
        else:
            parameter = self.search[names[0]]
            for index in range(parameter.count or 0):
                yield from self._points(names[1:], {**values, names[0]: parameter.value(index)})

    def _census(self) -> tuple[int, set[str]]:
        """Counts the configurations, a continuous range as one value, and finds what is searched in any.

        Configurations are counted together where they agree in all values that conditions name.
        """
        named = self.named
        counts = Counter({frozenset[tuple[str, Any]](): 1})
        searched = set()
        for name, parameter in self.search.items():
            alike = [value for value in named.get(name, ()) if parameter.contains(value)]
            others = (parameter.count or 1) - len(alike)
            grown: Counter[frozenset[tuple[str, Any]]] = Counter()
            for known, number in counts.items():
                if not self.active(name, dict(known)):
                    grown[known] += number
                    continue
                searched.add(name)
                for value in alike:
                    grown[known | {(name, value)}] += number
                if others:
                    grown[known | {(name, _ANOTHER)} if name in named else known] += number * others
            counts = grown
        return sum(counts.values()), searched


def check_space(space: SearchSpace) -> None:
    """Checks what no parameter shows by itself, and what a trial would otherwise refuse hours later.

    Raises:
        ConfigError: A condition never holds, or some configuration is refused.
    """
    if math.prod(1 + len(values) for values in space.named.values()) > MAX_COMBINATIONS:
        raise ConfigError(
            f"search: its conditions tell more than {MAX_COMBINATIONS} combinations apart; name fewer"
        )
    for key in space.never_searched:
        raise ConfigError(f"search.{key}.when: never holds ({space.search[key].describe()})")
    space.settings(space.baseline)
    for keys in _CHECKED_TOGETHER:
        part = _extremes(space, [key for key in keys if key in space.search])
        if (part.size or 0) > MAX_COMBINATIONS:
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
    for key in needed:  # grows while it is gone through
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
