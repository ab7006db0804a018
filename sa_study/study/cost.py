"""What a study has cost, from what its trials and launches recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial

from sa_study.study.records import LAUNCH, read_record


@dataclass(frozen=True)
class Cost:
    """What was paid for, also where it was lost to a fault.

    Attributes:
        epochs: Epochs of all trials.
        seconds: Time spent in them.
        gpu_seconds: The same times the trials' GPUs, a shared GPU by its share.
        training_share: Of the time that slots were held, the share in which a trial was training; None before
            the first epoch.
    """

    epochs: int
    seconds: float
    gpu_seconds: float
    training_share: float | None


def study_cost(trials: Sequence[FrozenTrial], about: Mapping[str, Any]) -> Cost:
    """Adds up a study.

    Args:
        trials: Its trials.
        about: What is kept with the study; its launches are among it.
    """
    records = [read_record(trial) for trial in trials]
    launches = [used for name, used in about.items() if name.startswith(LAUNCH)]
    held = sum(used["slot_seconds"] for used in launches)
    training = sum(used["training_seconds"] for used in launches)
    return Cost(
        epochs=sum(record.epochs_run for record in records),
        seconds=sum(record.seconds for record in records),
        gpu_seconds=sum(record.gpu_seconds for record in records),
        training_share=training / held if held else None,
    )
