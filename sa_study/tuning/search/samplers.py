"""The samplers that `--sampler` offers. To add one, add an entry to `SAMPLERS`.

A sampler is one of Optuna's, or a subclass of `optuna.samplers.BaseSampler` in a module of its own beside
this one, as in `cma_es`. Optuna is not imported before a sampler is made: the command line reads this table.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sa_study.settings.space import Scheduler, SearchSpace
from sa_study.tuning.stopping.schedulers import rungs, scheduler_spec
from sa_study.utils.errors import ConfigError

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

MAX_CONFIGURATIONS = 100_000
"""Configurations of a space that are listed one by one."""


@dataclass(frozen=True)
class SamplerSpec:
    """Describes a sampler.

    Attributes:
        title: Its name in sentences.
        make: Makes it for one suggestion, from the search space and a seed. The space also holds the
            scheduler, whose rungs `tuning.stopping.schedulers.rungs` gives.
        history: The form in which it sees the trials so far: `unchanged`, with all values that each trial
            reported; `ranked`, where failed trials count as stopped before their first epoch; or `scored`,
            where failed and stopped trials count as complete (see `sampler_history`).
        state_prefix: Prefix of the trial attributes in which it stores its state; empty for none.
        exhaustive: Whether all configurations are run in order instead; their number must then be finite.
        max_objectives: Number of figures that it can optimise.
        fallback: Sampler that takes its place where a space names it and a study has more objectives; empty
            for none, which is an error.
        citation: Key of its paper in `export/references.bib`; empty for none.
        requirement: Package that it needs beyond those of this program, as pip takes it; empty for none.
    """

    title: str
    make: Callable[[SearchSpace, int], BaseSampler]
    history: Literal["unchanged", "ranked", "scored"] = "unchanged"
    state_prefix: str = ""
    exhaustive: bool = False
    max_objectives: int = 2
    fallback: str = ""
    citation: str = ""
    requirement: str = ""


def _tpe(space: SearchSpace, seed: int) -> BaseSampler:
    from optuna.samplers import TPESampler

    return TPESampler(seed=seed, multivariate=True, constant_liar=True, group=space.conditional)


def _random(space: SearchSpace, seed: int) -> BaseSampler:
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)


def _gp(space: SearchSpace, seed: int) -> BaseSampler:
    from optuna.samplers import GPSampler

    # It says on the terminal that a package would make it faster.
    logging.getLogger("optuna._gp.batched_lbfgsb").setLevel(logging.ERROR)
    return GPSampler(seed=seed, warn_independent_sampling=False)


def _cmaes(space: SearchSpace, seed: int) -> BaseSampler:
    from sa_study.tuning.search.cma_es import UnconditionalCmaEs

    return UnconditionalCmaEs(space, seed)


def _multifidelity(space: SearchSpace, seed: int) -> BaseSampler:
    from sa_study.study.records import step_of
    from sa_study.tuning.search.multifidelity import MultiFidelitySampler

    active = space.active_settings if space.conditional else None
    return MultiFidelitySampler(
        seed, levels=comparison_levels(space.scheduler), full_step=step_of(100), active=active
    )


def comparison_levels(scheduler: Scheduler) -> list[float]:
    """Shares of the schedule, below 1, at which learning curves are compared: the rungs if there are any."""
    from sa_study.tuning.search.curve_model import LEVELS

    # Another rule stops trials anywhere, or none at all.
    halving = scheduler_spec(scheduler).rule == "halving"
    return [share / 100 for share in rungs(scheduler)] if halving else [*LEVELS]


SAMPLERS = {
    "multifidelity": SamplerSpec(
        "multi-fidelity Gaussian process",
        _multifidelity,
        max_objectives=1,
        fallback="tpe",
        citation="kandasamy2017multi",
    ),
    "tpe": SamplerSpec("TPE", _tpe, history="ranked", citation="bergstra2011algorithms"),
    "random": SamplerSpec("random", _random),
    "grid": SamplerSpec("grid", _random, exhaustive=True),
    "gp": SamplerSpec("Gaussian process", _gp, history="scored"),
    "cmaes": SamplerSpec(
        "CMA-ES",
        _cmaes,
        history="scored",
        state_prefix="cma:",
        max_objectives=1,
        citation="hansen2016cma",
        requirement="cmaes==0.13.1",
    ),
}
"""By the name that a space file and the command line use."""


def sampler_spec(name: str) -> SamplerSpec:
    """The description of a sampler; ConfigError with a list of all if none has this name."""
    if name not in SAMPLERS:
        raise ConfigError(f"sampler: {name!r} is not one of {', '.join(SAMPLERS)}")
    return SAMPLERS[name]


def sampler_for(name: str, objectives: int) -> str:
    """Name of the sampler that searches a study whose space names this one; raises as `sampler_spec`."""
    spec = sampler_spec(name)
    return spec.fallback if spec.fallback and objectives > spec.max_objectives else name


def check_sampler(space: SearchSpace, objectives: int) -> None:
    """Raises a ConfigError if the space's sampler cannot search it for this many figures; says what to do."""
    name, spec = space.sampler, sampler_spec(space.sampler)
    if objectives > spec.max_objectives:
        others = ", ".join(other for other, able in SAMPLERS.items() if able.max_objectives >= objectives)
        raise ConfigError(f"sampler: {name} optimises one objective alone; for two use one of {others}")
    package = spec.requirement.partition("==")[0]
    if package and importlib.util.find_spec(package) is None:
        raise ConfigError(
            f"sampler: {name} needs the package {package}, which is missing; pip install {spec.requirement}"
        )
    if spec.exhaustive:
        for key, parameter in space.search.items():
            if parameter.count is None:
                raise ConfigError(f"search.{key}: takes any number; a {name} needs choices, an int or a step")
        if (space.size or 0) > MAX_CONFIGURATIONS:
            raise ConfigError(
                f"sampler: a {name} of {space.size} configurations; {MAX_CONFIGURATIONS} are the most"
            )
