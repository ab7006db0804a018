"""A trial as its study recorded it: settings, figures and launches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sa_study.metrics import names
from sa_study.settings.run import Settings
from sa_study.study.result_files import ResultFiles, ResultRow
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import TrialSummary
from sa_study.utils.errors import ConfigError, StudyFolderError

RAY, SCORES, BEST, LAST = "result.json", "optuna.db", "optuna.db (best epoch)", "optuna.db (last epoch)"
"""The places in which figures are recorded."""

NOT_RECORDED = "not recorded"


@dataclass(frozen=True)
class OriginalTrial:
    """A trial that has ended.

    Attributes:
        study: Its study.
        summary: Its state and record.
        settings: Its complete settings.
        launches: The entry in `provenance.json` of each launch that ran the trial, by number.
        rows: What Ray wrote of the trial, in the order of launches.
        sources: Figures by epoch, by the place where they are recorded.
        unread: What could not be read, in words.
    """

    study: StudySummary
    summary: TrialSummary
    settings: Settings
    launches: Mapping[int, object]
    rows: Sequence[ResultRow]
    sources: Mapping[str, Mapping[int, Mapping[str, Any]]]
    unread: Sequence[str] = ()

    @property
    def metric(self) -> str:
        """The study's metric."""
        return self.study.config.metric

    @property
    def failure(self) -> str:
        """Why it failed, or empty."""
        return self.summary.record.failure

    @property
    def goal(self) -> int:
        """The epoch to which a rerun has to come; for a failed trial the one in which it failed."""
        return min(self.summary.record.epoch + bool(self.failure), self.settings.epochs)

    @property
    def on_gpu(self) -> bool:
        """Whether the trial had a GPU."""
        return self.settings.device != "cpu" and bool(self.study.config.gpus_per_trial)

    @property
    def trained_epochs(self) -> list[int]:
        """The epochs whose losses are recorded."""
        sources = self.sources.values()
        return [epoch for source in sources for epoch, figures in source.items() if names.LOSS in figures]

    @property
    def varying_epochs(self) -> list[int]:
        """Epochs that ran twice on a GPU, so that two sources may rightly have different figures of them."""
        runs = Counter(row.epoch for row in self.rows)
        return [epoch for epoch, count in runs.items() if count > 1 and self.on_gpu]


def read_original(root: Path, number: int | None) -> OriginalTrial:
    """Reads everything that a study recorded of a trial.

    Args:
        root: The study's folder.
        number: The trial, or None for the winner.

    Raises:
        StudyFolderError: The folder holds no study, or is damaged; or the trial has nothing to compare.
        ConfigError: There is no such trial, or `study.yaml` was changed.
    """
    study = StudySummary.read(root)
    if "lasting" in study.attributes:
        study.config.require_unchanged(study.attributes["lasting"])
    trial = _choose(study, number)
    record, settings, unread = trial.record, study.settings(trial), list[str]()
    rows = _rows(study.storage_uri, trial.number, record.epoch, unread)
    scores = {epoch: trial.score_after(epoch) for epoch in range(1, record.epoch + 1)}
    return OriginalTrial(
        study,
        trial,
        settings,
        launches=_launches(rows, study.provenance["launches"]),
        rows=rows,
        sources={
            # Of an epoch that was run again the last row counts.
            RAY: {row.epoch: row.values for row in rows if 0 < row.epoch <= record.epoch},
            SCORES: {epoch: {trial.metric: score} for epoch, score in scores.items() if score is not None},
            **{
                name: {int(figures[names.EPOCH]): figures} if figures else {}
                for name, figures in ((BEST, record.best), (LAST, record.last))
            },
        },
        unread=unread,
    )


def _choose(study: StudySummary, number: int | None) -> TrialSummary:
    """The trial of a number, or the winner, if it can be compared."""
    root = study.folder.root
    if number is None:
        if study.winner is None:
            raise StudyFolderError(f"{root}: no trial is complete yet; name another by --trial")
        return study.winner
    trial = next((trial for trial in study.trials if trial.number == number), None)
    if trial is None:
        there = f"the study has 0 to {len(study.trials) - 1}" if study.trials else "the study has none yet"
        raise ConfigError(f"--trial: {number} is no trial; {there}")
    if not trial.ended:
        raise StudyFolderError(
            f"trial {number} has not ended ({trial.state}); 'resume --study {root}' ends it"
        )
    if not trial.record.epoch and not trial.record.failure:
        raise StudyFolderError(f"trial {number} has no epoch that could be compared; name another by --trial")
    return trial


def _rows(storage: str, number: int, epochs: int, unread: list[str]) -> list[ResultRow]:
    """What Ray wrote of a trial in all launches; adds to `unread` what cannot be read."""
    try:
        files = ResultFiles(storage)
        rows = [row for session in files.sessions() for row in files.rows(session, number, unread)]
    except (OSError, ValueError) as error:
        unread.append(f"{storage}: cannot be read ({' '.join(str(error).split())[:200]})")
        rows = []
    if missing := set(range(1, epochs + 1)) - {row.epoch for row in rows}:
        unread.append(f"all figures but the score of {len(missing)} epochs: {NOT_RECORDED}")
    return rows


def _launches(rows: list[ResultRow], launches: list[Any]) -> dict[int, object]:
    """The launches that ran the trial; all of the study where Ray's files do not tell."""
    last = {row.epoch: row.session for row in rows}
    numbers = sorted(set(last.values())) or range(1, len(launches) + 1)
    return {number: launches[number - 1] if 0 < number <= len(launches) else None for number in numbers}
