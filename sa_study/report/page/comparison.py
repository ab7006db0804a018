"""Several studies: which of their figures can be compared, and what each had found at what cost."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np

from sa_study.analysis.compare import paired_difference
from sa_study.metrics.comparability import ScoredOn, why_not_comparable, why_scores_not_comparable
from sa_study.metrics.confidence import Estimate
from sa_study.report.page.page_study import PageStudy
from sa_study.study.trial_summary import TrialSummary
from sa_study.utils.errors import StudyFolderError

_ROUNDING = 1e-6
"""Epochs by which a sum of shares may be off."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Group:
    """Names of studies that can be compared, and why not with the first group's; empty for the first."""

    studies: tuple[str, ...]
    reason: str = ""


@dataclass(frozen=True)
class Leader:
    """A trial that was the best of its study when it ended.

    Attributes:
        trial: Its number.
        score: Its score.
        epochs: Epochs that the study had trained by then.
        hours: What the study had used by then, in its `unit`.
    """

    trial: int
    score: float
    epochs: float
    hours: float


class ComparedStudy(PageStudy):
    """A study as the page of several shows it."""

    @property
    def unit(self) -> str:
        """The unit of `hours`: GPU-hours where its trials ran on GPUs, else CPU-hours."""
        return "GPU-hours" if self.cost.gpu_seconds else "CPU-hours"

    @property
    def hours(self) -> float:
        """What all trials took, in its `unit`."""
        return sum(map(self._hours_of, self.trials))

    @cached_property
    def leaders(self) -> list[Leader]:
        """The complete trials that were the best when they ended, in that order.

        The cost by then includes that of the trials that were running, in proportion to the time.
        """
        best: list[TrialSummary] = []
        for trial in sorted(self.complete, key=lambda trial: (self.span(trial)[1], trial.number)):
            if not best or (trial.score or 0.0) > (best[-1].score or 0.0):
                best.append(trial)
        begun, ended = np.array([self.span(trial) for trial in self.trials]).reshape(-1, 2).T
        costs = np.array([[trial.record.epochs_run, self._hours_of(trial)] for trial in self.trials])
        found = []
        for trial in best:
            done = (self.span(trial)[1] - begun) / np.maximum(ended - begun, 1e-9)
            epochs, hours = np.clip(done, 0, 1) @ costs
            found.append(Leader(trial.number, trial.score or 0.0, float(epochs), float(hours)))
        return found

    @cached_property
    def scored_on(self) -> ScoredOn:
        """What its validation scores were measured on.

        Raises:
            StudyFolderError: Its winner is not of the space that `study.yaml` describes.
        """
        space = self.config.space
        settings = self.settings(self.winner) if self.winner else space.settings(space.baseline)
        return ScoredOn(self.config.metric, self.fingerprint, self.protocol, settings.to_dict())

    def best_after(self, epochs: float) -> float | None:
        """The best score of the trials that were complete after this many epochs; None where none was."""
        known = (leader.score for leader in reversed(self.leaders) if leader.epochs <= epochs + _ROUNDING)
        return next(known, None)

    def _hours_of(self, trial: TrialSummary) -> float:
        record = trial.record
        if self.cost.gpu_seconds:
            return record.gpu_seconds / 3600
        return record.seconds * (self.config.cpus_per_trial or 1) / 3600


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several studies by the names that tell them apart, in the order in which they were given."""

    studies: Mapping[str, ComparedStudy]

    @classmethod
    def read(cls, roots: Sequence[Path]) -> Self:
        """Reads the studies in some folders.

        Raises:
            StudyFolderError: A folder holds no study or a damaged one, `confirm` or `ablate` made it, or it
                is given twice.
        """
        places = [root.resolve() for root in roots]
        for index, place in enumerate(places):
            if place in places[:index]:
                raise StudyFolderError(f"{roots[index]}: is given twice; name each study once")
        studies = [ComparedStudy.read(root) for root in roots]
        for root, study in zip(roots, studies, strict=True):
            if study.of_repeats:
                raise StudyFolderError(
                    f"{root}: was made by confirm or ablate, so it has no winner to compare; name the study "
                    "it came from"
                )
        return cls(dict(zip(distinct_names(places), studies, strict=True)))

    @cached_property
    def groups(self) -> list[Group]:
        """The studies whose validation scores can be compared with each other."""
        scored_on = {name: study.scored_on for name, study in self.studies.items()}
        return grouped(scored_on, why_scores_not_comparable)

    @cached_property
    def evaluations(self) -> Mapping[str, Mapping[str, Any]]:
        """The evaluation of each present winner on its study's test set, where there is one."""
        current = {name: study.current_evaluations for name, study in self.studies.items()}
        return {name: found["best"] for name, found in current.items() if "best" in found}

    @cached_property
    def test_groups(self) -> list[Group]:
        """The studies whose winners' test figures can be compared with each other."""
        return grouped(self.evaluations, why_not_comparable)

    def ranked(self, group: Group) -> list[tuple[str, TrialSummary]]:
        """The winners of a group, the best first, each with the name of its study."""
        winners = [(name, winner) for name in group.studies if (winner := self.studies[name].winner)]
        return sorted(winners, key=lambda item: -(item[1].score or 0.0))

    def test_difference(self, first: str, second: str, figure: str) -> Estimate | None:
        """The second winner's test figure less the first's; None where it cannot be given."""
        if not {first, second} <= self.evaluations.keys():
            return None
        return paired_difference(self.evaluations[first], self.evaluations[second], figure)


def grouped(items: Mapping[str, Item], why_not: Callable[[Item, Item], str]) -> list[Group]:
    """Groups within which every two items can be compared; each item joins the first group that it can."""
    members: list[list[str]] = []
    for name, item in items.items():
        for group in members:
            if not any(why_not(items[other], item) for other in group):
                group.append(name)
                break
        else:
            members.append([name])

    def reason(group: list[str]) -> str:
        return next(filter(None, (why_not(items[other], items[group[0]]) for other in members[0])), "")

    return [Group(tuple(group), reason(group) if index else "") for index, group in enumerate(members)]


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of different absolute paths that tell all of them apart, equally long."""
    ends = (["/".join(path.parts[-length:]) for path in paths] for length in itertools.count(1))
    return next(names for names in ends if len(set(names)) == len(names))
