"""The trackers by name, and the values of `--track`: `mlflow[:URI]`, `wandb[:PROJECT]`.

To add one, write a class like `MlflowTracker` in a module beside this one, and add it to `TRACKERS`.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence

from sa_study.trackers.mlflow_tracker import MlflowTracker
from sa_study.trackers.tracker import Tracker
from sa_study.trackers.wandb_tracker import WandbTracker
from sa_study.utils.errors import ConfigError, named_in_errors
from sa_study.utils.text import redact, visible

TRACKERS: dict[str, type[Tracker]] = {"mlflow": MlflowTracker, "wandb": WandbTracker}

_USER = re.compile("//.*@", re.DOTALL)
"""The place of a user and a password, also of one that has characters that no address may have."""

_MAX_SHOWN = 200

NO_TRACKER = "none"
"""What `--track` is given to resume a study without its trackers."""


def resolve_trackers(asked: Sequence[str]) -> tuple[str, ...]:
    """Checks trackers, and gives each with its target in full; to be called before anything is written.

    They are given as by `--track`, or as they were resolved before.

    Raises:
        ConfigError: A name or a target cannot be used, holds a credential, or a package is missing.
    """
    if list(asked) == [NO_TRACKER]:
        return ()
    return tuple(dict.fromkeys(map(_resolve, asked)))


def split(tracker: str) -> tuple[str, str]:
    """The name and the target of a tracker."""
    name, _, target = tracker.partition(":")
    return name, target


def _resolve(tracker: str) -> str:
    name, target = split(tracker)
    shown = redact(_USER.sub("//***@", tracker))
    with named_in_errors(f"--track {visible(shown, _MAX_SHOWN)}".rstrip()):
        if name not in TRACKERS:
            raise ConfigError(f"expected mlflow[:URI] or wandb[:PROJECT], or {NO_TRACKER} alone")
        if visible(target) != target or " " in target:
            raise ConfigError("holds a space or an invisible character")
        target = TRACKERS[name].resolve(target)
    package = TRACKERS[name].PACKAGE
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:  # None too for a mere folder of that name, as W&B makes
        raise ConfigError(f"--track {name} needs the package {package}: pip install 'sa-study[{name}]'")
    return f"{name}:{target}"
