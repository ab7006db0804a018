"""A trial as its study recorded it, and what changed since then so that a rerun's figures may differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sa_study.metrics import names
from sa_study.model.backbones import IMAGENET
from sa_study.provenance import code_of, is_launch
from sa_study.settings.run import Settings
from sa_study.study.result_files import ResultFiles, ResultRow, is_number
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import TrialSummary
from sa_study.tuning.launch.pretrained import recorded_fingerprint
from sa_study.utils.errors import ConfigError, StudyFolderError, one_line

# The places in which figures are recorded.
RAY_RESULTS = "result.json"
DATABASE_SCORES = "optuna.db"
DATABASE_BEST = "optuna.db (best epoch)"
DATABASE_LAST = "optuna.db (last epoch)"

NOT_RECORDED = "not recorded"
_MAX_CHARACTERS = 120
_MAX_LINES = 40  # maximum number of changes that are listed; only an edited file has more


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
        unreadable: What could not be read, in words.
    """

    study: StudySummary
    summary: TrialSummary
    settings: Settings
    launches: Mapping[int, object]
    rows: Sequence[ResultRow]
    sources: Mapping[str, Mapping[int, Mapping[str, Any]]]
    unreadable: Sequence[str] = ()

    @property
    def metric(self) -> str:
        """The study's metric."""
        return self.study.config.metric

    @property
    def failure(self) -> str:
        """Why it failed, or empty."""
        return self.summary.record.failure

    @property
    def last_epoch(self) -> int:
        """Last epoch to rerun; for a failed trial the epoch in which it failed."""
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
        """Epochs that ran twice on a GPU, so that two sources may rightly record different figures."""
        runs = Counter(row.epoch for row in self.rows)
        return [epoch for epoch, count in runs.items() if count > 1 and self.on_gpu]


def read_original(root: Path, number: int | None) -> OriginalTrial:
    """Reads everything that a study recorded of a trial; without a number, of the winner.

    Raises:
        StudyFolderError: The folder holds no study, or is damaged; or the trial has nothing to compare.
        ConfigError: There is no such trial, or `study.yaml` was changed.
    """
    study = StudySummary.read(root)
    if "lasting" in study.attributes:  # settings that may not change after the first launch
        study.config.require_unchanged(study.attributes["lasting"])
    trial = _choose(study, number)
    record, unreadable = trial.record, list[str]()
    rows = _rows(study.storage_uri, trial.number, record.epoch, unreadable)
    scores = {epoch: trial.score_after(epoch) for epoch in range(1, record.epoch + 1)}
    sources: dict[str, dict[int, Mapping[str, Any]]] = {
        # The last row counts where an epoch was run again.
        RAY_RESULTS: {row.epoch: row.values for row in rows if 0 < row.epoch <= record.epoch},
        DATABASE_SCORES: {
            epoch: {trial.metric: value} for epoch, value in scores.items() if value is not None
        },
    }
    for name, figures in ((DATABASE_BEST, record.best), (DATABASE_LAST, record.last)):
        sources[name] = {int(figures[names.EPOCH]): figures} if figures else {}
    launches = _launches(rows, study.provenance["launches"])
    return OriginalTrial(study, trial, study.settings(trial), launches, rows, sources, unreadable)


def _choose(study: StudySummary, number: int | None) -> TrialSummary:
    """The trial of a number, or the winner, if it can be compared."""
    root = study.folder.root
    if number is None:
        if study.winner is None:
            raise StudyFolderError(f"{root}: no trial is complete yet; name another by --trial")
        return study.winner
    trial = next((trial for trial in study.trials if trial.number == number), None)
    if trial is None:
        known = f"the study has 0 to {len(study.trials) - 1}" if study.trials else "the study has none yet"
        raise ConfigError(f"--trial: {number} is no trial; {known}")
    if not trial.ended:
        raise StudyFolderError(
            f"trial {number} has not ended ({trial.state}); 'resume --study {root}' ends it"
        )
    if not trial.record.epoch and not trial.record.failure:
        raise StudyFolderError(f"trial {number} has no epoch that could be compared; name another by --trial")
    return trial


def _rows(storage: str, number: int, epochs: int, unreadable: list[str]) -> list[ResultRow]:
    """What Ray wrote of a trial in all launches; adds to `unreadable` what cannot be read."""
    try:
        files = ResultFiles(storage)
        rows = [row for session in files.sessions() for row in files.rows(session, number, unreadable)]
    except (OSError, ValueError) as error:
        unreadable.append(f"{storage}: cannot be read ({one_line(error)})")
        rows = []
    if missing := set(range(1, epochs + 1)) - {row.epoch for row in rows}:
        unreadable.append(f"for {len(missing)} epochs only the score is recorded")
    return rows


def _launches(rows: list[ResultRow], launches: list[Any]) -> dict[int, object]:
    """The launches that ran the trial; all of the study's where Ray's files do not name them."""
    last = {row.epoch: row.session for row in rows}
    numbers = sorted(set(last.values())) or range(1, len(launches) + 1)
    return {number: launches[number - 1] if 0 < number <= len(launches) else None for number in numbers}


@dataclass(frozen=True)
class EnvironmentChange:
    """A difference, certain or possible, between the environments of a trial and of its rerun.

    Attributes:
        line: The difference in words.
        explains: Whether figures may differ because of it.
    """

    line: str
    explains: bool = True


