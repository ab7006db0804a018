"""A study as its page shows it, with what `confirm`, `ablate`, `evaluate --retrain` and `reproduce` found.

Their files may have been edited, or be of another version: what cannot be shown whole is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sa_study.metrics import names
from sa_study.metrics.protocol import protocol_notes
from sa_study.report.terminal.repeats import (
    cells_table,
    confirmation_table,
    curse_line,
    effects_table,
    retrained_table,
)
from sa_study.report.terminal.text_table import TextTable
from sa_study.report.text import percent, short
from sa_study.study.folder import StudyFolder
from sa_study.study.ledger import LedgerSummary, ledger_summary
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import TrialSummary
from sa_study.utils.errors import StudyFolderError
from sa_study.utils.files import read_json

_DAMAGED = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)


@dataclass(frozen=True)
class Difference:
    """What is compared, or which setting changes, and the difference with its interval in points."""

    label: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class RetrainedScore:
    """The test mAP of a retrained choice: its mean and standard deviation over the seeds."""

    name: str
    seeds: int
    mean: float
    std: float


@dataclass(frozen=True)
class TrustSection:
    """Findings of one command as tables with sentences around them.

    Attributes:
        tables: Its tables.
        differences: Rows of its forest plot.
        lines: Sentences.
        lead: What is left of the study winner's lead over the baseline, from `confirm`.
        scores: The test mAP of each retrained choice.
    """

    tables: tuple[TextTable, ...] = ()
    differences: tuple[Difference, ...] = ()
    lines: tuple[str, ...] = ()
    lead: Difference | None = None
    scores: tuple[RetrainedScore, ...] = ()


@dataclass(frozen=True)
class Trust:
    """All that tells how far a study's figures can be trusted; None for what was not run or cannot be read.

    Attributes:
        confirmation: What `confirm` found.
        ablation: What `ablate` found.
        retrained: The final answer.
        reproduced: What `reproduce` found, the latest first.
        ledger: How often the test set was evaluated; None where the ledger is damaged.
        notices: A line about each file that is left out.
    """

    confirmation: TrustSection | None
    ablation: TrustSection | None
    retrained: TrustSection | None
    reproduced: TrustSection | None
    ledger: LedgerSummary | None
    notices: list[str]

    @property
    def lead(self) -> Difference | None:
        """What is left of the study winner's lead over the baseline; None where that is not known."""
        return self.confirmation.lead if self.confirmation else None

    @property
    def scores(self) -> tuple[RetrainedScore, ...]:
        """The test mAP of each retrained choice."""
        return self.retrained.scores if self.retrained else ()

    @property
    def ledger_line(self) -> str:
        """How often the test set was evaluated, safe to show; empty before the first time."""
        if self.ledger is None:
            return "Nothing tells how often the test set was seen: its ledger is damaged."
        return short(self.ledger.sentence)


class PageStudy(StudySummary):
    """A study as its page shows it: what is damaged beside the database is left out with a notice."""

    @cached_property
    def trust(self) -> Trust:
        """How far the study's figures can be trusted."""
        return read_trust(self.folder)

    @property
    def notices(self) -> list[str]:
        """A line about each file that is left out."""
        files = [*self.damaged]
        if not self._provenance and self.folder.provenance.exists():
            files.append(self.folder.provenance)
        damaged = [f"{short(path.name)} is left out: it is damaged or cannot be read" for path in files]
        return [*damaged, *self.trust.notices]

    @property
    def fingerprint(self) -> str:
        """Of the training images; empty where it is not recorded."""
        return short(self._provenance.get("data_fingerprint", ""))

    @property
    def launches(self) -> list[Mapping[str, Any]]:
        """Entries of `provenance.json`, one for each launch."""
        return [launch for launch in self._provenance.get("launches", []) if isinstance(launch, dict)]

    @property
    def params(self) -> list[str]:
        """Every searched setting that the space or a trial names."""
        named = [*self.config.space.search, *(name for trial in self.trials for name in trial.params)]
        return list(dict.fromkeys(named))

    @property
    def evaluates_winner(self) -> bool:
        """Whether `evaluation.json` is of the trial that wins now."""
        return "best" in self.current_evaluations

    def span(self, trial: TrialSummary) -> tuple[float, float]:
        """When a trial began and ended, in seconds since 1970; 0 where it has not begun.

        One that has not ended is taken to end now while a driver runs, else after what it trained.
        """
        begun = trial.start.timestamp() if trial.start else 0.0
        if trial.end:
            return begun, trial.end.timestamp()
        return begun, self.read_at if self.driver else begun + trial.record.seconds

    @property
    def _provenance(self) -> Mapping[str, Any]:
        try:
            return self.provenance
        except StudyFolderError:
            return {}


