"""The checks of `audit`: one function for each kind of contradiction, which yields a line for every one.

To add a check, add a function of this kind to `_CHECKS`.
A trial's record is its `TrialRecord`, an attribute of the trial in `optuna.db`.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sa_study.analysis.audit.evidence import Evidence, read_evidence, same
from sa_study.analysis.audit.replay import check_stopping
from sa_study.metrics import names
from sa_study.settings.run import Settings
from sa_study.settings.yaml_files import read_yaml
from sa_study.study.records import step_of
from sa_study.study.result_files import ResultRow
from sa_study.study.storage import Storage
from sa_study.study.trial_summary import TrialSummary
from sa_study.study.winner import checkpoint_mismatch, same_weights
from sa_study.training.checkpoint import FILE_NAME, Checkpoint, load_checkpoint
from sa_study.training.score import best_epoch
from sa_study.utils.errors import StudyError

_MAX_MISSING_NAMED = 1000  # largest number of missing trials to list


def check_numbers(evidence: Evidence) -> Iterator[str]:
    """Every trial is stored once, no more have ended than were asked for, and files are of known trials."""
    numbers = Counter(evidence.numbers)
    yield from (f"trial {number}: is stored {count} times" for number, count in numbers.items() if count > 1)
    missing = (number for number in range(max(numbers, default=-1)) if number not in numbers)
    yield from (f"trial {number}: is missing" for number in itertools.islice(missing, _MAX_MISSING_NAMED))
    ended, asked = evidence.study.ended, evidence.study.config.trials
    if ended > asked:
        yield f"{ended} trials have ended, but {asked} were asked for"
    known = {trial.number for trial in evidence.study.trials}
    for what, found in (("results", evidence.rows), ("curves", evidence.curves)):
        for number in found.keys() - known:
            yield f"trial {number}: has {what}, but Optuna has no such trial"


def check_state(trial: TrialSummary, evidence: Evidence) -> Iterator[str]:
    """A trial's state and value follow from its record."""
    record, state = trial.record, trial.state
    if state == "RUNNING" and not evidence.study.driver:
        yield "is RUNNING, but no driver runs"
    if not trial.ended:
        return
    if not record.over:
        yield f"is {state}, but its record does not say that it has ended"
    elif state != record.final_state.name:
        yield f"is {state}, but its record says {record.final_state.name}"
    if trial.complete != (record.epoch == trial.epochs and not record.failure):
        yield f"is {state} after {record.epoch} of {trial.epochs} epochs"
    if state == "FAIL" and not record.failure:
        yield "is FAIL without a reason"
    figures = {"COMPLETE": record.best, "PRUNED": record.last, "FAIL": {}}[state]
    value, expected = next(iter(trial.values), None), figures.get(trial.metric)
    if value != expected:
        yield f"is {state} with the value {value}, but its record has {expected}"


def check_results(trial: TrialSummary, evidence: Evidence) -> Iterator[str]:
    """Ray's results, Optuna's intermediate values and the record are the same epochs."""
    record, epochs, metric = trial.record, evidence.epochs(trial.number), trial.metric
    if (found := sorted(epochs)) != list(range(1, record.epoch + 1)):
        yield f"Ray has results of epochs {found}; the record ends at epoch {record.epoch}"
    in_ray = {step_of(figures[names.PROGRESS]): figures[metric] for figures in epochs.values()}
    in_optuna = {step_of(progress): value for progress, value in trial.curve}
    for step in sorted(in_ray.keys() | in_optuna.keys()):
        if in_optuna.get(step) != in_ray.get(step):
            yield f"at step {step} Optuna has {in_optuna.get(step)}, Ray {in_ray.get(step)}"
    for what, figures in (("last", record.last), ("best", record.best)):
        if figures and not same(figures, epochs.get(int(figures[names.EPOCH]), {})):
            yield f"the {what} epoch in its record differs from Ray's"
    if epochs and record.best.get(names.EPOCH) != best_epoch(epochs.values(), metric)[names.EPOCH]:
        yield "the best epoch in its record is not the best in Ray's results"