def trial_changes(original: OriginalTrial, device: str, backbone_fingerprint: str) -> list[EnvironmentChange]:
    """Reasons, particular to the trial, why its rerun may differ.

    `device` is the type of the rerun's, and the fingerprint that of its pretrained backbone, if any.
    """
    settings, lines = original.settings, []
    epochs = [row.values for row in original.rows if row.epoch]
    accumulated = {value for row in epochs if is_number(value := row.get(names.ACCUMULATE))}
    if len(accumulated | {settings.accumulate}) > 1:
        lines.append(
            f"accumulate changed while the trial ran and is {settings.accumulate} now: "
            "the rerun cannot be bit-equal"
        )
    if not settings.threads:
        lines.append(f"threads: left to PyTorch then, so {NOT_RECORDED}")
    if original.on_gpu and device != "cpu":
        lines.append("a GPU adds some sums in varying order: the rerun need not be bit-equal")
    hosts = sorted({str(row.get("hostname"))[:60] for row in epochs})
    if len(hosts) > 1 or original.study.config.address:
        lines.append(f"ran on {', '.join(hosts) or 'a node'} of a cluster, whose CPU is {NOT_RECORDED}")
    changes = [*map(EnvironmentChange, lines), *_backbone_changes(original, backbone_fingerprint)]
    return [*changes, *(EnvironmentChange(line, explains=False) for line in original.unreadable)]


def launch_changes(
    launches: Mapping[int, object], now: Mapping[str, Any], *, gpu_then: bool, gpu_now: bool
) -> list[EnvironmentChange]:
    """Differences between the recorded launches and the present environment, each once.

    `launches` has the entry of each launch in `provenance.json`, by its number; anyone can have edited it.
    `now` is what `describe_run` returns.
    """
    launches_of: dict[EnvironmentChange, list[int]] = {}
    for number, launch in launches.items():
        for change in _changes_since(launch, now, gpu_then, gpu_now):
            launches_of.setdefault(change, []).append(number)
    found = []
    for change, numbers in launches_of.items():
        of_launches = "" if len(numbers) == len(launches) else f" (launch {', '.join(map(str, numbers))})"
        found.append(EnvironmentChange(change.line + of_launches, change.explains))
    more = len(found) - _MAX_LINES
    return found if more <= 0 else [*found[:_MAX_LINES], EnvironmentChange(f"and {more} more")]


def _backbone_changes(original: OriginalTrial, fingerprint: str) -> Iterator[EnvironmentChange]:
    """Whether the trial began with the same pretrained weights; later launches resumed from checkpoints."""
    backbone, name = original.settings.backbone, original.settings.pretrained
    if name == "none":
        return
    first = sorted(original.launches)[:1] if original.rows else original.launches
    recorded = {recorded_fingerprint(original.launches[launch], backbone, name) for launch in first}
    if not recorded or None in recorded:
        # Downloaded ImageNet weights are hash-checked, so an unrecorded hash explains nothing.
        line = f"pretrained: the hash of the {name} weights used then was {NOT_RECORDED}"
        yield EnvironmentChange(line, name not in IMAGENET)
    elif others := sorted(f"{other:.12}" for other in recorded if other and other != fingerprint):
        yield EnvironmentChange(
            f"pretrained: {name} had other weights then ({', '.join(others)}, {fingerprint:.12} now)"
        )


def _changes_since(
    launch: object, now: Mapping[str, Any], gpu_then: bool, gpu_now: bool
) -> Iterator[EnvironmentChange]:
    if not isinstance(launch, Mapping) or not is_launch(launch):
        yield EnvironmentChange(f"what the study ran with: {NOT_RECORDED}")
        return
    missing = dict.fromkeys([*launch.get("packages", {}), *now["packages"]], "not installed")
    then = {**missing, **launch.get("packages", {}), **_machine(launch, gpu_then)}
    today = {**missing, **now["packages"], **_machine(now, gpu_now)}
    for name, was in then.items():
        if was != today[name]:
            before = f": {NOT_RECORDED}" if was is None else f" was {_short(was)}"
            line = f"{_short(name)}{before}, is {_short(today[name])} now"
            yield EnvironmentChange(line, explains=name != "platform")
    yield from _code_changes(launch, now)


def _machine(launch: Mapping[str, Any], gpu: bool) -> dict[str, Any]:
    """Python and the machine of a launch; None for unknown values."""
    hardware = launch.get("hardware", {})
    gpus = hardware.get("gpus")
    known = (", ".join(sorted(set(map(_short, gpus)))) or "a GPU") if isinstance(gpus, list) else None
    return {
        "python": launch.get("python"),
        "CPU": hardware.get("cpu"),
        "CPU instruction set": hardware.get("instruction_set"),
        "platform": hardware.get("platform"),
        "device": known if gpu else "the CPU",
    }


def _code_changes(launch: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[EnvironmentChange]:
    """The hash of the program's own files decides; where it was not recorded, a clean commit does."""
    was, is_now = code_of(launch), code_of(now)
    same = f"same {is_now}" if now["git"] else f"{is_now} then and now"
    if launch.get("sources") is None:
        if was != is_now:
            yield EnvironmentChange(f"code was {_short(was)}, is {is_now} now")
        elif not now["git"] or now["git"]["dirty"]:
            yield EnvironmentChange(
                f"code: {same}; {NOT_RECORDED} whether its uncommitted changes are the same"
            )
        return
    same_files = launch["sources"] == now["sources"]
    if was != is_now:
        files = ", with the same program files" if same_files else ""
        yield EnvironmentChange(f"code was {_short(was)}, is {is_now} now{files}", not same_files)
    elif not same_files:
        yield EnvironmentChange(f"code: {same}, but other uncommitted changes")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}…"
