"""A new study's description from what a user asks for: a space, changes to it, and options."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sa_study.settings.run import check_values
from sa_study.settings.space import SearchSpace
from sa_study.settings.space_file import load_space, override, parse_space
from sa_study.study.config import StudyConfig
from sa_study.tuning.search.samplers import check_sampler, sampler_for
from sa_study.tuning.stopping.schedulers import scheduler_spec
from sa_study.utils.errors import ConfigError, named_in_errors

SpaceSource = str | Path | Mapping[str, Any] | SearchSpace
"""A search-space file, the name of one that comes with the program, its content, or a space."""


def configure_study(
    data_dir: Path,
    space: SpaceSource = "default",
    overrides: Mapping[str, Any] | None = None,
    *,
    sampler: str | None = None,
    scheduler: str | None = None,
    trials: int | None = None,
    minimize: str | None = None,
    track: str | Sequence[str] | None = None,
    **options: Any,
) -> StudyConfig:
    """Describes a study.

    Args:
        data_dir: Folder of the data set, or the list of its images.
        space: The search space.
        overrides: Settings that are fixed at these values, also where the space searches them.
        sampler: Name of the sampler in place of the space's.
        scheduler: Name of the scheduler in place of the space's.
        trials: Number of trials in place of the space's.
        minimize: A second objective, `cost` or `latency`.
        track: Experiment trackers, such as `mlflow` or `wandb:my-project`.
        options: Other fields of `StudyConfig`.

    Raises:
        ConfigError: One of these is wrong; the message names it and what is allowed.
    """
    source = str(space) if isinstance(space, str | Path) else "space"
    with named_in_errors("overrides"):
        fixed = check_values(overrides or {})
    chosen = _searched_by(override(_read(space, source), fixed), source, sampler, scheduler, minimize)
    return StudyConfig(
        data_dir=data_dir.absolute(),
        space=chosen,
        trials=chosen.trials if trials is None else trials,
        minimize=minimize,
        track=as_trackers(track or ()),
        **options,
    )


def as_trackers(track: str | Sequence[str]) -> tuple[str, ...]:
    """Experiment trackers as a description holds them; a single one may be a text."""
    return (track,) if isinstance(track, str) else tuple(track)


def _searched_by(
    space: SearchSpace, source: str, sampler: str | None, scheduler: str | None, minimize: str | None
) -> SearchSpace:
    """The space with the sampler and the scheduler that are asked for, whose names are checked."""
    stopping = dataclasses.replace(space.scheduler, name=scheduler or space.scheduler.name)
    space = dataclasses.replace(space, sampler=sampler or space.sampler, scheduler=stopping)
    objectives = 2 if minimize else 1
    try:
        if sampler:
            source = f"--sampler {sampler}"
            check_sampler(space, objectives)
        else:
            space = dataclasses.replace(space, sampler=sampler_for(space.sampler, objectives))
        source = f"--scheduler {scheduler}" if scheduler else source
        scheduler_spec(stopping)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None
    return space


def _read(space: SpaceSource, source: str) -> SearchSpace:
    if isinstance(space, SearchSpace):
        return space
    return parse_space(space, source) if isinstance(space, Mapping) else load_space(Path(space))
