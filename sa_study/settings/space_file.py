"""Reads and validates a search-space file; every mistake is named with its key."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sa_study.settings.fields import named_in_errors
from sa_study.settings.parameter import Parameter, is_number, only_keys, parse_parameter
from sa_study.settings.run import (
    canonical_key,
    check_values,
    default_value,
    merged,
    study_default,
    value_of,
)
from sa_study.settings.space import Scheduler, SearchSpace, check_space
from sa_study.settings.yaml_files import read_yaml
from sa_study.utils.errors import ConfigError
from sa_study.utils.files import expand_home
from sa_study.utils.paths import PROJECT_ROOT

SPACES = PROJECT_ROOT / "search_spaces"

_KEYS = {"search", "fixed", "baseline", "sampler", "scheduler", "trials"}


def load_space(path: Path) -> SearchSpace:
    """Reads a search-space file; a bare name such as `wide` is looked up in `search_spaces/`.

    Raises:
        ConfigError: The file is missing, not YAML, or wrong; the key is named.
    """
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

    Args:
        spec: The mapping read from a file.
        where: Named in errors.
        folds: Whether trials may differ in `fold`: those that confirm a study do, but a search must not.

    Raises:
        ConfigError: One line with the key, the value and what is allowed.
    """
    with named_in_errors(where):
        return _parse(spec, folds)


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
        return _with_baseline(rest, _baseline(rest, space.baseline))


def complete(space: SearchSpace, decided: Mapping[str, Any]) -> SearchSpace:
    """The space with every setting that is not searched under fixed, so that later defaults do not matter.

    Args:
        space: The space as its file and `--set` give it.
        decided: Settings that the launch decides, unless the space fixes them.
    """
    rest = space.settings(merged(merged(decided, space.fixed), space.baseline)).to_dict()
    searched = set(map(canonical_key, space.search))
    fixed = {key: value for key, value in rest.items() if canonical_key(key) not in searched}
    return dataclasses.replace(space, fixed=fixed)


def _parse(spec: Mapping[str, Any], folds: bool) -> SearchSpace:
    only_keys(spec, _KEYS, "")
    fixed = _values(spec, "fixed")
    search: dict[str, Parameter] = {}
    for key, rule in _mapping(spec, "search").items():
        if key == "fold" and not folds:
            raise ConfigError("search.fold: must be the same for all trials; put it under fixed")
        search[key] = parse_parameter(key, rule, search, fixed)
    twice = set(map(canonical_key, search)) & set(map(canonical_key, fixed))
    if twice or len(set(map(canonical_key, search))) < len(search):
        raise ConfigError(f"{min(twice, default='backbone')}: stands under both search and fixed; keep one")
    space = SearchSpace(
        search=search,
        fixed=fixed,
        baseline={},
        sampler=_name("sampler", spec.get("sampler", "tpe")),
        scheduler=_scheduler(_mapping(spec, "scheduler")),
        trials=_whole("trials", spec.get("trials", 40)),
    )
    spelling = {canonical_key(key): key for key in search}
    given = _values(spec, "baseline")
    given = {name: value_of(name, given) for name in (spelling.get(canonical_key(key), key) for key in given)}
    return _with_baseline(space, given)


def _baseline(space: SearchSpace, given: Mapping[str, Any]) -> dict[str, Any]:
    """Trial 0: the given values of what is searched there, completed by the defaults (the paper's)."""
    baseline: dict[str, Any] = {}
    for key in space.search:
        if space.active(key, baseline):
            baseline[key] = value_of(key, given, default_value(key))
    return baseline


def _with_baseline(space: SearchSpace, given: Mapping[str, Any]) -> SearchSpace:
    """The space with these values in its baseline, checked as a whole."""
    space = dataclasses.replace(space, baseline=_baseline(space, given))
    for key in given:
        if key not in space.search:
            raise ConfigError(f"baseline.{key}: is not searched; put it under fixed")
        if key not in space.baseline:
            raise ConfigError(f"baseline.{key}: is not searched there ({space.search[key].describe()})")
    for key, value in space.baseline.items():
        if not space.search[key].contains(value):
            raise ConfigError(
                f"baseline.{key}: {value} lies outside its search range {space.search[key].describe()}"
            )
    check_space(space)
    baseline = {key: space.search[key].canonical(value) for key, value in space.baseline.items()}
    return dataclasses.replace(space, baseline=baseline)


def _scheduler(spec: Mapping[str, Any]) -> Scheduler:
    only_keys(spec, {"name", "grace_period", "reduction_factor"}, "scheduler.")
    default = Scheduler()
    grace = spec.get("grace_period", default.grace_period)
    factor = spec.get("reduction_factor", default.reduction_factor)
    if not is_number(grace) or not 0.01 <= grace <= 100:
        raise ConfigError(f"scheduler.grace_period: {grace!r} is not a percentage from 0.01 to 100")
    if not is_number(factor) or not 1.01 <= factor <= 100:
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


def _name(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{key}: {value!r} is not a name")
    return value


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name}: {value!r} is not a whole number of at least 1")
    return value
