"""What can be changed in a study when it is resumed."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sa_study.settings.space_file import complete, override
from sa_study.study.config import StudyConfig, flattened
from sa_study.utils.errors import ConfigError


@dataclass(frozen=True)
class StudyChanges:
    """Changes to a study's description; None leaves a field as it is.

    Attributes:
        trials: Number of trials in all.
        time_budget: Seconds of this launch; never the earlier launch's, so None means no limit.
        epoch_budget: Epochs of the whole study.
        gpu_hours: GPU-hours of the whole study.
        max_concurrent: Most trials at a time.
        address: A running Ray cluster.
        data_dir: The folder that the same data set is in now.
    """

    trials: int | None = None
    time_budget: float | None = None
    epoch_budget: int | None = None
    gpu_hours: float | None = None
    max_concurrent: int | None = None
    address: str | None = None
    data_dir: Path | None = None

    def apply(self, config: StudyConfig) -> StudyConfig:
        """The study's description with these changes.

        Raises:
            ConfigError: One is out of range.
        """
        asked = {name: value for name, value in vars(self).items() if value is not None}
        return dataclasses.replace(config, **{"time_budget": None, **asked})


_CHANGEABLE = {field.name for field in dataclasses.fields(StudyChanges)}
_SPACE_OPTIONS = {"space", "sampler", "scheduler", "overrides"}


def changes_from_options(study: StudyConfig, asked: StudyConfig, given: Collection[str]) -> StudyChanges:
    """Compares a study with the options of `tune --resume`.

    Args:
        study: The study's own description.
        asked: The study that the options describe.
        given: Names of the options that were given; the others leave the study as it is.

    Raises:
        ConfigError: An option differs that cannot be changed in a study.
    """
    names = [field.name for field in dataclasses.fields(StudyConfig) if field.name in given]
    fixed = [name for name in names if name not in _CHANGEABLE | _SPACE_OPTIONS]
    values = {name: (getattr(study, name), getattr(asked, name)) for name in fixed}
    if not _SPACE_OPTIONS.isdisjoint(given):
        was, now = _space_of(study, study), _space_of(asked, study)
        values |= {name: (was.get(name), now.get(name)) for name in {**was, **now}}
    for name, (was, now) in values.items():
        if was != now:
            option = f"--{name.replace('_', '-')}" if name in given else name
            raise ConfigError(
                f"{option}: {now!r}, but the study was begun with {was!r}; leave it as it was, or begin "
                "another study"
            )
    return StudyChanges(**{name: getattr(asked, name) for name in _CHANGEABLE.intersection(given)})


def _space_of(config: StudyConfig, study: StudyConfig) -> dict[str, Any]:
    """A search space's settings by dotted name; those that `resolve_settings` decided are the study's."""
    decided = {name: study.space.fixed[name] for name in ("threads", "device")}
    space = complete(override(config.space, {"metric": config.metric}), decided).to_dict()
    del space["trials"]
    return flattened(space)
