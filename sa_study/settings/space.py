"""A search space: what is searched, what is fixed, and how.

Knows nothing of files (`sa_study.settings.space_file` reads and validates them), nor of Optuna or Ray
(`sa_study.tuning.search.suggest` turns a space into suggestions).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sa_study.settings.run import Settings, default_value, merged, setting_named, value_of

STUDY_DEFAULTS: dict[str, Any] = {"precision": "auto", "channels_last": True}
"""What a study changes of the settings' defaults, unless its space fixes it."""


def default_of(name: str) -> Any:
    """What a setting is in a study that neither fixes nor searches it."""
    return STUDY_DEFAULTS.get(name, default_value(name))


_ANOTHER = object()
"""Stands for all values of a setting that no condition names."""


@dataclass(frozen=True)
class Parameter:
    """One searched setting, in Optuna's terms.

    Attributes:
        kind: `float`, `int` or `categorical`.
        low: Least value, included (numbers).
        high: Greatest value, included (numbers).
        step: Distance of the allowed values, or None for every value (numbers).
        log: Whether to search on a logarithmic scale (numbers).
        choices: The allowed values (categorical).
        when: Searched only where each of these settings has one of the listed values.
    """

    kind: str
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def count(self) -> int | None:
        """Number of its values, or None where there is no end of them."""
        if self.kind == "categorical":
            return len(self.choices)
        if self.low == self.high:
            return 1
        if self.kind == "float" and not self.step:
            return None
        return int((_exact(self.high) - _exact(self.low)) // self._distance) + 1

    @property
    def ends(self) -> tuple[Any, ...]:
        """Its choices, or its least and its greatest value."""
        if self.kind == "categorical":
            return self.choices
        return (self.low, self.high) if self.count is None else (self.value(0), self.value(self.count - 1))

    def value(self, index: int) -> Any:
        """The value of this index, from 0 to `count` - 1, without the rounding errors of adding up steps."""
        if self.kind == "categorical":
            return self.choices[index]
        number = _exact(self.low) + index * self._distance
        return int(number) if self.kind == "int" else float(number)

    def index(self, value: Any) -> int:
        """Which of its values this is, but for rounding errors."""
        if self.kind == "categorical":
            return self.choices.index(value)
        steps: float = (value - self.low) / float(self._distance)
        return round(steps)

    def canonical(self, value: Any) -> Any:
        """The same value without rounding errors."""
        return value if self.count is None else self.value(self.index(value))

    def contains(self, value: Any) -> bool:
        """Whether the sampler could suggest this value."""
        if self.kind == "categorical":
            return value in self.choices
        if not self.low <= value <= self.high:
            return False
        return self.count is None or math.isclose(self.canonical(value), value, abs_tol=1e-9)

    def describe(self) -> str:
        """The allowed values in words, and where the setting is searched."""
        conditions = [f"{key} is {' | '.join(map(str, values))}" for key, values in self.when.items()]
        return self._range() + (f"; when {' and '.join(conditions)}" if conditions else "")

    def to_dict(self) -> dict[str, Any]:
        """The parameter as it stands in a space file."""
        when = {"when": {key: list(values) for key, values in self.when.items()}} if self.when else {}
        if self.kind == "categorical":
            return {"type": self.kind, "choices": list(self.choices), **when}
        number: type[int] | type[float] = int if self.kind == "int" else float
        values: dict[str, Any] = {"type": self.kind, "low": number(self.low), "high": number(self.high)}
        if self.step:
            values["step"] = number(self.step)
        return values | ({"log": True} if self.log else {}) | when

    @property
    def _distance(self) -> Decimal:
        return _exact(self.step or 1.0)

    def _range(self) -> str:
        if self.kind == "categorical":
            return " | ".join(map(str, self.choices))
        step = f", step {self.step:g}" if self.step else ""
        return f"{self.low:g} … {self.high:g}{step}{', log' if self.log else ''}"


def _exact(number: float) -> Decimal:
    """The decimal number that was written."""
    return Decimal(str(number))


@dataclass(frozen=True)
class Scheduler:
    """How trials are stopped early.

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
        """The values that trials may give a setting: the ends of numbers; the default where that shows."""
        searched = next((key for key in self.search if setting_named(key) == setting_named(name)), None)
        if searched is None:
            return [self._value(name, {})]
        if searched != name:
            return [value_of(name, {searched: value}) for value in self.possible(searched)]
        parameter = self.search[name]
        default = [self._value(name, {})] if parameter.when else []
        return list(dict.fromkeys([*parameter.ends, *default]))

    @property
    def size(self) -> int | None:
        """Number of configurations, or None where there is no end of them."""
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
        """Every configuration once, in the order of the settings and their values; there must be an end."""
        return self._points(list(self.search), {})

    def grid(self) -> list[dict[str, Any]]:
        """Every configuration, the baseline first."""
        return sorted(self.points(), key=lambda point: point != self.baseline)

    def key(self, values: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
        """What equal configurations have in common, and no others; there must be an end of them."""
        return tuple((name, p.index(values[name])) for name, p in self.search.items() if name in values)

    def to_dict(self) -> dict[str, Any]:
        """The space as it would stand in a file; `sa_study.settings.space_file.parse_space` reads it back."""
        scheduler = self.scheduler
        return {
            "search": {key: parameter.to_dict() for key, parameter in self.search.items()},
            "fixed": dict(self.fixed),
            "baseline": dict(self.baseline),
            "sampler": self.sampler,
            "scheduler": {
                "name": scheduler.name,
                "grace_period": scheduler.grace_period,
                "reduction_factor": scheduler.reduction_factor,
            },
            "trials": self.trials,
        }

    def _value(self, name: str, values: Mapping[str, Any]) -> Any:
        """What a setting is in a trial with these suggested values."""
        return value_of(name, values, value_of(name, self.fixed, default_of(name)))

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
        """The number of configurations, with an endless range as one value, and what is searched in any.

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
