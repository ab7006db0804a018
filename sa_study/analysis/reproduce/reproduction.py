"""Trains a trial again in this process and judges whether that reproduces it; kept in `reproduction.json`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sa_study.analysis.reproduce.compare_epochs import (
    FigureDifference,
    compare,
    contradictions,
    disagreements,
    largest_differences,
)
from sa_study.analysis.reproduce.original import (
    RAY_RESULTS,
    EnvironmentChange,
    OriginalTrial,
    launch_changes,
    trial_changes,
)
from sa_study.data.store import TrainingData, load_training_data
from sa_study.provenance import describe_run, require_same_images
from sa_study.study.winner import best_checkpoint_file, checkpoint_mismatch, same_weights
from sa_study.training.checkpoint import load_checkpoint
from sa_study.training.trainer import Trainer, pretrained_backbone
from sa_study.tuning.launch.pretrained import fingerprint
from sa_study.utils.errors import Diverged, StudyError, StudyFolderError, one_line
from sa_study.utils.files import read_json, write_json
from sa_study.utils.progress import ProgressCallback

EQUAL, WITHIN, DIFFERENT = "equal", "within tolerance", "different"
_NOT_COMPARED = "not compared"
_REPRODUCTIONS = "reproductions"


@dataclass
class Rerun:
    """The outcome of training a trial again.

    Attributes:
        epochs: Figures by epoch.
        weights: The network's state at the recorded best epoch; None if training did not reach that epoch.
        failure: Why training stopped early, or empty.
        device: The type of the device.
        backbone_fingerprint: Fingerprint of the pretrained backbone; empty for random weights.
    """

    epochs: dict[int, dict[str, float]] = field(default_factory=dict)
    weights: dict[str, Tensor] | None = None
    failure: str = ""
    device: str = "cpu"
    backbone_fingerprint: str = ""


def load_images(original: OriginalTrial, data_dir: Path | None, progress: ProgressCallback) -> TrainingData:
    """Decodes the trial's training and validation images; DataError if they are not the study's."""
    study = original.study
    data = load_training_data(study.config.dataset(data_dir), original.settings, progress)
    require_same_images(study.folder.provenance, data.store.fingerprint, data_dir or study.config.data_dir)
    return data


def rerun_trial(
    original: OriginalTrial, data: TrainingData, on_epoch: Callable[[Mapping[str, float]], None]
) -> Rerun:
    """Trains with a trial's settings up to its last epoch; of a failed trial, the one in which it failed.

    Raises:
        StudyError: The settings cannot be used on this machine.
    """
    settings = original.settings
    if settings.device == "cuda":  # without a GPU, the CPU may still come within the tolerance
        settings = dataclasses.replace(settings, device="auto")
    start = pretrained_backbone(settings.backbone, settings.pretrained)
    trainer = Trainer(settings, data, start)
    rerun = Rerun(device=trainer.device.type, backbone_fingerprint=fingerprint(start) if start else "")
    while trainer.epoch < original.last_epoch:
        try:
            figures = trainer.run_epoch()
        except Diverged as error:
            rerun.failure = str(error)
            break
        except (RuntimeError, ValueError, ArithmeticError, MemoryError) as error:
            if not original.failure and not isinstance(error, torch.OutOfMemoryError):
                raise  # a fault of this program
            rerun.failure = f"epoch {trainer.epoch + 1}: {one_line(error)}"
            break
        rerun.epochs[trainer.epoch] = figures
        if trainer.epoch == original.summary.best_epoch:
            state = trainer.checkpoint().state_dict
            rerun.weights = {name: value.detach().cpu().clone() for name, value in state.items()}
        on_epoch(figures)
    return rerun


@dataclass(frozen=True)
class Reproduction:
    """A trial beside its rerun, and whether the rerun reproduces it.

    Attributes:
        original: The trial.
        rerun: Its rerun.
        tolerance: In points of the study's metric.
        result: `equal`, `within tolerance` or `different`.
        reasons: Why it is not equal, the decisive reason first.
        differences: Every figure that differs.
        weights: Whether the best epoch's weights are `equal` or `different`, or `not compared`.
        changes: Differences between the environments of trial and rerun, and why weights were not compared.
        now: What `describe_run` returned at the comparison.
    """

    original: OriginalTrial
    rerun: Rerun
    tolerance: float
    result: str
    reasons: Sequence[str]
    differences: Sequence[FigureDifference]
    weights: str
    changes: Sequence[EnvironmentChange]
    now: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The reproduction as plain values, as `reproduction.json` keeps it."""
        original, metric = self.original.summary, self.original.metric
        return {
            "time": self.now["time"],
            "command": self.now["command"],
            "trial": original.number,
            "result": self.result,
            "tolerance": self.tolerance,
            "epochs": len(self.rerun.epochs),
            "metric": metric,
            "recorded": original.score,
            "rerun": self.rerun.epochs.get(original.best_epoch or 0, {}).get(metric),
            "largest_difference": largest_differences(self.original.sources.values(), self.differences),
            "weights": self.weights,
            "differs": [change.line for change in self.changes],
        }


