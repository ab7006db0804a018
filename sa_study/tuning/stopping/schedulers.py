"""The rungs of a stopping rule: one definition for the rule, the terminal, the page and the audit."""

from __future__ import annotations

import math

import numpy as np

from sa_study.settings.space import Scheduler
from sa_study.utils.randomness import derived_seed

MAX_BRACKETS = 3
"""Brackets of `hyperband`; each further one has its first rung where the one before has its second."""

_ROUNDING = 1e-9


def rungs(scheduler: Scheduler, bracket: int = 0) -> list[float]:
    """Shares of a trial's own schedule at which it is compared with others.

    Args:
        scheduler: The study's stopping rule.
        bracket: Which bracket of `hyperband`; the first one has the rungs of all.

    Returns:
        Per cent, ascending, all below 100. For `median`, which compares at every epoch from its grace period
        on, that share alone; empty for `none`.
    """
    first, factor = scheduler.grace_period, scheduler.reduction_factor
    if scheduler.name == "median":
        return [float(first)]
    shares = [first * factor**power for power in range(bracket, _rung_count(scheduler))]
    return [share for share in shares if share < 100 - _ROUNDING]


def bracket_count(scheduler: Scheduler) -> int:
    """Number of brackets: up to three for `hyperband`, as many as have a rung; one for other rules."""
    return min(MAX_BRACKETS, _rung_count(scheduler)) if scheduler.name == "hyperband" else 1


def bracket_of(number: int, scheduler: Scheduler) -> int:
    """The bracket of a trial, which follows from its number: Ray's shares, but no unseeded generator."""
    shares = np.exp(-np.arange(bracket_count(scheduler), dtype=float))
    rng = np.random.default_rng(derived_seed(0, "bracket", number))
    return int(rng.choice(len(shares), p=shares / shares.sum()))


def _rung_count(scheduler: Scheduler) -> int:
    """Rungs of Ray's first bracket, with the one at 100 % where there is one; 0 for rules without any."""
    if scheduler.name not in ("asha", "hyperband"):
        return 0
    return int(math.log(100 / scheduler.grace_period, scheduler.reduction_factor) + _ROUNDING) + 1