def check_rows(trial: TrialSummary, evidence: Evidence) -> Iterator[str]:
    """Repeated results of an epoch agree, and a failure in them is the one in the record."""
    record, rows = trial.record, evidence.rows.get(trial.number, [])
    first: dict[int, ResultRow] = {}
    for row in rows:
        reason = row.values.get(names.FAILURE)
        if reason is not None and reason != record.failure:
            yield f"Ray has the failure {reason!r}, the record {record.failure!r}"
        if not row.epoch:
            continue
        earlier = first.setdefault(row.epoch, row)
        if evidence.exact and not same(earlier.values, row.values):
            yield f"epoch {row.epoch}: session {row.session} has other figures than session {earlier.session}"
    if sum(row.epoch > 0 for row in rows) < record.epochs_run:
        yield f"the record counts {record.epochs_run} trained epochs; Ray's result files hold fewer"


def check_curves(trial: TrialSummary, evidence: Evidence) -> Iterator[str]:
    """TensorBoard shows each epoch once with Ray's figures, and each ended trial in its HParams table."""
    curves, epochs = evidence.curves.get(trial.number), evidence.epochs(trial.number)
    if curves is None:
        if epochs or trial.ended:
            yield "has no curves"
        return
    if curves.repeated:
        yield f"TensorBoard has repeated steps of {', '.join(curves.repeated)}"
    wanted: dict[str, dict[int, float]] = {}
    for epoch, figures in epochs.items():
        for figure, value in figures.items():
            if tag := names.tag_of(figure):
                wanted.setdefault(tag, {})[epoch] = float(np.float32(value))  # TensorBoard keeps 32 bits
    if other := [tag for tag, values in wanted.items() if curves.scalars.get(tag, {}) != values]:
        yield f"TensorBoard and Ray have different values of {', '.join(other)}"
    if trial.ended and not curves.hparams:
        yield "is not in TensorBoard's HParams table"
    elif trial.ended:
        best = trial.record.best
        for name in (names.EPOCH, *names.RANKING):
            shown = list(curves.scalars.get(f"best/{name}", {}).values())
            if name in best and shown[-1:] != [float(np.float32(best[name]))]:
                yield f"TensorBoard's best/{name} is not the best epoch's"


def check_checkpoints(trial: TrialSummary, evidence: Evidence) -> Iterator[str]:
    """A record's checkpoints can be loaded, and match its epochs, the settings and Ray's history."""
    if trial.number in evidence.study.cleaned:
        return
    record = trial.record
    places = {record.last_checkpoint: record.last, record.best_checkpoint: record.best}
    for path, figures in places.items():
        if not figures:
            continue
        if not path:
            yield "has epochs, but no checkpoint"
            continue
        found = _load(evidence, path)
        if isinstance(found, str):
            yield f"the checkpoint {path} cannot be used ({found})"
        elif mismatch := checkpoint_mismatch(found, trial, figures, evidence.study.settings(trial)):
            yield f"the checkpoint {path} {mismatch}"
        elif not _has_history(found, evidence.epochs(trial.number)):
            yield f"the checkpoint {path} has another history than Ray"


def _load(evidence: Evidence, path: str) -> Checkpoint | str:
    """A checkpoint of the trials' storage, or why it cannot be used."""
    try:
        with Storage(evidence.study.storage_uri).checkpoint(path).as_directory() as folder:
            return load_checkpoint(Path(folder) / FILE_NAME)
    except (OSError, StudyError) as error:
        return str(error)


def _has_history(found: Checkpoint, epochs: Mapping[int, Mapping[str, Any]]) -> bool:
    """Whether a checkpoint's history, complete up to its epoch, has Ray's figures."""
    return len(found.history) == found.epoch and all(
        same(figures, epochs.get(number, {})) for number, figures in enumerate(found.history, start=1)
    )


