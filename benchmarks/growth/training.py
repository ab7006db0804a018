"""Growth with the number of images, and of identities: decoding, an epoch's batches, a training step."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import harness
import numpy as np
import torch
from decoding import draw_images

from sa_study.data.batches import training_batches
from sa_study.data.device_images import DeviceImages
from sa_study.data.records import ImageRecord
from sa_study.data.store import ImageStore, TrainingData, decode
from sa_study.settings.run import Settings
from sa_study.training.checkpoint import save_checkpoint
from sa_study.training.trainer import Trainer

IMAGES = (750, 1500, 3000, 6000)
IDENTITIES = (100, 800, 6400)

BATCH = 48
HEIGHT, WIDTH = 256, 128
"""Of the batches; the files have 128×64."""

SMALL = Settings(
    depth=18, pretrained="none", height=64, width=32, parts=2, num_features=64, batch_size=16, epochs=3
)
STEPS = 8


def images() -> list[dict[str, float]]:
    """Decoding, and one epoch's batches on the CPU."""
    with tempfile.TemporaryDirectory(prefix="scaling_") as place:
        records = draw_images(Path(place), max(IMAGES))
        return [harness.in_fresh_process(_images, records[:count]) for count in IMAGES]


def identities() -> list[dict[str, float]]:
    """A training step of a small network, and its checkpoint."""
    return [harness.in_fresh_process(_identities, count) for count in IDENTITIES]


def _images(records: Sequence[ImageRecord]) -> dict[str, float]:
    _epoch(decode(records[:BATCH]))  # warms up
    stores: list[ImageStore] = []
    with harness.peak_memory() as held:
        decoding = harness.seconds(lambda: stores.append(decode(records)))
    with harness.peak_memory() as passing:
        loading = harness.seconds(lambda: _epoch(stores[0]))
    return {
        "images": len(records),
        "decoding, s": decoding,
        "decoding, MiB": held["growth_mib"],
        "an epoch's batches, s": loading,
        "an epoch's batches, MiB": passing["growth_mib"],
    }


def _epoch(store: ImageStore) -> None:
    """Makes every batch once."""
    settings = Settings(height=HEIGHT, width=WIDTH, parts=1, batch_size=BATCH, random_erasing=0.5)
    images = DeviceImages(store.images, torch.device("cpu"))
    for _ in training_batches(_all_of(store, len(store.images)), images, settings, 1):
        pass


def _identities(count: int) -> dict[str, float]:
    rng = np.random.default_rng(0)
    size = STEPS * SMALL.batch_size
    pixels = rng.integers(256, size=(size, SMALL.height, SMALL.width, 3), dtype=np.uint8)
    labels = np.arange(size) * count // size
    data = _all_of(ImageStore(pixels, labels, np.zeros(size, np.int64), ""), count)
    with harness.peak_memory() as held:
        trainer = Trainer(SMALL, data)
        trainer.run_epoch()
        seconds = harness.seconds(trainer.run_epoch)
    with tempfile.TemporaryDirectory(prefix="scaling_") as place:
        path = Path(place) / "checkpoint.pt"
        save_checkpoint(path, trainer.checkpoint())
        checkpoint = path.stat().st_size / 2**20
    gpu = {"a step, MiB of the GPU": held["gpu_mib"]} if "gpu_mib" in held else {}
    return {
        "identities": count,
        "a step, ms": 1000 * seconds / STEPS,
        "training, MiB": held["growth_mib"],
        **gpu,
        "checkpoint, MiB": checkpoint,
    }


def _all_of(store: ImageStore, classes: int) -> TrainingData:
    """Every image trained on, none held out."""
    none = np.empty(0, np.int64)
    return TrainingData(store, np.arange(len(store.images)), store.pids, none, none, classes)
