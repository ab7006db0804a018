"""How near training comes to the speed of the network alone, and how it compares with the usual loop.

Usage: python benchmarks/training.py [--steps N] [--rounds N] [--compile] [--precisions …] [--json FILE]

In turns, on the same machine: the network's steps on one batch that stays where it is, an epoch
of the real trainer, the same epoch's batches without the network, and the usual loop (a DataLoader with
Pillow and torchvision's transforms, float32). The trainer's share of that speed is what augmentation, copies
and Python leave of the arithmetic. Operations are PyTorch's count of a step; the rate of a large matrix
product of the same type, measured here, stands for what the chip can do.

On a CPU: a small network, and the paper's at a smaller batch. On a GPU: the paper's at batch 48 and 256.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from conventional.pipeline import PlainTraining, draw_files
from harness import Table, alternating_seconds, argument_parser, finish, ratio, table
from torch.utils.flop_counter import FlopCounterMode

from sa_study.data.store import ImageStore, TrainingData
from sa_study.model.network import SANet, total_loss
from sa_study.settings.run import Settings
from sa_study.training.precision import float32_products
from sa_study.training.trainer import Trainer

IDENTITIES = 751
MARKET_IMAGES = 12936
SHARE_GOAL = 0.95

SMALL = Settings(
    depth=18, pretrained="none", height=64, width=32, parts=4, batch_size=32, lr=1e-4, epochs=1000
)
PAPER = Settings(pretrained="none", batch_size=48, lr=1e-4, epochs=1000)

PRECISIONS = ("fp32", "tf32", "bf16")

Variant = tuple[str, dict[str, Any]]


def cases(steps: int) -> list[tuple[str, Settings, int]]:
    """Name, settings and steps an epoch of what is measured on this machine."""
    if torch.cuda.is_available():
        large = dataclasses.replace(PAPER, batch_size=256)
        return [
            ("ResNet-50, 384×128, batch 48", PAPER, steps),
            ("ResNet-50, 384×128, batch 256", large, steps),
        ]
    part = dataclasses.replace(PAPER, batch_size=8)
    return [("ResNet-18, 64×32, batch 32", SMALL, steps), ("ResNet-50, 384×128, batch 8", part, steps // 8)]


def variants(settings: Settings, compiled: bool, precisions: Sequence[str] = PRECISIONS) -> list[Variant]:
    """Precisions and memory layouts that are compared; on a CPU, of large images only the faster layout."""
    cuda, both_layouts = (
        torch.cuda.is_available(),
        torch.cuda.is_available() or settings.height < PAPER.height,
    )
    fast = {"precision": "bf16", "channels_last": True}
    found: list[Variant] = [("fp32", {"precision": "fp32"})] if both_layouts else []
    found.append(("fp32, channels_last", {"precision": "fp32", "channels_last": True}))
    if cuda:
        found.append(("tf32, channels_last", {"precision": "tf32", "channels_last": True}))
    elif both_layouts:
        found.append(("bf16", {"precision": "bf16"}))
    found.append(("bf16, channels_last", fast))
    if compiled or torch.cuda.is_available():
        modes = ("default", "cuda-graphs") if torch.cuda.is_available() else ("default",)
        found += [(f"bf16, channels_last, compile {mode}", {**fast, "compile": mode}) for mode in modes]
    return [(name, changed) for name, changed in found if changed["precision"] in precisions]


def random_data(count: int) -> TrainingData:
    """Images of noise: the content does not change the amount of work."""
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(count, 128, 64, 3), dtype=np.uint8)
    labels = np.arange(count) % IDENTITIES
    nothing = np.empty(0, np.int64)
    store = ImageStore(images, labels, np.zeros(count, np.int64), fingerprint="")
    return TrainingData(store, np.arange(count), labels, nothing, nothing, IDENTITIES)


def pieces(settings: Settings, steps: int) -> dict[str, Callable[[], object]]:
    """An epoch of the trainer, its batches alone, and as many steps on one batch."""
    trainer = Trainer(settings, random_data(steps * settings.batch_size))
    images, labels = next(trainer.batches())

    def floor() -> None:
        with float32_products(settings.precision):
            for _ in range(steps):
                trainer.step(images, labels)

    def load() -> None:
        for _ in trainer.batches():
            pass

    return {"training": trainer.run_epoch, "floor": floor, "loader": load}


def operations(settings: Settings) -> int:
    """Floating-point operations of a step's forward and backward passes, for one image."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        net = SANet(settings.backbone, IDENTITIES, parts=settings.parts)
        _, logits = net(torch.empty(2, 3, settings.height, settings.width))
        total_loss(logits, torch.empty(2, dtype=torch.int64))[0].backward()
    return int(counter.get_total_flops()) // 2


