"""The schedulers that `--scheduler` offers, and their rungs. To add one, add an entry to `SCHEDULERS`.

For other rungs or brackets that is all: the rule, terminal, page and audit read them here. Another way to
judge a trial also needs a class in `ray_scheduler.RULES` and a check in `analysis.audit.replay.JUDGES`. Ray
and NumPy are not imported with this module: the command line reads the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from sa_study.settings.space import Scheduler
from sa_study.utils.errors import ConfigError

_ROUNDING = 1e-9


@dataclass(frozen=True)
class SchedulerSpec:
    """Describes a scheduler.

    Attributes:
        title: Its name in sentences.
        rule: How it judges a trial, a key of `ray_scheduler.RULES`. `halving` continues the best one in
            `reduction_factor` trials of a rung; `median` continues a trial whose best value is not below the
            median of the others' running means; `none` continues all.
        rungs: Gives the shares of a trial's schedule at which it is compared, in percent, ascending.
        max_brackets: Number of groups of trials; a trial is compared within its group. Each further group has
            its first rung where the one before has its second.
        citation: Key of its paper in `export/references.bib`; empty for none.
    """

    title: str
    rule: str
    rungs: Callable[[Scheduler], list[float]]
    max_brackets: int = 1
    citation: str = ""


def _powers(scheduler: Scheduler) -> list[float]:
    """The grace period times the powers of the reduction factor, up to 100 % inclusive."""
    first, factor = scheduler.grace_period, scheduler.reduction_factor
    count = int(math.log(100 / first, factor) + _ROUNDING) + 1
    return [first * factor**power for power in range(count)]


SCHEDULERS = {
    "asha": SchedulerSpec("ASHA", "halving", _powers, citation="li2020system"),
    "hyperband": SchedulerSpec("Hyperband", "halving", _powers, max_brackets=3, citation="li2018hyperband"),
    "median": SchedulerSpec(
        "median rule",
        "median",
        lambda scheduler: [float(scheduler.grace_period)],  # from there on after every epoch
        citation="golovin2017vizier",
    ),
    "none": SchedulerSpec("none", "none", lambda scheduler: []),
}
"""By the name that a space file and the command line use."""


def scheduler_spec(scheduler: Scheduler) -> SchedulerSpec:
    """The description of a study's scheduler.

    Raises:
        ConfigError: No scheduler has its name; lists the names.
    """
    if scheduler.name not in SCHEDULERS:
        raise ConfigError(f"scheduler.name: {scheduler.name!r} is not one of {', '.join(SCHEDULERS)}")
    return SCHEDULERS[scheduler.name]


def rungs(scheduler: Scheduler, bracket: int = 0) -> list[float]:
    """The rungs of a bracket; the first bracket has those of all.

    Returns:
        Shares of a trial's own schedule in percent, ascending, all below 100.
    """
    shares = scheduler_spec(scheduler).rungs(scheduler)
    return [share for share in shares[bracket:] if share < 100 - _ROUNDING]


def rungs_of_trial(scheduler: Scheduler, number: int) -> list[float]:
    """The rungs at which the trial of this number is compared with others."""
    return rungs(scheduler, bracket_of(number, scheduler))


def bracket_count(scheduler: Scheduler) -> int:
    """Number of brackets, at most the number of rungs, of which one may be at 100 %."""
    spec = scheduler_spec(scheduler)
    return max(1, min(spec.max_brackets, len(spec.rungs(scheduler))))


def bracket_of(number: int, scheduler: Scheduler) -> int:
    """The bracket of a trial, drawn with Ray's probabilities from the trial's number alone."""
    import numpy as np

    from sa_study.utils.randomness import derived_seed

    shares = np.exp(-np.arange(bracket_count(scheduler), dtype=float))
    rng = np.random.default_rng(derived_seed(0, "bracket", number))
    return int(rng.choice(len(shares), p=shares / shares.sum()))
