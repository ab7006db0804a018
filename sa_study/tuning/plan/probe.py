"""Measures how long an epoch takes on this machine: a few real steps, extrapolated to all images."""

from __future__ import annotations

import dataclasses
import statistics
import time
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from sa_study.data.store import TrainingData
from sa_study.metrics import names
from sa_study.model.network import SANet
from sa_study.settings.run import Settings
from sa_study.training.precision import resolve_device
from sa_study.training.trainer import Trainer
from sa_study.utils.errors import RunFailed
from sa_study.utils.progress import ProgressCallback

_MAX_SECONDS = 12.0
"""After these no further round begins."""

_MAX_ROUNDS = 10
"""Measured rounds; the first, which warms up, is not one of them."""

_MAX_CPU_OPERATIONS = 1e11
"""Operations of a step's forward pass on a CPU, some seconds of one core. Of a batch that needs more, a part
is probed: on a CPU a batch takes as long as its images do."""

_MIN_CPU_IMAGES = 8
_GPU_STEPS = 4
"""Steps of a round on a GPU, so that it does not wait for the CPU after each."""


@dataclass(frozen=True)
class Speed:
    """Measured training speed of a configuration.

    Attributes:
        settings: The configuration.
        images_per_second: Images a second in training.
        latency: Milliseconds an image in validation.
        epoch_seconds: Duration of an epoch, extrapolated to all images.
        device: The device that it was measured on: `cpu` or `cuda`.
    """

    settings: Settings
    images_per_second: float
    latency: float
    epoch_seconds: float
    device: str

    def epoch_seconds_of(self, settings: Settings) -> float:
        """The duration of an epoch of other settings, in proportion to the operations on an image."""
        return self.epoch_seconds * _operations(settings) / _operations(self.settings)


def probe(settings: Settings, data: TrainingData, progress: ProgressCallback) -> Speed:
    """Measures a configuration with the real engine on real images, from random weights.

    Args:
        settings: The configuration, its device and threads decided.
        data: What a trial would get.
        progress: Told the percentage that is done, and 100.

    Raises:
        RunFailed: The GPU memory is full.
    """
    threads, device = torch.get_num_threads(), resolve_device(settings)
    try:
        rounds = _run_rounds(probe_settings(settings, device), data, device, progress)
    except torch.OutOfMemoryError as error:
        raise RunFailed(
            f"the probe of batch_size={settings.batch_size}: {str(error).splitlines()[0]}"
        ) from None
    finally:
        torch.set_num_threads(threads)
        progress(100, 100)
    rate, latency = (
        statistics.median(figures[name] for figures in rounds)
        for name in (names.IMAGES_PER_SECOND, names.LATENCY)
    )
    trained = len(data.train) // settings.batch_size * settings.batch_size
    seconds = trained / rate + (len(data.query) + len(data.gallery)) * latency / 1000
    return Speed(settings, rate, latency, seconds, device.type)


def _run_rounds(
    settings: Settings, data: TrainingData, device: torch.device, progress: ProgressCallback
) -> list[dict[str, float]]:
    """Runs a few very short epochs; returns the figures of each."""
    steps = _GPU_STEPS if device.type == "cuda" else 1
    trainer = Trainer(settings, _excerpt(data, steps * settings.batch_size))
    trainer.run_epoch()
    rounds: list[dict[str, float]] = []
    start, share = time.monotonic(), 0.0
    while share < 1:
        progress(int(100 * share), 100)
        rounds.append(trainer.run_epoch())
        share = max(len(rounds) / _MAX_ROUNDS, (time.monotonic() - start) / _MAX_SECONDS)
    return rounds


def probe_settings(settings: Settings, device: torch.device) -> Settings:
    """The settings with random weights, steps too small to diverge, and a batch that a CPU can take."""
    batch = settings.batch_size
    if device.type == "cpu":
        least = max(_MIN_CPU_IMAGES, 2 * settings.accumulate)
        batch = min(batch, max(least, int(_MAX_CPU_OPERATIONS / _operations(settings))))
    return dataclasses.replace(
        settings,
        pretrained="none",
        lr=1e-5,
        adam_lr=1e-5,
        batch_size=batch,
        triplet_weight=0.0,  # takes next to no time, and an excerpt has too few identities for it
        images_per_identity=0,
    )


def _excerpt(data: TrainingData, images: int) -> TrainingData:
    """This many training images, and the validation images of the identities of as many of those."""
    held_out = np.concatenate([data.gallery, data.query])
    pids = data.store.pids
    chosen = np.unique(pids[held_out[:images]])
    query, gallery = (index[np.isin(pids[index], chosen)] for index in (data.query, data.gallery))
    return dataclasses.replace(
        data, train=data.train[:images], labels=data.labels[:images], query=query, gallery=gallery
    )


def _operations(settings: Settings) -> float:
    """Floating-point operations of the forward pass of an image, nearly all of them in the backbone."""
    return _operations_per_pixel(settings.backbone) * settings.height * settings.width


@cache
def _operations_per_pixel(backbone: str) -> float:
    height, width = 384, 128
    with torch.device("meta"), FlopCounterMode(display=False) as counter:  # shapes without memory
        SANet(backbone)(torch.empty(1, 3, height, width))
    return float(counter.get_total_flops()) / (height * width)
