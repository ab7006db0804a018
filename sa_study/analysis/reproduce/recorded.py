"""All that a study tells of one trial: settings, figures, launches, and what nobody can know any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sa_study.analysis.reproduce.environment import NOT_RECORDED, Change
from sa_study.metrics import names
from sa_study.settings.run import Settings
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.study.records import TrialRecord
from sa_study.study.result_files import ResultRows, Row, is_number
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import TrialSummary
from sa_study.tuning.launch.pretrained import recorded_fingerprint
from sa_study.utils.errors import ConfigError, StudyFolderError

RAY, SCORES, BEST, LAST = "result.json", "optuna.db", "optuna.db (best epoch)", "optuna.db (last epoch)"


@dataclass(frozen=True)
class Recorded:
    """A trial that has ended.

    Attributes:
        folder: The study's folder.
        config: What the study was asked to do.
        number: The trial.
        state: Name of the state in which it ended.
        record: What the database keeps of it.
        settings: Its complete settings.
        fingerprint: That of the study's training images.
        launches: What is told of each launch that ran the trial, by number.
        rows: What Ray wrote of the trial, in the order of launches.
        sources: Figures by epoch, by where they are recorded.
        unread: What could not be read, in words.
    """

    folder: StudyFolder
    config: StudyConfig
    number: int
    state: str
    record: TrialRecord
    settings: Settings
    fingerprint: str
    launches: Mapping[int, object]
    rows: list[Row]
    sources: Mapping[str, Mapping[int, Mapping[str, Any]]]
    unread: list[str] = field(default_factory=list)

    @property
    def goal(self) -> int:
        """The epoch to which a rerun has to come; a failed trial's is the one in which it failed."""
        return min(self.record.epoch + bool(self.record.failure), self.settings.epochs)

    @property
    def on_gpu(self) -> bool:
        """Whether the trial had a GPU."""
        return self.settings.device != "cpu" and bool(self.config.gpus_per_trial)

    @property
    def trained_epochs(self) -> list[int]:
        """The epochs whose losses are recorded."""
        return [
            epoch
            for epochs in self.sources.values()
            for epoch, figures in epochs.items()
            if names.LOSS in figures
        ]

    @property
    def varying_epochs(self) -> list[int]:
        """Epochs that were run again on a GPU: the best epoch's figures may be of the first run."""
        runs = Counter(row.epoch for row in self.rows)
        return [epoch for epoch, count in runs.items() if count > 1 and self.on_gpu]

    def doubts(self, device: str, start: str) -> list[Change]:
        """What is known neither of then nor of now, or forbids equal figures whatever else is the same.

        Args:
            device: Where the trial runs now.
            start: Fingerprint of the pretrained backbone that it starts from now, or empty.
        """
        settings, found = self.settings, []
        told = (row.values.get(names.ACCUMULATE) for row in self.rows if row.epoch)
        parts = {value for value in told if is_number(value)}
        if len(parts | {settings.accumulate}) > 1:
            found.append(
                f"accumulate changed on the trial's way and is {settings.accumulate} now: "
                "it cannot be bit-equal"
            )
        if not settings.threads:
            found.append(f"threads: left to PyTorch then, so {NOT_RECORDED}")
        if self.on_gpu and device != "cpu":
            found.append("a GPU adds some sums in varying order: it need not be bit-equal")
        hosts = sorted({str(row.values.get("hostname"))[:60] for row in self.rows if row.epoch})
        if len(hosts) > 1 or self.config.address:
            found.append(f"ran on {', '.join(hosts) or 'a node'} of a cluster, whose CPU is {NOT_RECORDED}")
        unread = [Change(line, decides=False) for line in self.unread]
        return [*map(Change, found), *self._other_start(start), *unread]

    def _other_start(self, now: str) -> list[Change]:
        """Whether the pretrained weights are those that the trial began with; later launches went on."""
        backbone, name = self.settings.backbone, self.settings.pretrained
        if name == "none":
            return []
        begun = sorted(self.launches)[:1] if self.rows else self.launches
        noted = {recorded_fingerprint(self.launches[launch], backbone, name) for launch in begun}
        if not noted or None in noted:
            # Those of ImageNet are checked against the hash in their file's name when they are fetched.
            return [Change(f"pretrained: what {name} held then: {NOT_RECORDED}", name != "imagenet")]
        were = sorted(f"{start:.12}" for start in noted if start and start != now)
        told = f"pretrained: {name} held other weights then ({', '.join(were)}, {now:.12} now)"
        return [Change(told)] if were else []


def read_recorded(root: Path, number: int | None) -> Recorded:
    """Reads what there is of a trial.

    Args:
        root: The study's folder.
        number: The trial, or None for the winner.

    Raises:
        StudyFolderError: The folder holds no study, or is damaged; or the trial has nothing to compare.
        ConfigError: There is no such trial, or `study.yaml` was changed.
    """
    study = StudySummary.read(root)
    if "lasting" in study.attributes:
        study.config.require_lasting(study.attributes["lasting"])
    trial = _chosen(study, number, root)
    record, settings = trial.record, study.settings(trial)
    provenance, unread = study.provenance, list[str]()
    rows = _rows(study.storage_uri, trial.number, record.epoch, unread)
    return Recorded(
        folder=study.folder,
        config=study.config,
        number=trial.number,
        state=trial.state,
        record=record,
        settings=settings,
        fingerprint=provenance["data_fingerprint"],
        launches=_launches(rows, provenance["launches"]),
        rows=rows,
        sources={
            RAY: {row.epoch: row.values for row in rows if 0 < row.epoch <= record.epoch},
            SCORES: _scores(trial),
            BEST: _of_epoch(record.best),
            LAST: _of_epoch(record.last),
        },
        unread=unread,
    )


def _chosen(study: StudySummary, number: int | None, root: Path) -> TrialSummary:
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


def _rows(place: str, number: int, epochs: int, unread: list[str]) -> list[Row]:
    """What Ray wrote of a trial, of all launches; of an epoch that was run again the last line counts."""
    try:
        files = ResultRows(place)
        rows = [row for session in files.sessions() for row in files.of_trial(session, number, unread)]
    except (OSError, ValueError) as error:
        unread.append(f"{place}: cannot be read ({' '.join(str(error).split())[:200]})")
        rows = []
    if missing := set(range(1, epochs + 1)) - {row.epoch for row in rows}:
        unread.append(f"all figures but the score of {len(missing)} epochs: {NOT_RECORDED}")
    return rows


def _launches(rows: list[Row], launches: list[Any]) -> dict[int, object]:
    """The launches that ran the trial; all of the study where Ray's files do not tell."""
    last = {row.epoch: row.session for row in rows}
    numbers = sorted(set(last.values())) or range(1, len(launches) + 1)
    return {number: launches[number - 1] if 0 < number <= len(launches) else None for number in numbers}


def _scores(trial: TrialSummary) -> dict[int, dict[str, Any]]:
    """The score of each epoch, as Optuna keeps it."""
    scores = {epoch: trial.score_after(epoch) for epoch in range(1, trial.record.epoch + 1)}
    return {epoch: {trial.metric: score} for epoch, score in scores.items() if score is not None}


def _of_epoch(figures: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    return {int(figures[names.EPOCH]): figures} if figures else {}