def matrix_rate(precision: str, size: int = 0) -> float:
    """Operations a second of a large matrix product; of this many rows and columns, or of enough for 0."""
    cuda = torch.cuda.is_available()
    size = size or (8192 if cuda else 3072)
    factor = torch.randn(
        size, size, device="cuda" if cuda else "cpu", dtype=torch.bfloat16 if precision == "bf16" else None
    )
    with float32_products(precision):
        taken = alternating_seconds({"product": lambda: factor @ factor}, rounds=5)["product"]
    return 2.0 * size**3 / min(taken)


def measure_case(
    name: str, settings: Settings, steps: int, rounds: int, chosen: Sequence[Variant]
) -> list[dict[str, Any]]:
    rows = []
    images, work = steps * settings.batch_size, operations(settings)
    for variant, changed in chosen:
        one = dataclasses.replace(settings, **changed)
        taken = alternating_seconds(pieces(one, steps), rounds)
        rate = {piece: images / statistics.median(values) for piece, values in taken.items()}
        rows.append(
            {
                "case": name,
                "variant": variant,
                "images_per_second": rate,
                "share_of_floor": ratio(taken["floor"], taken["training"]),
                "operations_per_second": rate["training"] * work,
                "share_of_matrix_rate": rate["training"] * work / matrix_rate(one.precision),
                "hours_of_100_epochs": 100 * MARKET_IMAGES / rate["training"] / 3600,
            }
        )
    return rows


def measure_usual(
    name: str, settings: Settings, steps: int, rounds: int, workers_of_loaders: Sequence[int] = ()
) -> list[dict[str, Any]]:
    """The usual loop beside the trainer's in float32, with as many workers as a user would give it."""
    workers_of_loaders = workers_of_loaders or ((4, 16) if torch.cuda.is_available() else (2,))
    rows = []
    images = steps * settings.batch_size
    ours = pieces(dataclasses.replace(settings, precision="fp32"), steps)
    with tempfile.TemporaryDirectory() as folder:
        files, labels = draw_files(Path(folder), images, IDENTITIES)
        for workers in workers_of_loaders:
            usual = PlainTraining(files, labels, settings, workers)
            works = {
                "training": usual.train,
                "loader": usual.load,
                "ours": ours["training"],
                "our loader": ours["loader"],
            }
            taken = alternating_seconds(works, rounds)
            rate = {piece: images / statistics.median(values) for piece, values in taken.items()}
            rows.append({"case": name, "workers": workers, "images_per_second": rate})
    return rows


def tables(result: dict[str, Any]) -> list[Table]:
    ours = [
        (
            f"{row['case']}: {row['variant']}",
            *(f"{row['images_per_second'][piece]:,.1f}" for piece in ("loader", "floor", "training")),
            f"{row['share_of_floor']:.1%}",
            f"{row['operations_per_second'] / 1e9:,.0f}",
            f"{row['share_of_matrix_rate']:.0%}",
            f"{row['hours_of_100_epochs']:.2f}" if "ResNet-50" in row["case"] else "",
        )
        for row in result["ours"]
    ]
    usual = [
        (
            f"{row['case']}, {row['workers']} workers",
            *(
                f"{row['images_per_second'][piece]:,.1f}"
                for piece in ("loader", "training", "our loader", "ours")
            ),
        )
        for row in result["usual"]
    ]
    return [
        table(
            f"Images a second (goal: training ≥ {SHARE_GOAL:.0%} of the network alone)",
            (
                "what",
                "loader only",
                "network alone",
                "training",
                "share of it",
                "GFLOP/s",
                "share of a product's rate",
                "h/100 epochs",
            ),
            ours,
        ),
        table(
            "The usual loop (DataLoader, Pillow, fp32) beside this one in fp32, images a second",
            ("what", "its loader", "its training", "our loader", "our training"),
            usual,
        ),
    ]


def main() -> None:
    parser = argument_parser(__doc__, "training")
    parser.add_argument("--steps", type=int, default=16, help="steps of an epoch; at least 8")
    parser.add_argument("--rounds", type=int, default=2, help="rounds; their median is given")
    parser.add_argument("--compile", action="store_true", help="also torch.compile on a CPU; a minute more")
    parser.add_argument(
        "--precisions",
        nargs="+",
        choices=PRECISIONS,
        default=PRECISIONS,
        help="without AVX-512, bf16 takes minutes",
    )
    asked = parser.parse_args()
    result: dict[str, Any] = {"ours": [], "usual": []}
    for name, settings, steps in cases(asked.steps):
        chosen = variants(settings, asked.compile, asked.precisions)
        result["ours"] += measure_case(name, settings, steps, asked.rounds, chosen)
        result["usual"] += measure_usual(name, settings, steps, asked.rounds)
    finish(result, asked.json, *tables(result))


if __name__ == "__main__":
    main()