def read_trust(folder: StudyFolder) -> Trust:
    """Reads what the commands that check a study have left in its folder."""
    notices: list[str] = []

    def section(path: Path, build: Callable[[Mapping[str, Any]], TrustSection]) -> TrustSection | None:
        try:
            return build(read_json(path))
        except FileNotFoundError:
            pass
        except (OSError, *_DAMAGED):
            notices.append(f"{short(path.name)} is left out: it is damaged or of another version")
        return None

    ledger = None
    try:
        ledger = ledger_summary(folder)
    except StudyFolderError:
        notices.append(f"{folder.ledger.name} is damaged: nothing tells how often the test set was seen")
    return Trust(
        confirmation=section(folder.confirmation, _confirmation),
        ablation=section(folder.ablation, _ablation),
        retrained=section(folder.retrained, _retrained),
        reproduced=section(folder.reproduction, _reproduced),
        ledger=ledger,
        notices=notices,
    )


def _confirmation(found: Mapping[str, Any]) -> TrustSection:
    metric, figures = found["metric"], names.STUDY_METRICS
    if metric not in figures or not isinstance(found["verdict"], str) or "winner" not in found:
        raise ValueError(metric)
    if not all(isinstance(row["trial"], int) for row in found["configurations"]):
        raise TypeError("trial")
    runs = TextTable(
        "Single runs, validation, per cent",
        ("", "seed", "fold", *map(names.heading, figures)),
        [
            (row["name"], str(one["seed"]), str(one["fold"]), *(_rate(one[name]) for name in figures))
            for row in found["configurations"]
            for one in row["scores"]
        ],
        protocol_notes(found),
    )
    differences = tuple(
        _difference(row["name"], row["difference"][metric])
        for row in found["configurations"]
        if row["difference"]
    )
    curse = found["curse"] or {}
    lead = next((one for one in differences if one.label == f"trial {curse.get('trial')}"), None)
    lines = tuple(short(line) for line in (found["verdict"], curse_line(found)) if line)
    return TrustSection((confirmation_table(found), runs), differences, lines, lead)


def _ablation(found: Mapping[str, Any]) -> TrustSection:
    differences = tuple(
        _difference(
            f"{effect['factor']}: {effect['from']} → {effect['to']}", effect["difference"][found["metric"]]
        )
        for effect in found["effects"]
        if effect["difference"]
    )
    ended, asked, failed = (int(found["runs"][name]) for name in ("ended", "asked", "failed"))
    line = f"{ended} of {asked} runs have ended, {failed} of them failed."
    return TrustSection((effects_table(found), cells_table(found)), differences, (line,))


def _retrained(found: Mapping[str, Any]) -> TrustSection:
    for choice in found["configurations"]:
        for name in names.STUDY_METRICS:
            for rates in (choice["summary"][name].values(), [one[name] for one in choice["evaluations"]]):
                list(map(_rate, rates))
    reason = short(found["reason"]).capitalize() + "."
    scores = tuple(map(_score, found["configurations"]))
    return TrustSection((retrained_table(found, runs=True),), lines=(reason,), scores=scores)


def _reproduced(found: Mapping[str, Any]) -> TrustSection:
    lines = []
    reruns: Any = found["reproductions"]
    if not isinstance(reruns, list):
        raise TypeError(reruns)
    for one in reversed(reruns):
        differs = "; ".join(map(str, one["differs"])) or "nothing else differed"
        lines.append(
            f"{one['time']}: trial {int(one['trial'])} was rerun over {int(one['epochs'])} epochs: "
            f"{one['result']} (best {names.heading(one['metric'])} {_rate(one['recorded'])} recorded, "
            f"{_rate(one['rerun'])} rerun; {differs})."
        )
    return TrustSection(lines=tuple(map(short, lines)))


def _score(choice: Mapping[str, Any]) -> RetrainedScore:
    mean, std = (float(choice["summary"][names.MAP][name]) for name in ("mean", "std"))
    if not 0 <= mean <= 1 or not 0 <= std <= 1:
        raise ValueError(choice)
    return RetrainedScore(short(choice["name"], 80), len(choice["seeds"]), mean, std)


def _rate(value: Any) -> str:
    if value is None:
        return "–"
    rate = float(value)
    if not 0 <= rate <= 1:
        raise ValueError(value)
    return percent(rate)


def _difference(label: Any, found: Mapping[str, Any]) -> Difference:
    mean, low, high = (100 * float(found[name]) for name in ("mean", "low", "high"))
    if not all(map(math.isfinite, (mean, low, high))) or not low <= mean <= high:
        raise ValueError(found)
    return Difference(short(label, 80), mean, low, high)
