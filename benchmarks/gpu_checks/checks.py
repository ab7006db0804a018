"""Is what a GPU computes right? Each check gives a difference, and the most that is allowed."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from market import TestSet, market_like
from torch import Tensor
from training import random_data

from gpu_checks.sizes import DEVICE, Job, Sizes
from sa_study.data.batches import STD, training_batches
from sa_study.data.device_images import DeviceImages
from sa_study.data.store import TrainingData
from sa_study.metrics.distances import rank_features, squared_euclidean_blocks
from sa_study.metrics.ranking import ranking_metrics
from sa_study.metrics.reranking import rerank_features
from sa_study.settings.run import Settings
from sa_study.training.checkpoint import load_checkpoint, save_checkpoint
from sa_study.training.features import extract_features_from_array
from sa_study.training.precision import float32_products
from sa_study.training.trainer import Trainer, build_network

CPU = torch.device("cpu")
STEPS = 3

EVERYTHING: dict[str, Any] = {
    **{"random_erasing": 0.5, "random_crop_padding": 3, "color_jitter": 0.2, "label_smoothing": 0.1},
    **{"triplet_weight": 1.0, "images_per_identity": 2, "bn_neck": True, "ema_decay": 0.9},
    **{"optimizer": "adamw", "adam_lr": 1e-3, "decay_norm_bias": False, "dropout": 0.5},
}
"""Settings of all that can be added to the recipe."""

ALLOWED_IN_A_LOSS = {"fp32": 1e-3, "tf32": 2e-2, "bf16": 5e-2}
"""Relative, after a few steps: rounding grows from step to step, and batch norm makes more of it."""


def found(difference: float, allowed: float) -> dict[str, Any]:
    """The figures of a check; a difference that is not a number is wrong."""
    return {
        "difference": difference,
        "allowed": allowed,
        "result": "right" if difference <= allowed else "WRONG",
    }


def jobs(sizes: Sizes) -> Iterator[Job]:
    settings, data = sizes.checked, paired_data(sizes.checked)
    features = market_like(64, 200, 600, 40, 3, 30)
    yield "batches: the CPU's, but for the rounding of bytes", partial(batches_differ, settings, data)
    yield "batches: resident against streamed", partial(residents_differ, settings, data)
    for precision in ALLOWED_IN_A_LOSS:
        yield (
            f"losses of {STEPS} steps, {precision}: the CPU's",
            partial(losses_differ, settings, data, precision=precision),
        )
    yield "weights after a step: the CPU's", partial(updates_differ, settings, data)
    for precision, allowed in (("fp32", 1e-4), ("tf32", 1e-2), ("bf16", 5e-2), ("fp16", 1e-2)):
        yield (
            f"features, {precision}: the CPU's",
            partial(features_differ, settings, data, precision, allowed),
        )
    yield "training that is resumed: one that was not", partial(resumed_differs, settings, data)
    yield "no step waits for the GPU: the paper's", partial(steps_wait, settings, data)
    yield "no step waits for the GPU: all additions", partial(steps_wait, settings, data, **EVERYTHING)
    yield "figures from the same distances: the CPU's", partial(ranks_differ, features)
    yield "mAP from features: the CPU's", partial(maps_differ, features)
    yield "distances under TF32: those of float64", partial(distances_differ, features)
    yield "re-ranking: share of pairs that differ by over 1e-5", partial(rerankings_differ, features)


def compiled_jobs(sizes: Sizes) -> Iterator[Job]:
    """What has to be compiled first, which takes a minute each."""
    settings, data = sizes.checked, paired_data(sizes.checked)
    for name, changed in (
        ("compiled", {"compile": "default"}),
        ("CUDA graphs", {"compile": "cuda-graphs"}),
        ("CUDA graphs, accumulate=2", {"compile": "cuda-graphs", "accumulate": 2}),
    ):
        yield f"losses of {STEPS} steps, {name}: eager", partial(compiled_differs, settings, data, changed)


def paired_data(settings: Settings) -> TrainingData:
    """Noise, two images of each identity."""
    data = random_data(STEPS * settings.batch_size)
    labels = np.arange(len(data.train)) // 2
    return dataclasses.replace(data, labels=labels, num_classes=int(labels.max()) + 1)


def all_batches(settings: Settings, data: TrainingData, device: torch.device, **more: Any) -> list[Tensor]:
    """Images and labels of an epoch, on the CPU."""
    images = DeviceImages(data.store.images, device, **more)
    return [part.cpu() for batch in training_batches(data, images, settings, 1) for part in batch]


def largest_difference(ours: list[Tensor], theirs: list[Tensor]) -> float:
    return max(float((a.double() - b.double()).abs().max()) for a, b in zip(ours, theirs, strict=True))


def batches_differ(settings: Settings, data: TrainingData) -> dict[str, Any]:
    """With the same draws the only difference is that the CPU resizes bytes."""
    changed = dataclasses.replace(settings, **EVERYTHING)
    ours, theirs = (all_batches(changed, data, device) for device in (DEVICE, CPU))
    return found(largest_difference(ours, theirs), 2.01 / 255 / min(STD))


def residents_differ(settings: Settings, data: TrainingData) -> dict[str, Any]:
    changed = dataclasses.replace(settings, **EVERYTHING)
    ours, theirs = (all_batches(changed, data, DEVICE, resident=resident) for resident in (True, False))
    return found(largest_difference(ours, theirs), 0.0)


def figures_of_steps(settings: Settings, data: TrainingData) -> Tensor:
    """The figures of a few steps, on the CPU."""
    trainer = Trainer(settings, data)
    figures = []
    with float32_products(settings.precision):
        for images, labels in islice(trainer.batches(), STEPS):
            trainer.step.set_lr(settings.lr)
            figures.append(trainer.step(images, labels).cpu())
    return torch.stack(figures)[:, 0].double()


def relative(ours: Tensor, theirs: Tensor) -> float:
    return float(((ours - theirs) / theirs).abs().max())


def losses_differ(settings: Settings, data: TrainingData, precision: str) -> dict[str, Any]:
    ours = figures_of_steps(dataclasses.replace(settings, precision=precision), data)
    return found(relative(ours, figures_of_steps(on_cpu(settings), data)), ALLOWED_IN_A_LOSS[precision])


def compiled_differs(settings: Settings, data: TrainingData, changed: dict[str, Any]) -> dict[str, Any]:
    if DEVICE.type == "cpu":
        return {"result": None}
    eager = dataclasses.replace(settings, accumulate=changed.get("accumulate", 1))
    ours, theirs = (figures_of_steps(one, data) for one in (dataclasses.replace(settings, **changed), eager))
    return found(relative(ours, theirs), ALLOWED_IN_A_LOSS["fp32"])


def updates_differ(settings: Settings, data: TrainingData) -> dict[str, Any]:
    """The difference of all changes of weights, as a share of the changes."""

    def change(one: Settings) -> Tensor:
        trainer = Trainer(one, data)
        before = [weight.detach().cpu().clone() for weight in trainer.net.parameters()]
        images, labels = next(trainer.batches())
        with float32_products(one.precision):
            trainer.step(images, labels)
        after = [weight.detach().cpu() for weight in trainer.net.parameters()]
        return torch.cat([(b - a).flatten().double() for a, b in zip(before, after, strict=True)])

    ours, theirs = change(settings), change(on_cpu(settings))
    return found(float((ours - theirs).norm() / theirs.norm()), 1e-2)


def features_differ(settings: Settings, data: TrainingData, precision: str, allowed: float) -> dict[str, Any]:
    """The largest difference of a feature; those of a stripe have length 1."""

    def features(one: Settings) -> Tensor:
        torch.manual_seed(0)
        return extract_features_from_array(build_network(one, 4), one, data.store.images).cpu()

    ours = features(dataclasses.replace(settings, eval_precision=precision))
    return found(largest_difference([ours], [features(on_cpu(settings))]), allowed)


def resumed_differs(settings: Settings, data: TrainingData) -> dict[str, Any]:
    """The relative difference of the second epoch's loss, with all additions."""
    changed = dataclasses.replace(settings, **EVERYTHING)
    trainer, other = Trainer(changed, data), Trainer(changed, data)
    trainer.run_epoch()
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder) / "last.pt", trainer.checkpoint())
        other.restore(load_checkpoint(Path(folder) / "last.pt"))
    theirs, ours = (one.run_epoch()["loss"] for one in (trainer, other))
    return found(abs(ours - theirs) / theirs, ALLOWED_IN_A_LOSS["fp32"])


