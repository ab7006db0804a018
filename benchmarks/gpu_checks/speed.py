"""How fast a GPU trains and extracts features, beside plain PyTorch and the rate of a matrix product."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from harness import alternating_seconds, ratio, seconds
from torch.nn import functional as F
from training import IDENTITIES, MARKET_IMAGES, matrix_rate, operations, pieces, random_data

from gpu_checks.sizes import DEVICE, Job, Sizes
from sa_study.settings.run import Settings
from sa_study.training.features import extract_features_from_array
from sa_study.training.precision import autocast, float32_products, memory_format
from sa_study.training.trainer import build_network

PAPER_EPOCHS = 100


def jobs(sizes: Sizes) -> Iterator[Job]:
    yield from _jobs(sizes, sizes.variants)
    for variant, changed in sizes.variants.items():
        settings = dataclasses.replace(sizes.network, **changed)
        yield f"features, {variant}", partial(features, settings, sizes.features, sizes.rounds)


def compiled_jobs(sizes: Sizes) -> Iterator[Job]:
    """What has to be compiled first, which takes a minute each."""
    yield from _jobs(sizes, sizes.compiled)


def _jobs(sizes: Sizes, variants: Mapping[str, Mapping[str, Any]]) -> Iterator[Job]:
    for batch, steps in sizes.steps.items():
        for variant, changed in variants.items():
            settings = dataclasses.replace(sizes.network, batch_size=batch, **changed)
            yield f"batch {batch}, {variant}", partial(training, settings, steps, sizes)


def training(settings: Settings, steps: int, sizes: Sizes) -> dict[str, Any]:
    """Epochs of the trainer, beside its parts and a plain step on one batch.

    Returns:
        Images a second of each; the trainer's share of the plain step's speed and of the rate of a matrix
        product in the same precision; the most memory that its epoch takes; what 100 epochs of all of
        Market-1501's training images would take.
    """
    if settings.compile != "none" and DEVICE.type == "cpu":
        return dict.fromkeys(("training", "of the plain step"))
    ours = pieces(settings, steps)
    memory = peak_gib(ours["training"])
    taken = alternating_seconds({**ours, "plain": plain_steps(settings, steps)}, sizes.rounds)
    images = steps * settings.batch_size
    rate = {piece: images / statistics.median(values) for piece, values in taken.items()}
    chip = matrix_rate(settings.precision, sizes.matrix)
    return {
        "training": rate["training"],
        "its step alone": rate["floor"],
        "its batches alone": rate["loader"],
        "plain step": rate["plain"],
        "of the plain step": ratio(taken["plain"], taken["training"]),
        "of a matrix product": rate["training"] * operations(settings) / chip,
        "product, TFLOP/s": chip / 1e12,
        "GiB": memory,
        "h/100 epochs": PAPER_EPOCHS * MARKET_IMAGES / rate["training"] / 3600,
    }


def plain_steps(settings: Settings, steps: int) -> Callable[[], None]:
    """As many steps as one would write them by hand, on one batch that stays where it is."""
    net = build_network(settings, IDENTITIES).to(DEVICE).to(memory_format=memory_format(settings)).train()
    optimizer = torch.optim.SGD(
        net.parameters(), lr=settings.lr, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    shape = settings.batch_size, 3, settings.height, settings.width
    images = torch.randn(shape, device=DEVICE).contiguous(memory_format=memory_format(settings))
    labels = torch.arange(settings.batch_size, device=DEVICE) % IDENTITIES

    def run() -> None:
        with float32_products(settings.precision):
            for _ in range(steps):
                with autocast(settings.precision, DEVICE):
                    _, logits = net(images)
                    losses = [F.cross_entropy(scores, labels) for scores in logits.values()]
                optimizer.zero_grad()
                torch.stack(losses).sum().backward()
                optimizer.step()

    return run


def features(settings: Settings, count: int, rounds: int) -> dict[str, Any]:
    """Images a second of feature extraction from images on the host, as `evaluate` does it."""
    net = build_network(settings, IDENTITIES)
    images = random_data(count).store.images

    def extract() -> None:
        extract_features_from_array(net, settings, images)

    memory = peak_gib(extract)
    return {
        "features": count / statistics.median(seconds(extract) for _ in range(rounds)),
        "GiB": memory,
    }


def peak_gib(work: Callable[[], object]) -> float | None:
    """The most memory that PyTorch has in use on the GPU while it works; None without one."""
    if DEVICE.type == "cpu":
        return None
    torch.cuda.reset_peak_memory_stats()
    seconds(work)
    return torch.cuda.max_memory_allocated() / 2**30
