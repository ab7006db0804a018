"""One function a kind of contradiction; each yields a line for everything that it finds."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from optuna.trial import FrozenTrial, TrialState

from sa_study.analysis.audit.evidence import Evidence, same
from sa_study.metrics import names
from sa_study.provenance import count_launches
from sa_study.settings.run import Settings, completed
from sa_study.settings.yaml_files import read_yaml
from sa_study.study.lock import current_driver
from sa_study.study.records import ENDED, TrialRecord, step_of, trial_settings
from sa_study.study.result_files import ResultRow
from sa_study.training.checkpoint import FILE_NAME, Checkpoint, load_checkpoint
from sa_study.training.score import best_epoch
from sa_study.training.tensorboard.tags import tag_of
from sa_study.utils.errors import StudyError

_MAX_MISSING_NAMED = 1000
"""Missing trials that are named."""


def check_numbers(evidence: Evidence) -> Iterator[str]:
    """Every trial is there once, and there are no more than were asked for."""
    numbers = Counter(evidence.numbers)
    yield from (f"trial {number}: is there {count} times" for number, count in numbers.items() if count > 1)
    missing = (number for number in range(max(numbers, default=-1)) if number not in numbers)
    yield from (f"trial {number}: is missing" for number in itertools.islice(missing, _MAX_MISSING_NAMED))
    ended = sum(trial.state in ENDED for trial in evidence.trials)
    if ended > evidence.config.trials:
        yield f"{ended} trials have ended, but {evidence.config.trials} were asked for"


def check_states(evidence: Evidence) -> Iterator[str]:
    """A trial's state and value follow from its record."""
    running = current_driver(evidence.folder.lock) is not None
    for trial, record in evidence.records:
        if trial.state == TrialState.RUNNING:
            if not running:
                yield f"trial {trial.number}: is RUNNING, but no driver runs"
        elif trial.state in ENDED:
            yield from (f"trial {trial.number}: {line}" for line in _end(trial, record, evidence))


def _end(trial: FrozenTrial, record: TrialRecord, evidence: Evidence) -> Iterator[str]:
    metric, state = evidence.config.metric, trial.state
    whole = trial_settings(evidence.config.space, trial.params, record).epochs
    if not record.over:
        yield f"is {state.name}, but its record does not say that it has ended"
    elif state != record.final_state:
        yield f"is {state.name}, but its record says {record.final_state.name}"
    if (state == TrialState.COMPLETE) != (record.epoch == whole and not record.failure):
        yield f"is {state.name} after {record.epoch} of {whole} epochs"
    if state == TrialState.FAIL and not record.failure:
        yield "is FAIL without a reason"
    expected = {
        TrialState.COMPLETE: record.best.get(metric),
        TrialState.PRUNED: record.last.get(metric),
        TrialState.FAIL: None,
    }[state]
    value = trial.values[0] if trial.values else None
    if value != expected:
        yield f"is {state.name} with the value {value}, its record has {expected}"


def check_results(evidence: Evidence) -> Iterator[str]:
    """Ray's results, Optuna's intermediate values and the record are the same epochs."""
    metric, known = evidence.config.metric, {trial.number for trial in evidence.trials}
    yield from (
        f"trial {number}: has results, but Optuna has no such trial"
        for number in evidence.rows.keys() - known
    )
    for trial, record in evidence.records:
        epochs = evidence.epochs(trial.number)
        name = f"trial {trial.number}"
        if sorted(epochs) != list(range(1, record.epoch + 1)):
            yield f"{name}: Ray has results of the epochs {sorted(epochs)}, the record of {record.epoch}"
        values = {step_of(figures[names.PROGRESS]): figures[metric] for figures in epochs.values()}
        for step in sorted(values.keys() | trial.intermediate_values.keys()):
            one, other = trial.intermediate_values.get(step), values.get(step)
            if one != other:
                yield f"{name}: at step {step} Optuna has {one}, Ray {other}"
        for what, figures in (("last", record.last), ("best", record.best)):
            if figures and not same(figures, epochs.get(int(figures[names.EPOCH]), {})):
                yield f"{name}: its record's {what} epoch is not what Ray has of it"
        if epochs and record.best.get(names.EPOCH) != best_epoch(epochs.values(), metric)[names.EPOCH]:
            yield f"{name}: its record's best epoch is not the best of its results"
        yield from (
            f"{name}: {line}" for line in _rows(evidence.rows.get(trial.number, []), record, evidence)
        )