def check_best(evidence: Evidence) -> Iterator[str]:
    """`best.yaml` and `best.pt` are the winner's best epoch."""
    folder, trial = evidence.study.folder, evidence.study.winner
    if trial is None:
        left = [path.name for path in (folder.best_settings, folder.best_weights) if path.exists()]
        yield from (f"{name}: exists, but no trial is complete" for name in left)
        return
    try:
        best = load_checkpoint(folder.best_weights)
        settings = Settings.from_mapping(read_yaml(folder.best_settings)).to_dict()
    except (OSError, StudyError) as error:
        yield f"the winner's files cannot be read: {error}"
        return
    if settings != evidence.study.settings(trial).to_dict():
        yield f"best.yaml: differs from the settings of trial {trial.number}, the best"
    original = _load(evidence, trial.record.best_checkpoint)
    if isinstance(original, str):
        return  # `check_checkpoints` names it
    same_epoch = (best.epoch, best.settings) == (original.epoch, original.settings)
    if not (same_epoch and same_weights(best.state_dict, original.state_dict)):
        yield f"best.pt: is not epoch {original.epoch} of trial {trial.number}, the best"


def check_ray(evidence: Evidence) -> Iterator[str]:
    """Ray's snapshots, which may be some seconds old, hold nothing that the database lacks."""
    known = {trial.number: trial for trial in evidence.study.trials}
    for session, snapshot in evidence.snapshots.items():
        for in_ray in snapshot:
            number = in_ray["config"]["number"]
            name = f"session {session}: trial {number}"
            if number not in known:
                yield f"{name} is known to Ray, but not to Optuna"
                continue
            yield from (f"{name} {line}" for line in _check_snapshot(in_ray, known[number]))


def _check_snapshot(in_ray: Mapping[str, Any], trial: TrialSummary) -> Iterator[str]:
    if in_ray["config"]["suggested"] != trial.params:
        yield f"runs {in_ray['config']['suggested']} in Ray, {trial.params} in Optuna"
    last = in_ray.get("last_result") or {}
    if last.get(names.EPOCH, 0) > trial.record.epoch:
        yield f"has run {last[names.EPOCH]} epochs in Ray, {trial.record.epoch} in Optuna"
    if in_ray["status"] == "ERROR" and trial.state != "FAIL":
        yield f"is ERROR in Ray, {trial.state} in Optuna"
    if in_ray["status"] != "ERROR" and last.get(names.FAILURE) and trial.state != "FAIL":
        yield f"failed in Ray, is {trial.state} in Optuna"


def check_launches(evidence: Evidence) -> Iterator[str]:
    """Each session of Ray belongs to a launch; a launch that was killed early may have none."""
    launches = len(evidence.study.provenance["launches"])
    for session in evidence.snapshots:
        if not 1 <= session <= launches:
            yield f"Ray has a folder of session {session}, but provenance.json lists only {launches} launches"


_TRIAL_CHECKS = (check_state, check_results, check_rows, check_curves, check_checkpoints)
_STUDY_CHECKS = (check_numbers, check_best, check_ray, check_launches, check_stopping)


def audit(root: Path) -> list[str]:
    """Looks for contradictions in a study whose trials have all ended; writes nothing.

    Returns:
        A line for each contradiction.

    Raises:
        StudyFolderError: The folder holds no study, or its database or description cannot be read.
    """
    evidence = read_evidence(root)
    of_study = itertools.chain.from_iterable(check(evidence) for check in _STUDY_CHECKS)
    of_trials = [
        f"trial {trial.number}: {line}"
        for check in _TRIAL_CHECKS
        for trial in evidence.study.trials
        for line in check(trial, evidence)
    ]
    return [*evidence.unreadable, *of_trials, *of_study]
