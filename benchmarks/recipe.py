"""What each addition of docs/recipe.md costs, as a share of a training step.

Usage: python benchmarks/recipe.py [--batch-size N] [--rounds N] [--json FILE]

Each part is timed by itself, on tensors of the paper's network and input (ResNet-50, 384×128, 751
identities), and what it replaces is subtracted: differences of whole steps would be lost in their noise. Of
the rounds the shortest counts, which others on the machine disturbed least. A step has the settings of the
published code, in float32.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch
from harness import Table, alternating_seconds, argument_parser, finish, table
from torch import nn
from training import IDENTITIES, PAPER, random_data

from sa_study.data.batches import training_batches
from sa_study.data.device_images import DeviceImages
from sa_study.model.network import total_loss
from sa_study.settings.run import Settings
from sa_study.training.average import MovingAverage
from sa_study.training.losses import triplet_loss
from sa_study.training.optimizer import make_optimizer
from sa_study.training.trainer import Trainer

GOAL = 0.03

Work = Callable[[], object]
Part = tuple[str, Work, Work | None]
"""An addition's name, what it does, and what it is done instead of."""

IMAGES: dict[str, dict[str, Any]] = {
    "random_erasing=0.5": {"random_erasing": 0.5},
    "random_erasing=0.5, random_erasing_fill=mean": {"random_erasing": 0.5, "random_erasing_fill": "mean"},
    "random_crop_padding=10": {"random_crop_padding": 10},
    "color_jitter=0.2": {"color_jitter": 0.2},
    "images_per_identity=4": {"images_per_identity": 4},
}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "optimizer=adam": {"optimizer": "adam"},
    "optimizer=adamw": {"optimizer": "adamw"},
    "decay_norm_bias=false": {"decay_norm_bias": False},
}


def parts(trainer: Trainer, settings: Settings) -> Iterator[Part]:
    """What is measured beside the step."""
    device, batch = trainer.device, settings.batch_size
    data = random_data(4 * batch)
    images = DeviceImages(data.store.images, device)

    def loading(**changed: Any) -> Work:
        chosen = dataclasses.replace(settings, **changed)
        return lambda: [None for _ in training_batches(data, images, chosen, 0)]

    for name, changed in IMAGES.items():
        yield name, loading(**changed), loading()
    net = trainer.net
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for name, changed in OPTIMIZERS.items():
        yield (
            name,
            make_optimizer(net, dataclasses.replace(settings, **changed)).step,
            trainer.step.optimizer.step,
        )
    yield "ema_decay=0.999", MovingAverage(net, 0.999).update, None
    labels = torch.arange(batch, device=device) // 4
    features = torch.rand(batch, settings.parts * 2048, device=device, requires_grad=True)
    yield "triplet_weight=1", lambda: triplet_loss(features, labels, 0.3).backward(), None
    logits = {
        name: torch.randn(batch, IDENTITIES, device=device, requires_grad=True) for name in net.branches
    }
    yield (
        "label_smoothing=0.1",
        lambda: total_loss(logits, labels, 0.1)[0].backward(),
        lambda: total_loss(logits, labels)[0].backward(),
    )
    neck = nn.BatchNorm2d(2048).to(device)
    stripes = torch.rand(batch, 2048, settings.parts, 1, device=device, requires_grad=True)
    yield "bn_neck=true", lambda: neck(stripes).sum().backward(), lambda: stripes.sum().backward()


def measure(settings: Settings, rounds: int) -> list[dict[str, Any]]:
    trainer = Trainer(settings, random_data(settings.batch_size))
    images, labels = next(trainer.batches())
    step = min(alternating_seconds({"step": lambda: trainer.step(images, labels)}, rounds)["step"])
    rows = []
    for name, work, instead in parts(trainer, settings):
        taken = alternating_seconds({"with": work, "without": instead or (lambda: None)}, 5 * rounds)
        added = min(taken["with"]) - min(taken["without"])
        added /= 4 if name in IMAGES else 1  # batches of an epoch
        rows.append({"addition": name, "seconds": added, "step_seconds": step, "share": added / step})
    return rows


def tables(rows: list[dict[str, Any]], settings: Settings) -> list[Table]:
    step = rows[0]["step_seconds"]
    return [
        table(
            f"Additions to a step of {step:.2f} s (ResNet-50, 384×128, batch {settings.batch_size})",
            ("addition", "milliseconds", f"share of a step (goal: at most {GOAL:.0%})"),
            [(row["addition"], f"{1000 * row['seconds']:.1f}", f"{row['share']:.2%}") for row in rows],
        )
    ]


def main() -> None:
    parser = argument_parser(__doc__, "recipe")
    parser.add_argument("--batch-size", type=int, default=48, help="images of a step (paper: 48)")
    parser.add_argument(
        "--rounds", type=int, default=1, help="steps that are timed, and a fifth of a part's rounds"
    )
    asked = parser.parse_args()
    settings = dataclasses.replace(PAPER, precision="fp32", batch_size=asked.batch_size)
    rows = measure(settings, asked.rounds)
    finish({"rows": rows}, asked.json, *tables(rows, settings))


if __name__ == "__main__":
    main()