def _rows(rows: list[ResultRow], record: TrialRecord, evidence: Evidence) -> Iterator[str]:
    """What was written of an epoch more than once is the same; failures are the record's."""
    seen: dict[int, ResultRow] = {}
    for row in rows:
        reason = row.values.get(names.FAILURE)
        if reason is not None and reason != record.failure:
            yield f"Ray has the failure {reason!r}, the record {record.failure!r}"
        if not row.epoch:
            continue
        earlier = seen.setdefault(row.epoch, row)
        if evidence.exact and not same(earlier.values, row.values):
            yield (f"epoch {row.epoch} in session {row.session} is not as in session {earlier.session}")
    if len([row for row in rows if row.epoch]) < record.epochs_run:
        yield f"{record.epochs_run} epochs were paid for, Ray has results of fewer"


def check_curves(evidence: Evidence) -> Iterator[str]:
    """TensorBoard shows each epoch once with Ray's figures, and each ended trial in its HParams table."""
    for number in evidence.curves.keys() - {trial.number for trial in evidence.trials}:
        yield f"trial {number}: has curves, but Optuna has no such trial"
    for trial, record in evidence.records:
        curves, epochs = evidence.curves.get(trial.number), evidence.epochs(trial.number)
        name = f"trial {trial.number}"
        if curves is None:
            if epochs or trial.state in ENDED:
                yield f"{name}: has no curves"
            continue
        if curves.repeated:
            yield f"{name}: TensorBoard has steps twice of {', '.join(curves.repeated)}"
        wanted: dict[str, dict[int, float]] = {}
        for epoch, figures in epochs.items():
            for figure, value in figures.items():
                if tag := tag_of(figure):
                    wanted.setdefault(tag, {})[epoch] = value
        other = [tag for tag, values in wanted.items() if not _equal(curves.scalars.get(tag, {}), values)]
        if other:
            yield f"{name}: TensorBoard has other values than Ray of {', '.join(other)}"
        yield from (f"{name}: {line}" for line in _hparams(trial, record, curves.scalars, curves.hparams))


def _hparams(
    trial: FrozenTrial, record: TrialRecord, scalars: Mapping[str, Mapping[int, float]], there: bool
) -> Iterator[str]:
    if trial.state not in ENDED:
        return
    if not there:
        yield "is not in TensorBoard's HParams table"
    for name in (names.EPOCH, *names.RANKING):
        if there and name in record.best:
            shown = list(scalars.get(f"best/{name}", {}).values())
            if shown[-1:] != [float(np.float32(record.best[name]))]:
                yield f"TensorBoard's best/{name} is not the best epoch's"


def _equal(shown: Mapping[int, float], values: Mapping[int, float]) -> bool:
    """Whether a curve has these values, which TensorBoard keeps in 32 bits."""
    return dict(shown) == {step: float(np.float32(value)) for step, value in values.items()}


def check_checkpoints(evidence: Evidence) -> Iterator[str]:
    """Checkpoints that a record refers to load, are of their epoch, and hold the curve up to there."""
    for trial, record in evidence.records:
        places = {record.last_checkpoint: record.last, record.best_checkpoint: record.best}
        for path, figures in places.items():
            if not figures:
                continue
            if not path:
                yield f"trial {trial.number}: has epochs, but no checkpoint"
                continue
            epoch, found = int(figures[names.EPOCH]), _load(evidence, path)
            where = f"trial {trial.number}: the checkpoint {path}"
            if isinstance(found, str):
                yield f"{where} cannot be used ({found})"
            elif found.epoch != epoch:
                yield f"{where} is of epoch {found.epoch}, not {epoch}"
            elif (
                not _settings_of(trial, record, evidence).items()
                <= _without_parts(completed(found.settings)).items()
            ):
                yield f"{where} was made with other settings"
            elif not _holds_curve(found, epoch, evidence.epochs(trial.number)):
                yield f"{where} has another history than Ray"


