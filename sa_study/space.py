"""A search space: what is searched, what is fixed, and how.

Knows nothing of files (`sa_study.space_file` reads and validates them), nor of Optuna or Ray
(`sa_study.study.search` turns a space into suggestions).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sa_study.config import Settings

SAMPLERS = ("tpe", "random", "grid")
SCHEDULERS = ("asha", "hyperband", "median", "none")
STUDY_DEFAULTS: dict[str, Any] = {"precision": "auto", "channels_last": True}
"""What a study changes of the settings' defaults, unless its space fixes it."""


@dataclass(frozen=True)
class Parameter:
    """One searched setting, in Optuna's terms.

    Attributes:
        kind: `float`, `int` or `categorical`.
        low: Least value, included (numbers).
        high: Greatest value, included (numbers).
        step: Distance of the allowed values, or None for every value (numbers).
        log: Whether to search on a logarithmic scale (numbers).
        choices: The allowed values (categorical).
    """

    kind: str
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()

    def contains(self, value: Any) -> bool:
        """Whether the sampler could suggest this value."""
        if self.kind == "categorical":
            return value in self.choices
        if not self.low <= value <= self.high:
            return False
        steps = (value - self.low) / self.step if self.step else 0.0
        return math.isclose(steps, round(steps), abs_tol=1e-9)

    def describe(self) -> str:
        """The allowed values in words."""
        if self.kind == "categorical":
            return " | ".join(map(str, self.choices))
        step = f", step {self.step:g}" if self.step else ""
        return f"{self.low:g} … {self.high:g}{step}{', log' if self.log else ''}"

    def to_dict(self) -> dict[str, Any]:
        """The parameter as it stands in a space file."""
        if self.kind == "categorical":
            return {"type": self.kind, "choices": list(self.choices)}
        number: type[int] | type[float] = int if self.kind == "int" else float
        values: dict[str, Any] = {"type": self.kind, "low": number(self.low), "high": number(self.high)}
        if self.step:
            values["step"] = number(self.step)
        return values | ({"log": True} if self.log else {})


@dataclass(frozen=True)
class Scheduler:
    """How trials are stopped early.

    Attributes:
        name: `asha` or `none`.
        grace_period: First rung, in percent of a trial's own schedule.
        reduction_factor: One trial in so many goes on past a rung.
    """

    name: str = "asha"
    grace_period: float = 10.0
    reduction_factor: float = 3.0


@dataclass(frozen=True)
class SearchSpace:
    """A validated search space.

    Attributes:
        search: The searched settings.
        fixed: Settings that every trial shares.
        baseline: The searched settings' values of trial 0.
        sampler: `tpe`, `random` or `grid` (every combination, the baseline first).
        scheduler: Early stopping.
        trials: Number of trials when the command line names none.
    """

    search: dict[str, Parameter]
    fixed: dict[str, Any]
    baseline: dict[str, Any]
    sampler: str = "tpe"
    scheduler: Scheduler = field(default_factory=Scheduler)
    trials: int = 40

    def settings(self, suggested: Mapping[str, Any]) -> Settings:
        """The complete settings of a trial with these suggested values."""
        return Settings.from_mapping({**STUDY_DEFAULTS, **self.fixed, **suggested}, "trial")

    @property
    def size(self) -> int | None:
        """Number of combinations, or None where there is no end of them."""
        if all(parameter.kind == "categorical" for parameter in self.search.values()):
            return math.prod(len(parameter.choices) for parameter in self.search.values())
        return None

    def grid(self) -> list[dict[str, Any]]:
        """Every combination of the choices, the baseline first."""
        axes = [[(key, choice) for choice in p.choices] for key, p in self.search.items()]
        points = [dict(point) for point in itertools.product(*axes)]
        return sorted(points, key=lambda point: point != self.baseline)

    def to_dict(self) -> dict[str, Any]:
        """The space as it would stand in a file; `sa_study.space_file.parse_space` reads it back."""
        scheduler = self.scheduler
        return {
            "search": {key: parameter.to_dict() for key, parameter in self.search.items()},
            "fixed": dict(self.fixed),
            "baseline": dict(self.baseline),
            "sampler": self.sampler,
            "scheduler": {
                "name": scheduler.name,
                "grace_period": scheduler.grace_period,
                "reduction_factor": scheduler.reduction_factor,
            },
            "trials": self.trials,
        }
