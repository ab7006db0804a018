"""A conventional pipeline beside this one, and several trials beside each other on one GPU."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial
from typing import Any

import packing
import torch
from training import measure_usual

from gpu_checks.sizes import Job, Sizes

TRIAL_STEPS, TRIAL_EPOCHS = 30, 2
SECONDS_TO_START = 120.0


def loader_jobs(sizes: Sizes) -> Iterator[Job]:
    batch, steps = next(iter(sizes.steps.items()))
    settings = dataclasses.replace(sizes.network, batch_size=batch)
    for workers in sizes.workers:

        def measure(workers: int = workers) -> dict[str, Any]:
            (row,) = measure_usual(f"batch {batch}", settings, steps, sizes.rounds, (workers,))
            return {f"{name}, images/s": rate for name, rate in row["images_per_second"].items()}

        yield f"DataLoader, {workers} workers, fp32", measure


def trial_jobs(sizes: Sizes) -> Iterator[Job]:
    full = torch.cuda.is_available()
    steps, epochs = (TRIAL_STEPS, TRIAL_EPOCHS) if full else (1, 1)
    settings = dataclasses.replace(sizes.network, **list(sizes.variants.values())[-1])
    for trials in sizes.trials:
        measured = partial(packing.measure, trials, steps, epochs, settings, SECONDS_TO_START)
        yield f"{trials} at a time", partial(of_trials, measured)


def of_trials(measured: Any) -> dict[str, Any]:
    row = measured()
    return {"images/s, all": row["images_per_second"], "trials/hour": row["trials_per_hour"]}