def steps_wait(settings: Settings, data: TrainingData, **changed: Any) -> dict[str, Any]:
    """PyTorch raises where the CPU waits for the GPU, in the backward pass too."""
    if DEVICE.type == "cpu":
        return {"result": None}
    trainer = Trainer(dataclasses.replace(settings, precision="bf16", **changed), data)
    batches = trainer.batches()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for images, labels in batches:
            trainer.step.set_lr(settings.lr)
            trainer.step(images, labels)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return {"result": "right"}


def ranks_differ(data: TestSet) -> dict[str, Any]:
    """Ranks are counted: from the same distances they are the same."""
    distances = torch.cat([block for _, block in squared_euclidean_blocks(*data.on("cpu"))])
    ours, theirs = (ranking_metrics(distances.to(device), *data.labels) for device in (DEVICE, CPU))
    return found(float(np.abs(ours.cmc - theirs.cmc).max()) + abs(ours.mAP - theirs.mAP), 0.0)


def maps_differ(data: TestSet) -> dict[str, Any]:
    ours, theirs = (rank_features(*data.on(device), *data.labels).mAP for device in (DEVICE.type, "cpu"))
    return found(abs(ours - theirs), 1e-4)


def distances_differ(data: TestSet) -> dict[str, Any]:
    """Features of length 1, so that distances are at most 4."""
    with float32_products("tf32"):
        ours = torch.cat([block.cpu() for _, block in squared_euclidean_blocks(*data.on(DEVICE.type))])
    query, gallery = (features.double() for features in data.on("cpu"))
    theirs = torch.cdist(query, gallery).square()
    return found(largest_difference([ours], [theirs]), 1e-5)


def rerankings_differ(data: TestSet) -> dict[str, Any]:
    ours, theirs = (rerank_features(*data.on(device)).cpu() for device in (DEVICE.type, "cpu"))
    return found(float(((ours - theirs).abs() > 1e-5).float().mean()), 1e-3)


def on_cpu(settings: Settings) -> Settings:
    return dataclasses.replace(settings, device="cpu")
