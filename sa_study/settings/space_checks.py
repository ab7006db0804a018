"""Checks of a search space as a whole, before any trial runs."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from sa_study.settings.run import canonical_key
from sa_study.settings.space import Parameter, SearchSpace
from sa_study.utils.errors import ConfigError

MAX_COMBINATIONS = 100_000
"""Maximum number of configurations that are checked one by one."""

_WITHOUT_EFFECT = {
    **dict.fromkeys(("lr", "momentum"), ("optimizer", ("adam", "adamw"))),
    **dict.fromkeys(("adam_lr", "adam_beta1", "adam_beta2", "adam_eps"), ("optimizer", ("sgd",))),
    **dict.fromkeys(("step_epochs", "step_fraction", "lr_decay"), ("schedule", ("cosine",))),
    "neck_feature": ("bn_neck", (False,)),
    "triplet_margin": ("triplet_weight", (0.0,)),
    "random_erasing_fill": ("random_erasing", (0.0,)),
}
"""Settings that change nothing where another has one of these values."""

_INSTEAD = {"lr": "adam_lr", "adam_lr": "lr", "momentum": "adam_beta1", "adam_beta1": "momentum"}


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
        part = _reduced_space(space, keys)
        if (part.size or 0) > MAX_COMBINATIONS:
            ways = f"{part.size} ways for {' and '.join(keys)}"
            raise ConfigError(f"search: conditions leave {ways}; name fewer")
        others = {key: value for key, value in space.baseline.items() if key not in part.search}
        for point in part.points():
            space.settings({**others, **point})


def check_new_space(space: SearchSpace) -> None:
    """Raises ConfigError for what earlier versions accepted, and studies on disk may hold."""
    for key in space.search:
        if key not in _WITHOUT_EFFECT:
            continue
        other, unread = _WITHOUT_EFFECT[key]
        points = _reduced_space(space, (key, other)).points()
        found = {space.value(other, point) for point in points if key in point}
        if found <= set(unread):
            mend = f"search {_INSTEAD[key]} in its place" if key in _INSTEAD else f"fix it by --set {key}=…"
            given = f"{other}={' or '.join(sorted(map(str, found)))}"
            raise ConfigError(f"search.{key}: changes nothing in trials with {given}; {mend}")
    for batch_size, images in combinations(space, ("batch_size", "images_per_identity")):
        require_identity_fits(batch_size, images)


def require_identity_fits(batch_size: int, images_per_identity: int) -> None:
    """Raises ConfigError if a batch does not hold the images of a single identity."""
    if images_per_identity > batch_size:
        raise ConfigError(
            f"images_per_identity: {images_per_identity} do not fit into batch_size={batch_size}; the most "
            f"is {batch_size}"
        )


def combinations(space: SearchSpace, keys: Collection[str]) -> list[tuple[Any, ...]]:
    """The values that some settings have together in trials.

    Of a range its ends, the values that conditions name, and the ends of all other values stand for all.
    """
    points = _reduced_space(space, keys).points()
    return list(dict.fromkeys(tuple(space.value(key, point) for key in keys) for point in points))


def _reduced_space(space: SearchSpace, keys: Collection[str]) -> SearchSpace:
    """The space of these settings and of those that their conditions name, cut to a few values."""
    wanted = set(map(canonical_key, keys))
    needed = [key for key in space.search if canonical_key(key) in wanted]
    for key in needed:  # grows while it is gone through
        needed += [other for other in space.search[key].when if other in space.search and other not in needed]
    search = {
        key: Parameter("categorical", choices=_representative_values(space, key), when=parameter.when)
        for key, parameter in space.search.items()
        if key in needed
    }
    return SearchSpace(search, space.fixed, {})


def _representative_values(space: SearchSpace, key: str) -> tuple[Any, ...]:
    """A range's ends, the values that conditions name, and the ends of all other values; all choices."""
    parameter = space.search[key]
    if parameter.kind == "categorical" or parameter.count is None:
        return parameter.ends
    named = {parameter.index(value) for value in space.named.get(key, ()) if parameter.contains(value)}
    last, most = parameter.count - 1, min(len(named) + 1, parameter.count)
    near_ends = {index for i in range(most) for index in (i, last - i)}
    return tuple(parameter.value(index) for index in sorted(named | near_ends))
