"""A search space: the searched settings with their values and conditions, and what is fixed.

`space_file` beside it reads and validates one; `sa_study.tuning.search.suggest` turns it into suggestions.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sa_study.settings.run import FIELDS, Settings, canonical_key, merged, value_of

STUDY_DEFAULTS: dict[str, Any] = {"precision": "auto", "channels_last": True}
"""Defaults of settings that differ in a study, unless its space fixes them."""

_ANY_OTHER = object()  # stands for all values of a setting that no condition names


def study_default(key: str) -> Any:
    """Value of a setting in a study that neither fixes nor searches it."""
    return STUDY_DEFAULTS.get(key, FIELDS[key].default)


@dataclass(frozen=True)
class Parameter:
    """One searched setting, in Optuna's terms.

    Attributes:
        kind: `float`, `int` or `categorical`.
        low: Lowest value of a number, included.
        high: Highest value, included.
        step: Distance between the allowed values, or None for a continuous range.
        log: Whether to search on a logarithmic scale.
        choices: The allowed values of a categorical setting.
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
        """Number of its values, or None for a continuous range."""
        if self.kind == "categorical":
            return len(self.choices)
        if self.kind == "float" and not self.step and self.low < self.high:
            return None
        return int((_exact(self.high) - _exact(self.low)) // self._distance) + 1

    @property
    def ends(self) -> tuple[Any, ...]:
        """Its choices, or its lowest and its highest value."""
        if self.kind == "categorical":
            return self.choices
        return (self.low, self.high) if self.count is None else (self.value(0), self.value(self.count - 1))

    def value(self, index: int) -> Any:
        """The value of an index below `count`, without the rounding errors of adding up steps."""
        if self.kind == "categorical":
            return self.choices[index]
        number = _exact(self.low) + index * self._distance
        return int(number) if self.kind == "int" else float(number)

    def index(self, value: Any) -> int:
        """Index of a value among the parameter's values, but for rounding errors."""
        if self.kind == "categorical":
            return self.choices.index(value)
        steps: float = (value - self.low) / float(self._distance)
        return round(steps)

    def canonical(self, value: Any) -> Any:
        """The allowed value that this one is, but for rounding errors."""
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
        if self.kind == "categorical":
            values = " | ".join(map(str, self.choices))
        else:
            step = f", step {self.step:g}" if self.step else ""
            values = f"{self.low:g} … {self.high:g}{step}{', log' if self.log else ''}"
        conditions = [f"{key} is {' | '.join(map(str, allowed))}" for key, allowed in self.when.items()]
        return values + (f"; when {' and '.join(conditions)}" if conditions else "")

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


def _exact(number: float) -> Decimal:
    """The decimal number that was written."""
    return Decimal(str(number))


@dataclass(frozen=True)
class Scheduler:
    """Early stopping of a study's trials: the scheduler and its options.

    Attributes:
        name: The scheduler's name in `sa_study.tuning.stopping.schedulers`; `none` for no early stopping.
        grace_period: No trial is stopped before this percentage of its own schedule; the first rung.
        reduction_factor: One trial in this many continues past a rung.
    """

    name: str = "asha"
    grace_period: float = 10.0
    reduction_factor: float = 3.0


@dataclass(frozen=True)
class SearchSpace:
    """A validated search space.

    A configuration has a value for each searched setting that is active: whose conditions hold. Inactive
    settings keep their defaults and are left out, so that configurations differ just where settings do.

    Attributes:
        search: The searched settings; conditions name earlier ones.
        fixed: Settings that every trial shares.
        baseline: The configuration of trial 0.
        sampler: The sampler's name in `sa_study.tuning.search.samplers`.
        trials: Number of trials unless the command line gives it.
    """

    search: dict[str, Parameter]
    fixed: dict[str, Any]
    baseline: dict[str, Any]
    sampler: str = "multifidelity"
    scheduler: Scheduler = field(default_factory=Scheduler)
    trials: int = 40

    def settings(self, suggested: Mapping[str, Any]) -> Settings:
        """The complete settings of a trial with these suggested values."""
        return Settings.from_mapping(merged({**STUDY_DEFAULTS, **self.fixed}, suggested), "trial")

    @property
    def conditional(self) -> bool:
        """Whether some setting is searched only under a condition."""
        return any(parameter.when for parameter in self.search.values())

    def value(self, name: str, values: Mapping[str, Any]) -> Any:
        """Value of a setting in a trial with these suggested values."""
        return value_of(name, values, value_of(name, self.fixed, study_default(name)))

    def active(self, name: str, values: Mapping[str, Any]) -> bool:
        """Whether a setting is searched, given the values of earlier settings."""
        return all(self.value(key, values) in allowed for key, allowed in self.search[name].when.items())

    def active_settings(self, values: Mapping[str, Any]) -> list[str]:
        """The settings that are searched in a configuration, given values of at least these."""
        found: dict[str, Any] = {}
        for name in self.search:
            if self.active(name, found):
                found[name] = values.get(name)
        return list(found)

    def possible(self, name: str) -> list[Any]:
        """The values a setting may have in trials: a range's ends; with conditions also the default."""
        searched = next((key for key in self.search if canonical_key(key) == canonical_key(name)), None)
        if searched is None:
            return [self.value(name, {})]
        parameter = self.search[searched]
        default = [self.value(searched, {})] if parameter.when else []
        values = dict.fromkeys([*parameter.ends, *default])
        return [value_of(name, {searched: value}) for value in values]

    @property
    def size(self) -> int | None:
        """Number of configurations, or None if there are infinitely many."""
        number, searched = self._count_configurations()
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
        searched = self._count_configurations()[1]
        return [name for name in self.search if name not in searched]

    def points(self) -> Iterator[dict[str, Any]]:
        """Every configuration once, in the order of the settings and their values; only of a finite space."""
        return self._points(list(self.search), {})

    def grid(self) -> list[dict[str, Any]]:
        """Every configuration, the baseline first."""
        return sorted(self.points(), key=lambda point: point != self.baseline)

    def single_changes(self) -> list[dict[str, Any]]:
        """The baseline, each other value of a setting alone, and the last values of all settings."""
        alone = {name: self._other_values(name) for name in self.baseline}
        together = {name: values[-1] for name, values in alone.items() if values}
        changes = [{}, *({name: value} for name, values in alone.items() for value in values), together]
        points = [self.completed({**self.baseline, **change}) for change in changes]
        return [point for index, point in enumerate(points) if point not in points[:index]]

    def _other_values(self, name: str) -> list[Any]:
        parameter = self.search[name]
        values = map(parameter.value, range(parameter.count or 0))
        return [value for value in values if value != self.baseline[name]]

    def completed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values of the settings that are searched with them; one that lacks a value gets its first."""
        point: dict[str, Any] = {}
        for name, parameter in self.search.items():
            if self.active(name, point):
                point[name] = values[name] if name in values else parameter.value(0)
        return point

    def key(self, values: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
        """A key that is the same for equal configurations only; only of a finite space."""
        return tuple((name, p.index(values[name])) for name, p in self.search.items() if name in values)

    def to_dict(self) -> dict[str, Any]:
        """The space as it would stand in a file; `space_file.parse_space` reads it back."""
        search = {key: parameter.to_dict() for key, parameter in self.search.items()}
        return {**dataclasses.asdict(self), "search": search}

    def _points(self, names: Sequence[str], values: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if not names:
            yield values
        elif not self.active(names[0], values):
            yield from self._points(names[1:], values)
        else:
            parameter = self.search[names[0]]
            for index in range(parameter.count or 0):
                yield from self._points(names[1:], {**values, names[0]: parameter.value(index)})

    def _count_configurations(self) -> tuple[int, set[str]]:
        """Counts the configurations, a continuous range as one value, and finds the settings searched."""
        named = self.named  # configurations that agree in all these values are counted together
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
                    grown[known | {(name, _ANY_OTHER)} if name in named else known] += number * others
            counts = grown
        return sum(counts.values()), searched
