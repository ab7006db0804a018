"""One searched setting: which values it takes, under which conditions, and its entry in a space file."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sa_study.settings.fields import named_in_errors
from sa_study.settings.run import canonical_key, check_keys, check_value, choices_of, study_default
from sa_study.utils.errors import ConfigError

MAX_VALUES = 1e12
"""Most values of a range with a step."""

_NOT_SEARCHABLE = {
    *("val_identities", "identities", "split_seed", "device", "threads", "eval_batch_size", "metric")
}


@dataclass(frozen=True)
class Parameter:
    """One searched setting, in Optuna's terms.

    Attributes:
        kind: `float`, `int` or `categorical`.
        low: Lowest value, included (numbers).
        high: Highest value, included (numbers).
        step: Distance between the allowed values, or None for a continuous range (numbers).
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
        """Number of its values, or None for a continuous range."""
        if self.kind == "categorical":
            return len(self.choices)
        if self.low == self.high:
            return 1
        if self.kind == "float" and not self.step:
            return None
        return int((_exact(self.high) - _exact(self.low)) // self._distance) + 1

    @property
    def ends(self) -> tuple[Any, ...]:
        """Its choices, or its lowest and its highest value."""
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
        """Index of a value among the parameter's values, but for rounding errors."""
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


def parse_parameter(key: str, rule: Any, above: Mapping[str, Parameter], fixed: Collection[str]) -> Parameter:
    """Validates one entry of a space file's `search`.

    Args:
        key: The setting.
        rule: What the file says of it.
        above: The searched settings that stand before it, which its conditions may name.
        fixed: Names of the fixed settings, likewise.

    Raises:
        ConfigError: One line with the key, the value and what is allowed.
    """
    with named_in_errors("search"):
        check_keys([key])
    name = f"search.{key}"
    if key in _NOT_SEARCHABLE:
        raise ConfigError(f"{name}: must be the same for all trials; put it under fixed")
    if not isinstance(rule, dict):
        raise ConfigError(f"{name}: expected {{type: float, low: …, high: …}}, found {rule!r}")
    kind = rule.get("type")
    if kind == "categorical":
        only_keys(rule, {"type", "choices", "when"}, f"{name}.")
        parameter = Parameter(kind, choices=_listed(key, f"{name}.choices", rule.get("choices")))
    elif kind in ("float", "int"):
        parameter = _number(key, name, kind, rule)
    else:
        raise ConfigError(f"{name}.type: {kind!r} is not one of float, int, categorical")
    if "when" not in rule:
        return parameter
    return dataclasses.replace(parameter, when=_conditions(key, rule["when"], above, fixed))


def only_keys(spec: Mapping[str, Any], allowed: set[str], prefix: str) -> None:
    """Checks that a mapping has no other keys.

    Raises:
        ConfigError: It has.
    """
    for key in spec:
        if key not in allowed:
            raise ConfigError(f"{prefix}{key}: unknown key; allowed: {', '.join(sorted(allowed))}")


def is_number(value: Any) -> bool:
    """Whether a plain value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _number(key: str, name: str, kind: str, rule: Mapping[str, Any]) -> Parameter:
    only_keys(rule, {"type", "low", "high", "step", "log", "when"}, f"{name}.")
    low, high = (_bound(key, name, end, rule, kind) for end in ("low", "high"))
    if low > high:
        raise ConfigError(f"{name}: low {low:g} is greater than high {high:g}")
    step, log = rule.get("step"), rule.get("log", False)
    if not isinstance(log, bool):
        raise ConfigError(f"{name}.log: {log!r} is not true or false")
    if log and low <= 0:
        raise ConfigError(f"{name}.low: {low:g} must be above 0 on a log scale")
    if step is None:
        return Parameter(kind, low, high, None, log)
    if log:
        raise ConfigError(f"{name}: step and log exclude each other; drop one")
    if not is_number(step) or step <= 0 or (kind == "int" and not float(step).is_integer()):
        raise ConfigError(f"{name}.step: {step!r} is not a positive {kind}")
    if (high - low) / MAX_VALUES > step:
        raise ConfigError(f"{name}.step: {step!r} leaves more than {MAX_VALUES:.0e} values; leave it out")
    return Parameter(kind, low, high, float(step), log)


def _bound(key: str, name: str, end: str, rule: Mapping[str, Any], kind: str) -> float:
    if end not in rule:
        raise ConfigError(f"{name}.{end}: is missing")
    with named_in_errors(f"{name}.{end}"):
        value = check_value(key, rule[end])
    if not is_number(value):
        raise ConfigError(f"{name}: {key} is no number; search it with type: categorical")
    if choices := choices_of(key):
        raise ConfigError(
            f"{name}.type: {key} takes only {', '.join(map(str, choices))}; search it with type: categorical"
        )
    if kind == "int" and not float(value).is_integer():
        raise ConfigError(f"{name}.{end}: {value} is not a whole number")
    if kind == "float" and isinstance(value, int):
        raise ConfigError(f"{name}.type: {key} takes whole numbers; use type: int")
    return float(value)


def _listed(key: str, name: str, values: Any) -> tuple[Any, ...]:
    """The values of a setting that stand in a list."""
    if not isinstance(values, list) or not values:
        raise ConfigError(f"{name}: expected a list of at least one value, found {values!r}")
    with named_in_errors(name):
        checked = tuple(check_value(key, value) for value in values)
    if len(set(checked)) < len(checked):
        raise ConfigError(f"{name}: a value stands twice in {values}")
    return checked


def _conditions(
    key: str, when: Any, above: Mapping[str, Parameter], fixed: Collection[str]
) -> dict[str, tuple[Any, ...]]:
    name = f"search.{key}.when"
    if not isinstance(when, dict) or not when:
        raise ConfigError(f"{name}: expected {{setting: [values]}}, found {when!r}")
    for other in when:
        with named_in_errors(name):
            check_keys([other])
        if other not in above and canonical_key(other) not in map(canonical_key, fixed):
            raise ConfigError(f"{name}.{other}: is neither fixed nor searched above {key}")
    return {
        other: _allowed(f"{name}.{other}", other, values, above.get(other)) for other, values in when.items()
    }


def _allowed(name: str, other: str, values: Any, parent: Parameter | None) -> tuple[Any, ...]:
    """The values under which a condition holds; each is one that the named setting can take."""
    listed = _listed(other, name, values)
    if parent is None:
        return listed  # of a fixed setting one decides, and --set may change which
    if parent.count is None:
        raise ConfigError(f"{name}: any number may come up; a condition needs choices, an int or a step")
    default = study_default(other)
    for value in listed:
        if not parent.contains(value) and not (parent.when and value == default):
            raise ConfigError(f"{name}: {value} is never its value, which is {parent.describe()}")
    return tuple(parent.canonical(value) if parent.contains(value) else value for value in listed)