def judge_rerun(original: OriginalTrial, rerun: Rerun, tolerance: float) -> Reproduction:
    """Judges whether a rerun reproduces a trial.

    All figures must be equal where nothing that they depend on has changed. Elsewhere the study's metric at
    the best epoch must be within the tolerance, in points, and the record must not contradict itself.
    """
    now = describe_run()
    changes = trial_changes(original, rerun.device, rerun.backbone_fingerprint)
    gpus = {"gpu_then": original.on_gpu, "gpu_now": rerun.device != "cpu"}
    changes += launch_changes(original.launches, now, **gpus)
    weights, why_not_compared = compare_weights(original, rerun.weights)
    if why_not_compared:
        changes.append(EnvironmentChange(why_not_compared, explains=False))
    differences = _differences(original, rerun)
    failure = failure_difference(original.failure, rerun.failure)
    weights_differ = "the best epoch's weights differ" if weights == DIFFERENT else ""
    unequal = [line for line in (failure, *map(str, differences), weights_differ) if line]
    reasons: list[str] = []
    if unequal:
        reasons = _decisive_differences(original, rerun, differences, tolerance, weights)
        if weights_differ and not differences and not reasons and original.trained_epochs:
            reasons = [f"{weights_differ}, though every figure is equal: the checkpoint was changed"]
        if not any(change.explains for change in changes):
            reasons.append(
                f"{unequal[0]}, though nothing that figures depend on differs between then and now"
            )
    result = DIFFERENT if reasons else WITHIN if unequal else EQUAL
    if result == WITHIN and failure:
        reasons = [failure]
    return Reproduction(original, rerun, tolerance, result, reasons, differences, weights, changes, now)


def compare_weights(original: OriginalTrial, weights: Mapping[str, Tensor] | None) -> tuple[str, str]:
    """Compares the weights of the best epoch with those of the best checkpoint, bit by bit.

    Returns:
        `equal`, `different` or `not compared`, and in words why they were not compared.
    """
    if not original.summary.best_epoch:
        return _NOT_COMPARED, ""
    if weights is None:
        return _NOT_COMPARED, "weights: not compared, as the rerun did not reach the best epoch"
    try:
        with best_checkpoint_file(original.study, original.summary) as path:
            checkpoint = load_checkpoint(path)
    except StudyError as error:
        return _NOT_COMPARED, f"weights: not compared ({one_line(error)})"
    best = original.summary.record.best
    if mismatch := checkpoint_mismatch(checkpoint, original.summary, best, original.settings):
        return _NOT_COMPARED, f"weights: not compared, as the best checkpoint {mismatch}"
    return EQUAL if same_weights(checkpoint.state_dict, weights) else DIFFERENT, ""


def failure_difference(recorded: str, rerun: str) -> str:
    """How two runs' failures differ, in words; empty where they do not, or neither run failed."""
    if recorded == rerun or (recorded and rerun and not _failed_epoch(recorded)):
        return ""  # a process that died leaves no reason to compare
    if not rerun:
        return f"the failure was not reproduced ({recorded})"
    return f"the rerun failed: {rerun}" + (f"; recorded: {recorded}" if recorded else "")


def read_reproductions(path: Path) -> list[Any]:
    """A study's reproductions, the latest last, none without a file; StudyFolderError if it is damaged."""
    try:
        found = read_json(path)[_REPRODUCTIONS] if path.exists() else []
        if not isinstance(found, list):
            raise ValueError(_REPRODUCTIONS)
    except (OSError, ValueError, KeyError):
        raise StudyFolderError(
            f"{path}: is damaged; move it away; the next reproduction starts a new file"
        ) from None
    return found


def add_reproduction(path: Path, new: Mapping[str, Any]) -> None:
    """Adds a reproduction to a study's file of them; raises as `read_reproductions`."""
    write_json(path, {_REPRODUCTIONS: [*read_reproductions(path), new]})


def _differences(original: OriginalTrial, rerun: Rerun) -> list[FigureDifference]:
    """Every figure that differs, once where several sources have the same value."""
    found: dict[tuple[int, str, str], FigureDifference] = {}
    for source, epochs in original.sources.items():
        for difference in compare(source, epochs, rerun.epochs, whole=source == RAY_RESULTS):
            found.setdefault((difference.epoch, difference.figure, repr(difference.recorded)), difference)
    return list(found.values())


def _decisive_differences(
    original: OriginalTrial,
    rerun: Rerun,
    differences: Sequence[FigureDifference],
    tolerance: float,
    weights: str,
) -> list[str]:
    """Why a rerun does not reproduce a trial: differences that no change of the environment explains."""
    reasons, recorded, best = [], original.failure, original.summary.best_epoch
    failed_in = _failed_epoch(recorded)
    other_epoch = failed_in > 0 and failed_in != _failed_epoch(rerun.failure)
    if bool(recorded) != bool(rerun.failure) or other_epoch:
        reasons.append(failure_difference(recorded, rerun.failure))
    for difference in differences:
        if (difference.figure, difference.epoch) == (original.metric, best) and (
            difference.size is None or 100 * difference.size > tolerance
        ):
            reasons.append(f"{difference}: more than {tolerance:g} points apart")
    reasons += disagreements(original.sources, original.varying_epochs)
    epoch_with_equal_weights = (best or 0) if weights == EQUAL else 0
    return reasons + contradictions(differences, original.trained_epochs, tolerance, epoch_with_equal_weights)


def _failed_epoch(failure: str) -> int:
    """The epoch that a failure names, or 0."""
    match = re.match(r"epoch (\d{1,9}):", failure, re.ASCII)
    return int(match[1]) if match else 0
