"""Reads and validates a search-space file; every mistake is named with its key."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sa_study.config import Settings, check_key, check_value, read_yaml
from sa_study.errors import ConfigError
from sa_study.space import SAMPLERS, SCHEDULERS, Parameter, Scheduler, SearchSpace

SPACES = Path(__file__).resolve().parent.parent / "search_spaces"

_KEYS = {"search", "fixed", "baseline", "sampler", "scheduler", "trials"}
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


def load_space(path: Path) -> SearchSpace:
    """Reads a search-space file; a bare name such as `wide` is looked up in `search_spaces/`.

    Raises:
        ConfigError: The file is missing, not YAML, or wrong; the key is named.
    """
    known = SPACES / f"{path}.yaml"
    if not path.is_file() and not path.suffix and known.is_file():
        path = known
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in SPACES.glob("*.yaml")))
        raise ConfigError(f"{path}: no such search-space file; give a path, or one of {names}")
    return parse_space(read_yaml(path), str(path))


def parse_space(spec: Mapping[str, Any], where: str) -> SearchSpace:
    """Validates a search space given as plain values.

    Args:
        spec: The mapping read from a file.
        where: Named in errors.

    Raises:
        ConfigError: One line with the key, the value and what is allowed.
    """
    try:
        return _parse(spec)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def override(space: SearchSpace, values: Mapping[str, Any]) -> SearchSpace:
    """A space in which these settings are fixed, also where they were searched.

    Raises:
        ConfigError: The rest of the space does not go with them.
    """
    spec = space.to_dict()
    spec["fixed"].update(values)
    for section in ("search", "baseline"):
        spec[section] = {key: rule for key, rule in spec[section].items() if key not in values}
    return parse_space(spec, "--set")


def complete(space: SearchSpace, decided: Mapping[str, Any]) -> SearchSpace:
    """The space with every setting that is not searched under fixed, so that later defaults do not matter.

    Args:
        space: The space as its file and `--set` give it.
        decided: Settings that the launch decides, unless the space fixes them.
    """
    rest = space.settings({**decided, **space.fixed, **space.baseline}).to_dict()
    fixed = {key: value for key, value in rest.items() if key not in space.search}
    return dataclasses.replace(space, fixed=fixed)


def _parse(spec: Mapping[str, Any]) -> SearchSpace:
    _only(spec, _KEYS, "")
    search = {key: _parameter(key, rule) for key, rule in _mapping(spec, "search").items()}
    fixed = _values(_mapping(spec, "fixed"), "fixed")
    twice = sorted(search.keys() & fixed.keys())
    if twice:
        raise ConfigError(f"{twice[0]}: stands under both search and fixed; keep one")
    space = SearchSpace(
        search=search,
        fixed=fixed,
        baseline=_baseline(search, _values(_mapping(spec, "baseline"), "baseline")),
        sampler=_choice("sampler", spec.get("sampler", "tpe"), SAMPLERS),
        scheduler=_scheduler(_mapping(spec, "scheduler")),
        trials=_whole("trials", spec.get("trials", 40)),
    )
    _check_grid(space)
    space.settings(space.baseline)
    space.settings({**space.baseline, **_fewest_rows_a_stripe(search)})
    return space


def _fewest_rows_a_stripe(search: Mapping[str, Parameter]) -> dict[str, Any]:
    """The least height with the most parts that a trial could be given."""
    ends = {"height": min, "parts": max}
    values = {
        key: search[key].choices or (search[key].low, search[key].high) for key in ends if key in search
    }
    return {key: ends[key](candidates) for key, candidates in values.items()}


def _baseline(search: Mapping[str, Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """Trial 0: the given values, completed by the settings' defaults (the paper's)."""
    defaults = Settings(val_identities=0)
    for key in given:
        if key not in search:
            raise ConfigError(f"baseline.{key}: is not searched; put it under fixed")
    baseline = {key: given.get(key, getattr(defaults, key)) for key in search}
    for key, value in baseline.items():
        if not search[key].contains(value):
            raise ConfigError(
                f"baseline.{key}: {value} lies outside its search range {search[key].describe()}"
            )
    return baseline


def _parameter(key: str, rule: Any) -> Parameter:
    name = f"search.{key}"
    try:
        check_key(key)
    except ConfigError as error:
        raise ConfigError(f"search: {error}") from None
    if key in _NOT_SEARCHABLE:
        raise ConfigError(f"{name}: must be the same for all trials; put it under fixed")
    if not isinstance(rule, dict):
        raise ConfigError(f"{name}: expected {{type: float, low: …, high: …}}, found {rule!r}")
    kind = _choice(f"{name}.type", rule.get("type"), ("float", "int", "categorical"))
    if kind == "categorical":
        _only(rule, {"type", "choices"}, f"{name}.")
        return Parameter(kind, choices=_choices(key, name, rule.get("choices")))
    _only(rule, _NUMERIC_KEYS, f"{name}.")
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
    if not _is_number(step) or step <= 0 or (kind == "int" and not float(step).is_integer()):
        raise ConfigError(f"{name}.step: {step!r} is not a positive {kind}")
    return Parameter(kind, low, high, float(step), log)


def _bound(key: str, name: str, end: str, rule: Mapping[str, Any], kind: str) -> float:
    if end not in rule:
        raise ConfigError(f"{name}.{end}: is missing")
    try:
        value = check_value(key, rule[end])
    except ConfigError as error:
        raise ConfigError(f"{name}.{end}: {error}") from None
    if not _is_number(value):
        raise ConfigError(f"{name}: {key} is no number; search it with type: categorical")
    if kind == "int" and not float(value).is_integer():
        raise ConfigError(f"{name}.{end}: {value} is not a whole number")
    if kind == "float" and isinstance(value, int):
        raise ConfigError(f"{name}.type: {key} takes whole numbers; use type: int")
    return float(value)


def _choices(key: str, name: str, choices: Any) -> tuple[Any, ...]:
    if not isinstance(choices, list) or not choices:
        raise ConfigError(f"{name}.choices: expected a list of at least one value, found {choices!r}")
    try:
        checked = tuple(check_value(key, choice) for choice in choices)
    except ConfigError as error:
        raise ConfigError(f"{name}.choices: {error}") from None
    if len(set(checked)) < len(checked):
        raise ConfigError(f"{name}.choices: a value stands twice in {choices}")
    return checked


def _scheduler(spec: Mapping[str, Any]) -> Scheduler:
    _only(spec, {"name", "grace_period", "reduction_factor"}, "scheduler.")
    default = Scheduler()
    grace = spec.get("grace_period", default.grace_period)
    factor = spec.get("reduction_factor", default.reduction_factor)
    if not _is_number(grace) or not 0 < grace <= 100:
        raise ConfigError(f"scheduler.grace_period: {grace!r} is not a percentage above 0, to 100")
    if not _is_number(factor) or not 1 < factor <= 100:
        raise ConfigError(f"scheduler.reduction_factor: {factor!r} is not a number above 1, to 100")
    name = _choice("scheduler.name", spec.get("name", default.name), SCHEDULERS)
    return Scheduler(name, float(grace), float(factor))


def _check_grid(space: SearchSpace) -> None:
    if space.sampler != "grid":
        return
    for key, parameter in space.search.items():
        if parameter.kind != "categorical":
            raise ConfigError(f"search.{key}.type: {parameter.kind}, but a grid needs categorical")


def _values(spec: Mapping[str, Any], section: str) -> dict[str, Any]:
    try:
        for key in spec:
            check_key(key)
        return {key: check_value(key, value) for key, value in spec.items()}
    except ConfigError as error:
        raise ConfigError(f"{section}: {error}") from None


def _mapping(spec: Mapping[str, Any], section: str) -> Mapping[str, Any]:
    value = spec.get(section)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{section}: expected 'key: value' lines, found {value!r}")
    return value


def _only(spec: Mapping[str, Any], allowed: set[str], prefix: str) -> None:
    for key in spec:
        if key not in allowed:
            raise ConfigError(f"{prefix}{key}: unknown key; allowed: {', '.join(sorted(allowed))}")


def _choice(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ConfigError(f"{name}: {value!r} is not one of {', '.join(allowed)}")
    return str(value)


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name}: {value!r} is not a whole number of at least 1")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
