"""Reads and validates a search-space file; every mistake is named with its key."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from sa_study.settings.run import (
    FIELDS,
    canonical_key,
    check_keys,
    check_value,
    check_values,
    merged,
    value_of,
)
from sa_study.settings.space import Parameter, Scheduler, SearchSpace, study_default
from sa_study.settings.space_checks import check_space
from sa_study.settings.yaml_files import read_yaml
from sa_study.utils.errors import ConfigError, named_in_errors
from sa_study.utils.files import PACKAGE_ROOT, PROJECT_ROOT, expand_home

_FOLDER = "search_spaces"
_INSTALLED = PACKAGE_ROOT / _FOLDER
SPACES = (
    _INSTALLED if _INSTALLED.is_dir() else PROJECT_ROOT / _FOLDER
)  # not on a node: it gets the code alone
"""The search spaces that come with the program: within the installed package, or beside it in a checkout."""

MAX_TRIALS = 10**9
"""Maximum number of trials in a space file."""

MAX_VALUES = 1e12
"""Maximum number of values of a range with a step."""

_KEYS = {"search", "fixed", "baseline", "sampler", "scheduler", "trials"}
NEVER_SEARCHED = {
    *("val_identities", "identities", "split_seed", "fold"),
    *("device", "threads", "eval_batch_size", "metric"),
}
"""Settings that must be the same for all trials of a search."""


def load_space(path: Path) -> SearchSpace:
    """Reads a search-space file, or by a bare name such as `wide` one of ours; raises as `parse_space`."""
    path = expand_home(path)
    known = SPACES / f"{path}.yaml"
    if not path.is_file() and not path.suffix and known.is_file():
        path = known
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in SPACES.glob("*.yaml")))
        raise ConfigError(f"{path}: no such search-space file; give a path, or one of {names}")
    return parse_space(read_yaml(path), str(path))


def parse_space(spec: Mapping[str, Any], where: str, *, folds: bool = False) -> SearchSpace:
    """Validates a search space given as plain values.

    With `folds`, trials may differ in `fold`, as those of a confirmation do; a search must not.

    Raises:
        ConfigError: One line with `where`, the key, the value and what is allowed.
    """
    with named_in_errors(where):
        _only_keys(spec, _KEYS)
        fixed = _values(spec, "fixed")
        search: dict[str, Parameter] = {}
        for key, rule in _mapping(spec, "search").items():
            if key in NEVER_SEARCHED and not (key == "fold" and folds):
                raise ConfigError(f"search.{key}: must be the same for all trials; put it under fixed")
            search[key] = _parameter(key, rule, search, fixed)
        twice = set(map(canonical_key, search)) & set(map(canonical_key, fixed))
        if twice or len(set(map(canonical_key, search))) < len(search):
            both = min(twice, default="backbone")
            raise ConfigError(f"{both}: stands under both search and fixed; keep one")
        trials = spec.get("trials", 40)
        if isinstance(trials, bool) or not isinstance(trials, int) or not 1 <= trials <= MAX_TRIALS:
            raise ConfigError(f"trials: {trials!r} is not a whole number from 1 to {MAX_TRIALS:,}")
        sampler = _name("sampler", spec.get("sampler", SearchSpace.sampler))
        scheduler = _scheduler(_mapping(spec, "scheduler"))
        return _with_baseline(
            SearchSpace(search, fixed, {}, sampler, scheduler, trials), _values(spec, "baseline")
        )


def override(space: SearchSpace, values: Mapping[str, Any]) -> SearchSpace:
    """A space in which these settings are fixed, also where they were searched.

    Settings whose conditions can then no longer hold are fixed at their defaults.

    Raises:
        ConfigError: The rest of the space does not go with them.
    """
    fixed = {canonical_key(key) for key in values}
    search = {key: rule for key, rule in space.search.items() if canonical_key(key) not in fixed}
    rest = dataclasses.replace(space, search=search, fixed=merged(space.fixed, values))
    for key in rest.never_searched:
        rest.fixed[key] = study_default(key)
        del search[key]
    with named_in_errors("--set"):
        return _checked(rest, space.baseline)


def complete(space: SearchSpace, decided: Mapping[str, Any]) -> SearchSpace:
    """The space with every setting that is not searched under fixed, so that later defaults do not matter.

    `decided` are settings that the launch decides, unless the space fixes them.
    """
    rest = space.settings(merged(merged(decided, space.fixed), space.baseline)).to_dict()
    searched = set(map(canonical_key, space.search))
    fixed = {key: value for key, value in rest.items() if canonical_key(key) not in searched}
    return dataclasses.replace(space, fixed=fixed)


def _with_baseline(space: SearchSpace, given: Mapping[str, Any]) -> SearchSpace:
    """The space with the baseline that its file gives, checked as a whole."""
    spelling = {canonical_key(key): key for key in space.search}
    named = {spelling.get(canonical_key(key), key) for key in given}
    active = _baseline(space, given)
    for key in sorted(named - active.keys()):
        if key not in space.search:
            raise ConfigError(f"baseline.{key}: is not searched; put it under fixed")
        raise ConfigError(f"baseline.{key}: is not searched there ({space.search[key].describe()})")
    return _checked(space, given)


def _baseline(space: SearchSpace, given: Mapping[str, Any]) -> dict[str, Any]:
    """Trial 0: the given values of what is searched there, completed by the defaults (the paper's)."""
    baseline: dict[str, Any] = {}
    for key in space.search:
        if space.active(key, baseline):
            baseline[key] = value_of(key, given, FIELDS[key].default)
    return baseline


def _checked(space: SearchSpace, given: Mapping[str, Any]) -> SearchSpace:
    """The space with a baseline of these values, checked as a whole."""
    space = dataclasses.replace(space, baseline=_baseline(space, given))
    for key, value in space.baseline.items():
        if not space.search[key].contains(value):
            raise ConfigError(
                f"baseline.{key}: {value} lies outside its search range {space.search[key].describe()}"
            )
    check_space(space)
    baseline = {key: space.search[key].canonical(value) for key, value in space.baseline.items()}
    return dataclasses.replace(space, baseline=baseline)


def _parameter(key: str, rule: Any, above: Mapping[str, Parameter], fixed: Collection[str]) -> Parameter:
    """One entry of `search`; its conditions may name settings that are searched above it, or fixed."""
    with named_in_errors("search"):
        check_keys([key])
    name = f"search.{key}"
    if not isinstance(rule, dict):
        raise ConfigError(f"{name}: expected {{type: float, low: …, high: …}}, found {rule!r}")
    kind = rule.get("type")
    if kind == "categorical":
        _only_keys(rule, {"type", "choices", "when"}, f"{name}.")
        parameter = Parameter(kind, choices=_listed(key, f"{name}.choices", rule.get("choices")))
    elif kind in ("float", "int"):
        parameter = _number(key, name, kind, rule)
    else:
        raise ConfigError(f"{name}.type: {kind!r} is not one of float, int, categorical")
    if "when" not in rule:
        return parameter
    return dataclasses.replace(parameter, when=_conditions(key, rule["when"], above, fixed))


def _number(key: str, name: str, kind: str, rule: Mapping[str, Any]) -> Parameter:
    _only_keys(rule, {"type", "low", "high", "step", "log", "when"}, f"{name}.")
    if choices := FIELDS[key].metadata["choices"]:
        takes = f"takes only {', '.join(map(str, choices))}"
        raise ConfigError(f"{name}.type: {key} {takes}; search it with type: categorical")
    if FIELDS[key].type not in ("float", "int"):
        raise ConfigError(f"{name}: {key} is no number; search it with type: categorical")
    if kind == "float" and FIELDS[key].type == "int":
        raise ConfigError(f"{name}.type: {key} takes whole numbers; use type: int")
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
    if not _is_finite_number(step) or step <= 0 or (kind == "int" and not float(step).is_integer()):
        raise ConfigError(f"{name}.step: {step!r} is not a positive {kind}")
    if (high - low) / MAX_VALUES > step:
        raise ConfigError(f"{name}.step: {step!r} leaves more than {MAX_VALUES:.0e} values; leave it out")
    return Parameter(kind, low, high, float(step), log)


def _bound(key: str, name: str, end: str, rule: Mapping[str, Any], kind: str) -> float:
    if end not in rule:
        raise ConfigError(f"{name}.{end}: is missing")
    with named_in_errors(f"{name}.{end}"):
        value = check_value(key, rule[end])
    if kind == "int" and not float(value).is_integer():
        raise ConfigError(f"{name}.{end}: {value} is not a whole number")
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
        return listed  # a fixed setting has one value, which --set may change
    if parent.count is None:
        raise ConfigError(f"{name}: any number may come up; a condition needs choices, an int or a step")
    for value in listed:
        if not parent.contains(value) and not (parent.when and value == study_default(other)):
            raise ConfigError(f"{name}: {value} is never its value, which is {parent.describe()}")
    return tuple(parent.canonical(value) if parent.contains(value) else value for value in listed)


def _scheduler(spec: Mapping[str, Any]) -> Scheduler:
    _only_keys(spec, {"name", "grace_period", "reduction_factor"}, "scheduler.")
    default = Scheduler()
    grace = spec.get("grace_period", default.grace_period)
    factor = spec.get("reduction_factor", default.reduction_factor)
    if not _is_finite_number(grace) or not 0.01 <= grace <= 100:
        raise ConfigError(f"scheduler.grace_period: {grace!r} is not a percentage from 0.01 to 100")
    if not _is_finite_number(factor) or not 1.01 <= factor <= 100:
        raise ConfigError(f"scheduler.reduction_factor: {factor!r} is not a number from 1.01 to 100")
    name = _name("scheduler.name", spec.get("name", default.name))
    return Scheduler(name, float(grace), float(factor))


def _values(spec: Mapping[str, Any], section: str) -> dict[str, Any]:
    values = _mapping(spec, section)
    with named_in_errors(section):
        return check_values(values)


def _mapping(spec: Mapping[str, Any], section: str) -> Mapping[str, Any]:
    value = spec.get(section)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{section}: expected 'key: value' lines, found {value!r}")
    return value


def _only_keys(spec: Mapping[str, Any], allowed: set[str], prefix: str = "") -> None:
    for key in spec:
        if key not in allowed:
            raise ConfigError(f"{prefix}{key}: unknown key; allowed: {', '.join(sorted(allowed))}")


def _is_finite_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _name(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{key}: {value!r} is not a name")
    return value