def _settings_of(trial: FrozenTrial, record: TrialRecord, evidence: Evidence) -> dict[str, Any]:
    return _without_parts(trial_settings(evidence.config.space, trial.params, record).to_dict())


def _without_parts(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings less the number of parts a batch, which a full GPU memory may change on the way."""
    return {name: value for name, value in settings.items() if name != names.ACCUMULATE}


def _load(evidence: Evidence, path: str) -> Checkpoint | str:
    """A checkpoint of the trials' storage, or why it cannot be used."""
    try:
        with evidence.storage.checkpoint(path).as_directory() as folder:
            return load_checkpoint(Path(folder) / FILE_NAME)
    except (OSError, StudyError) as error:
        return str(error)


def _holds_curve(found: Checkpoint, epoch: int, epochs: Mapping[int, Mapping[str, Any]]) -> bool:
    told = [epochs.get(number, {}) for number in range(1, epoch + 1)]
    return len(found.history) == epoch and all(map(same, found.history, told))


def check_best(evidence: Evidence) -> Iterator[str]:
    """`best.yaml` and `best.pt` are the winner's best epoch."""
    folder, metric = evidence.folder, evidence.config.metric
    complete = [pair for pair in evidence.records if pair[0].state == TrialState.COMPLETE]
    there = [path.name for path in (folder.best_settings, folder.best_weights) if path.exists()]
    if not complete:
        yield from (f"{name}: is there, but no trial is complete" for name in there)
        return
    trial, record = max(complete, key=lambda pair: (pair[1].best.get(metric, 0.0), -pair[0].number))
    try:
        best = load_checkpoint(folder.best_weights)
        settings = Settings.from_mapping(read_yaml(folder.best_settings)).to_dict()
    except (OSError, StudyError) as error:
        yield f"the winner's files cannot be read: {error}"
        return
    wanted = trial_settings(evidence.config.space, trial.params, record).to_dict()
    if settings != wanted:
        yield f"best.yaml: is not the settings of trial {trial.number}, the best"
    original = _load(evidence, record.best_checkpoint)
    if isinstance(original, str):
        return  # `check_checkpoints` names it
    if (
        best.epoch != original.epoch
        or best.settings != original.settings
        or not _weights_equal(best, original)
    ):
        yield f"best.pt: is not epoch {original.epoch} of trial {trial.number}, the best"


def _weights_equal(one: Checkpoint, other: Checkpoint) -> bool:
    mine, theirs = one.state_dict, other.state_dict
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def check_ray(evidence: Evidence) -> Iterator[str]:
    """Ray's snapshots, which may be some seconds old, know nothing that the database does not."""
    known = {trial.number: (trial, record) for trial, record in evidence.records}
    for session, snapshot in evidence.snapshots.items():
        for ray in snapshot:
            number = ray["config"]["number"]
            name = f"session {session}: trial {number}"
            if number not in known:
                yield f"{name} is known to Ray, but not to Optuna"
                continue
            yield from (f"{name} {line}" for line in _agrees(ray, *known[number]))


def _agrees(ray: Mapping[str, Any], trial: FrozenTrial, record: TrialRecord) -> Iterator[str]:
    if ray["config"]["suggested"] != trial.params:
        yield f"runs {ray['config']['suggested']} in Ray, {trial.params} in Optuna"
    last = ray.get("last_result") or {}
    if last.get(names.EPOCH, 0) > record.epoch:
        yield f"has run {last[names.EPOCH]} epochs in Ray, {record.epoch} in Optuna"
    if ray["status"] == "ERROR" and trial.state != TrialState.FAIL:
        yield f"is ERROR in Ray, {trial.state.name} in Optuna"
    if ray["status"] != "ERROR" and last.get(names.FAILURE) and trial.state != TrialState.FAIL:
        yield f"failed in Ray, is {trial.state.name} in Optuna"


def check_launches(evidence: Evidence) -> Iterator[str]:
    """Each session is that of a launch; one killed before its session began may lack it."""
    launches = count_launches(evidence.folder.provenance)
    for session in evidence.sessions:
        if not 1 <= session <= launches:
            yield f"session {session}: is there, but provenance.json tells of {launches} launches"
