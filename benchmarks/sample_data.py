"""How hard the sample data is: its test split ranked by colour histograms, untrained and trained networks.

Usage: python benchmarks/sample_data.py [--space FILE] [--json FILE]

Draws the default sample data (seed 0) into a temporary folder. Networks have the fixed settings of the demo's
search space; the learning rates are spread evenly, on a logarithmic scale, over its range. Each network is
trained as in a trial, on one thread, and scored after its last epoch. About 7 minutes on one core.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import harness
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sa_study.data.dataset import ReidDataset
from sa_study.data.device_images import DeviceImages
from sa_study.data.sample import make_sample_data
from sa_study.data.store import ImageStore, TrainingData, load_training_data, test_data
from sa_study.metrics.distances import rank_features
from sa_study.settings.run import Settings
from sa_study.settings.space import SearchSpace
from sa_study.settings.space_file import load_space
from sa_study.training.features import extract_features
from sa_study.training.trainer import Trainer, build_network
from sa_study.utils.errors import Diverged

GOOD = {"lr": 0.05, "dropout": 0.0, "epochs": 6}
"""Good values of the settings that the demo searches, found by hand."""
SEEDS = (0, 1, 2)
LEARNING_RATES = 5


class TestSplit(NamedTuple):
    """Query and gallery images."""

    query: ImageStore
    gallery: ImageStore


class Histogram(NamedTuple):
    """A way to describe an image by colour histograms.

    Attributes:
        name: Name in the table.
        stripes: Horizontal stripes, with a histogram each.
        middle: Whether only the middle of the box counts, where people stand.
        balanced: Whether each image's colours are white-balanced.
        bins: Bins of each colour channel.
    """

    name: str
    stripes: int = 1
    middle: bool = False
    balanced: bool = False
    bins: int = 8


HISTOGRAMS = (
    Histogram("whole picture"),
    Histogram("six stripes", stripes=6),
    Histogram("six stripes, middle of the box", stripes=6, middle=True),
    Histogram("whole picture, white-balanced", balanced=True),
    # The strongest of 16 variants tried.
    Histogram("stripes, middle, white-balanced", stripes=6, middle=True, balanced=True, bins=4),
)


def histograms(images: NDArray[np.uint8], kind: Histogram) -> Tensor:
    """Returns square roots of RGB histograms (N×D); their Euclidean distance is Hellinger's."""
    pixels = images.astype(np.float32)
    if kind.middle:
        pixels = pixels[:, 8:120, 18:46]
    if kind.balanced:
        mean, spread = (of(pixels, axis=(1, 2), keepdims=True) for of in (np.mean, np.std))
        pixels = (128 + 50 * (pixels - mean) / (spread + 1)).clip(0, 255)
    levels = (pixels * kind.bins / 256).astype(np.int64)
    codes = (levels[..., 0] * kind.bins + levels[..., 1]) * kind.bins + levels[..., 2]
    counts = [
        np.stack([np.bincount(image.ravel(), minlength=kind.bins**3) for image in stripe])
        for stripe in np.array_split(codes, kind.stripes, axis=1)
    ]
    return torch.from_numpy(np.concatenate(counts, axis=1)).float().sqrt()


def scored(query: Tensor, gallery: Tensor, test: TestSplit) -> dict[str, float]:
    q, g = test
    metrics = rank_features(query, gallery, q.pids, g.pids, q.camids, g.camids)
    return {"rank1": metrics.rank1, "mAP": metrics.mAP}


def scored_histogram(kind: Histogram, test: TestSplit) -> dict[str, Any]:
    query, gallery = (histograms(store.images, kind) for store in test)
    return {"name": kind.name, **scored(query, gallery, test)}


def scored_network(trainer: Trainer, test: TestSplit, num_classes: int) -> dict[str, float]:
    net = build_network(trainer.settings, num_classes)
    net.load_state_dict(trainer.checkpoint().state_dict)
    query, gallery = (
        extract_features(
            net, DeviceImages(store.images, trainer.device), np.arange(len(store.pids)), trainer.settings
        )
        for store in test
    )
    return scored(query, gallery, test)


def untrained(settings: Settings, data: TrainingData, test: TestSplit) -> dict[str, float]:
    return {"seed": settings.seed, **scored_network(Trainer(settings, data), test, data.num_classes)}


