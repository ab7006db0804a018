"""One searched setting as a space file gives it; every mistake is named with its key."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from sa_study.settings.run import check_key, check_value, choices_of, setting_named
from sa_study.settings.space import Parameter, default_of
from sa_study.utils.errors import ConfigError

_MOST_VALUES = 1e12

_NUMERIC_KEYS = {"type", "low", "high", "step", "log"}
_NOT_SEARCHABLE = {
    "val_identities",
    "identities",
    "split_seed",
    "device",
    "threads",
    "eval_batch_size",
    "metric",
}


def parse_parameter(
    key: str, rule: Any, above: Mapping[str, Parameter], fixed: Mapping[str, Any]
) -> Parameter:
    """Validates one entry of a space file's `search`.

    Args:
        key: The setting.
        rule: What the file says of it.
        above: The searched settings that stand before it, which its conditions may name.
        fixed: The fixed settings, likewise.

    Raises:
        ConfigError: One line with the key, the value and what is allowed.
    """
    name = f"search.{key}"
    try:
        check_key(key)
    except ConfigError as error:
        raise ConfigError(f"search: {error}") from None
    if key in _NOT_SEARCHABLE:
        raise ConfigError(f"{name}: must be the same for all trials; put it under fixed")
    if not isinstance(rule, dict):
        raise ConfigError(f"{name}: expected {{type: float, low: …, high: …}}, found {rule!r}")
    kind = one_of(f"{name}.type", rule.get("type"), ("float", "int", "categorical"))
    if kind == "categorical":
        only_keys(rule, {"type", "choices", "when"}, f"{name}.")
        parameter = Parameter(kind, choices=_listed(key, f"{name}.choices", rule.get("choices")))
    else:
        parameter = _number(key, name, kind, rule)
    if "when" not in rule:
        return parameter
    return dataclasses.replace(parameter, when=_conditions(key, rule["when"], above, fixed))


def _number(key: str, name: str, kind: str, rule: Mapping[str, Any]) -> Parameter:
    only_keys(rule, _NUMERIC_KEYS | {"when"}, f"{name}.")
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
    if (high - low) / _MOST_VALUES > step:
        raise ConfigError(f"{name}.step: {step!r} leaves more than {_MOST_VALUES:.0e} values; leave it out")
    return Parameter(kind, low, high, float(step), log)


def _bound(key: str, name: str, end: str, rule: Mapping[str, Any], kind: str) -> float:
    if end not in rule:
        raise ConfigError(f"{name}.{end}: is missing")
    try:
        value = check_value(key, rule[end])
    except ConfigError as error:
        raise ConfigError(f"{name}.{end}: {error}") from None
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
    try:
        checked = tuple(check_value(key, value) for value in values)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
    if len(set(checked)) < len(checked):
        raise ConfigError(f"{name}: a value stands twice in {values}")
    return checked


def _conditions(
    key: str, when: Any, above: Mapping[str, Parameter], fixed: Mapping[str, Any]
) -> dict[str, tuple[Any, ...]]:
    name = f"search.{key}.when"
    if not isinstance(when, dict) or not when:
        raise ConfigError(f"{name}: expected {{setting: [values]}}, found {when!r}")
    for other in when:
        try:
            check_key(other)
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from None
        if other not in above and setting_named(other) not in map(setting_named, fixed):
            raise ConfigError(f"{name}.{other}: is neither fixed nor searched above {key}")
    return {other: _allowed(f"{name}.{other}", other, values, above, fixed) for other, values in when.items()}


def _allowed(
    name: str, other: str, values: Any, above: Mapping[str, Parameter], fixed: Mapping[str, Any]
) -> tuple[Any, ...]:
    """The values under which a condition holds; each is one that the named setting can take."""
    listed = _listed(other, name, values)
    parent = above.get(other)
    if parent is None:
        return listed  # of a fixed setting one decides, and --set may change which
    if parent.count is None:
        raise ConfigError(f"{name}: any number may come up; a condition needs choices, an int or a step")
    default = default_of(other)
    for value in listed:
        if not parent.contains(value) and not (parent.when and value == default):
            raise ConfigError(f"{name}: {value} is never its value, which is {parent.describe()}")
    return tuple(parent.canonical(value) if parent.contains(value) else value for value in listed)


def only_keys(spec: Mapping[str, Any], allowed: set[str], prefix: str) -> None:
    """Checks that a mapping has no other keys.

    Raises:
        ConfigError: It has.
    """
    for key in spec:
        if key not in allowed:
            raise ConfigError(f"{prefix}{key}: unknown key; allowed: {', '.join(sorted(allowed))}")


def one_of(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """Checks that a value is one of the allowed texts.

    Raises:
        ConfigError: It is none.
    """
    if value not in allowed:
        raise ConfigError(f"{name}: {value!r} is not one of {', '.join(allowed)}")
    return str(value)


def is_number(value: Any) -> bool:
    """Whether a plain value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
