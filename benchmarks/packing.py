"""How many trials to run at a time on one GPU or one CPU: trials an hour by their number.

Usage: python benchmarks/packing.py [--trials 1,2,4,8] [--epochs N] [--json FILE]

Each trial is a process that trains with the real trainer, as in Ray's workers; all start together after a
warm-up. They share the GPU (the paper's network, 384×128, batch 48, bf16) or the CPU's cores (ResNet-18,
64×32, batch 32; each has its share of the threads, at least one). A trial counts as 100 epochs of Market-1501
on a GPU and as 12 epochs of 2,000 images on a CPU.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import time
from multiprocessing.synchronize import Barrier
from threading import BrokenBarrierError
from typing import Any

import torch
from harness import argument_parser, finish, table
from training import PAPER, SMALL, random_data

from sa_study.settings.run import Settings
from sa_study.training.trainer import Trainer
from sa_study.utils.machine import usable_cpus

CUDA_TRIAL = 100 * 12936
CPU_TRIAL = 12 * 2000

START_TIMEOUT = 600.0
"""Seconds after which a trial that has not started counts as failed."""


def settings_for(trials: int) -> Settings:
    """Returns the settings of each of this many concurrent trials."""
    if torch.cuda.is_available():
        return dataclasses.replace(PAPER, precision="bf16", channels_last=True)
    return dataclasses.replace(SMALL, threads=max(1, usable_cpus() // trials))


def trial(settings: Settings, steps: int, epochs: int, together: Barrier) -> None:
    """Trains; meant for a process of its own. All trials begin and end together."""
    trainer = Trainer(settings, random_data(steps * settings.batch_size))
    trainer.run_epoch()
    together.wait()
    for _ in range(epochs):
        trainer.run_epoch()
    together.wait()


def measure(
    trials: int, steps: int, epochs: int, chosen: Settings | None = None, timeout: float = START_TIMEOUT
) -> dict[str, Any]:
    """Measures this many concurrent trials, of `settings_for` unless others are chosen.

    Raises:
        RuntimeError: A trial did not start, or failed.
    """
    settings = chosen or settings_for(trials)
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(trials + 1, timeout=timeout)
    processes = [
        context.Process(target=trial, args=(settings, steps, epochs, together)) for _ in range(trials)
    ]
    for process in processes:
        process.start()
    try:
        together.wait()
        start = time.perf_counter()
        together.wait()
        seconds = time.perf_counter() - start
    except BrokenBarrierError:
        raise RuntimeError(f"one of {trials} trials did not start, or failed") from None
    finally:
        for process in processes:
            process.join(timeout=0 if together.broken else None)
            process.terminate()
    rate = trials * epochs * steps * settings.batch_size / seconds
    return {
        "trials": trials,
        "threads": settings.threads,
        "images_per_second": rate,
        "trials_per_hour": 3600 * rate / (CUDA_TRIAL if torch.cuda.is_available() else CPU_TRIAL),
    }


def main() -> None:
    parser = argument_parser(__doc__, "packing")
    cuda = torch.cuda.is_available()
    default = "1,2,4,8" if cuda else "1,2,4"
    parser.add_argument("--trials", default=default, help="numbers of trials at a time; default %(default)s")
    parser.add_argument("--epochs", type=int, default=2, help="epochs that are timed")
    parser.add_argument("--steps", type=int, default=60 if cuda else 12, help="steps of an epoch")
    asked = parser.parse_args()
    rows = [measure(int(number), asked.steps, asked.epochs) for number in asked.trials.split(",")]
    alone = rows[0]["trials_per_hour"]
    shown = table(
        f"Concurrent trials on {'one GPU' if cuda else f'{usable_cpus()} cores'}",
        ("trials", "threads each", "images/s, all", "trials/hour", "of the first"),
        [
            (
                found["trials"],
                "" if cuda else found["threads"],
                f"{found['images_per_second']:,.0f}",
                f"{found['trials_per_hour']:.1f}",
                f"{found['trials_per_hour'] / alone:.2f}",
            )
            for found in rows
        ],
    )
    finish({"rows": rows}, asked.json, shown)


if __name__ == "__main__":
    main()