def trained(settings: Settings, data: TrainingData, test: TestSplit) -> dict[str, float]:
    start, trainer = time.process_time(), Trainer(settings, data)
    result = {"seed": settings.seed, "lr": settings.lr}
    try:
        while not trainer.finished:
            trainer.run_epoch()
    except Diverged:
        return result | {"rank1": 0.0, "mAP": 0.0, "cpu_seconds": time.process_time() - start}
    spent = time.process_time() - start
    return result | scored_network(trainer, test, data.num_classes) | {"cpu_seconds": spent}


def learning_rates(space: SearchSpace) -> list[float]:
    lr = space.search["lr"]
    return [float(rate) for rate in np.geomspace(lr.low, lr.high, LEARNING_RATES)]


def measure(space: SearchSpace, root: Path) -> dict[str, Any]:
    def settings(**changed: float) -> Settings:
        return space.settings({**space.baseline, **GOOD, **changed, "threads": 1, "device": "cpu"})

    def train_all(name: str, runs: list[Settings]) -> list[dict[str, Any]]:
        results = []
        for run in runs:
            results.append(trained(run, data, test))
            sys.stdout.write(f"{name}: lr {run.lr:.3g}, seed {run.seed} done\n")
        return results

    start = time.process_time()
    dataset = ReidDataset(make_sample_data(root / "data"))
    drawing = time.process_time() - start
    config = settings()
    data = load_training_data(dataset, config)
    test = TestSplit(*test_data(dataset, (config.height, config.width)))
    images = len(data.store.pids) + len(test.query.pids) + len(test.gallery.pids)
    images += dataset.folders["gallery"].junk
    by_rate = train_all("learning rates", [settings(lr=lr) for lr in learning_rates(space)])
    maps = [run["mAP"] for run in by_rate]
    return {
        "identities": len({record.pid for record in dataset.train}),
        "height": config.height,
        "width": config.width,
        "images": images,
        "images_per_second": images / drawing,
        "queries": len(test.query.pids),
        "gallery": len(test.gallery.pids),
        "histograms": [scored_histogram(kind, test) for kind in HISTOGRAMS],
        "untrained": [untrained(settings(seed=seed), data, test) for seed in SEEDS],
        "trained": train_all("seeds", [settings(seed=seed) for seed in SEEDS]),
        "learning_rates": by_rate,
        "learning_rate_gap": max(maps) - min(maps),
    }


def table(result: dict[str, Any]) -> harness.Table:
    named = [
        *((f"colour histogram: {row['name']}", row) for row in result["histograms"]),
        *((f"untrained network, seed {row['seed']}", row) for row in result["untrained"]),
        *(
            (f"trained network, seed {row['seed']}, {row['cpu_seconds']:.0f} s of CPU", row)
            for row in result["trained"]
        ),
        *((f"trained with lr {row['lr']:.3g}, seed {row['seed']}", row) for row in result["learning_rates"]),
    ]
    size = f"{result['identities']} training identities, {result['height']}×{result['width']}"
    split = f"{result['queries']} queries, {result['gallery']} gallery images"
    rows = [(name, f"{row['rank1']:.1%}", f"{row['mAP']:.1%}") for name, row in named]
    notes = [f"{'met' if met else 'missed'}: {text}: {100 * value:.1f}" for text, value, met in goals(result)]
    notes.append(f"{result['images']} images drawn, {result['images_per_second']:.0f} a second of CPU")
    title = f"Sample data ({size}), test split: {split}"
    return harness.table(title, ("ranking by", "rank-1", "mAP"), rows, "; ".join(notes))


def goals(result: dict[str, Any]) -> list[tuple[str, float, bool]]:
    """The goals, the measured values, and whether they are met."""
    plain = result["histograms"][0]["rank1"]
    untrained_rank1 = max(row["rank1"] for row in result["untrained"])
    trained_rank1 = min(row["rank1"] for row in result["trained"])
    gap = result["learning_rate_gap"]
    return [
        ("plain colour histogram, rank-1 in % ≤ 40", plain, plain <= 0.40),
        ("untrained network, every seed, rank-1 in % ≤ 30", untrained_rank1, untrained_rank1 <= 0.30),
        ("trained network, every seed, rank-1 in % ≥ 75", trained_rank1, trained_rank1 >= 0.75),
        ("best minus worst learning rate, points of mAP ≥ 20", gap, gap >= 0.20),
    ]


def main() -> int:
    parser = harness.argument_parser(__doc__, "sample_data")
    parser.add_argument("--space", type=Path, default=Path("demo"), help="search-space file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(load_space(options.space), Path(folder))
    harness.finish(result, options.json, table(result))
    return 0 if all(met for *_, met in goals(result)) else 1


if __name__ == "__main__":
    sys.exit(main())
