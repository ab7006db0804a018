"""How hard the sample data is: rankings of its test split by histograms, untrained and trained networks.

Usage: python benchmarks/sample_data.py [--space FILE] [--json FILE]

Draws the default sample data (seed 0) into a temporary folder. Networks have the fixed settings of the demo's
space; the learning rates are spread evenly (on the logarithmic scale) over the range that it searches. Each
trains as a trial does, on one thread, and is scored after its last epoch on query and gallery, images of the
query's identity by the query's camera left out. About 5 minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sa_study.data.dataset import ReidDataset
from sa_study.data.device_images import DeviceImages
from sa_study.data.sample import make_sample_data
from sa_study.data.store import ImageStore, TrainingData, test_data, training_data
from sa_study.metrics.distances import rank_features
from sa_study.settings.run import Settings
from sa_study.settings.space import SearchSpace
from sa_study.settings.space_file import load_space
from sa_study.training.features import extract_features
from sa_study.training.trainer import Trainer, build_network
from sa_study.utils.errors import Diverged

GOOD = {"lr": 0.05, "dropout": 0.0, "epochs": 4}
"""A good setting of the demo's space, found by hand; `space` fixes the rest."""
SEEDS = (0, 1, 2)
LEARNING_RATES = 5


class TestSplit(NamedTuple):
    """Query and gallery images."""

    query: ImageStore
    gallery: ImageStore


class Histogram(NamedTuple):
    """A variant of the colour-histogram ranking; the first is the plain one."""

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
    # The strongest of 16 variants tried: it is told where in the box people stand.
    Histogram("stripes, middle, white-balanced", stripes=6, middle=True, balanced=True, bins=4),
)


def histograms(images: NDArray[np.uint8], kind: Histogram) -> Tensor:
    """Square roots of RGB histograms, whose Euclidean distance is Hellinger's; N×D."""
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


def measure(space: SearchSpace, root: Path, console: Console) -> dict[str, Any]:
    def settings(**changed: float) -> Settings:
        return space.settings({**space.baseline, **GOOD, **changed, "threads": 1, "device": "cpu"})

    start = time.process_time()
    dataset = ReidDataset(make_sample_data(root / "data"))
    drawing = time.process_time() - start
    config = settings()
    size = (config.height, config.width)
    data = training_data(dataset, config.val_identities, config.split_seed, size)
    test = TestSplit(*test_data(dataset, size))
    pictures = len(data.store.pids) + len(test.query.pids) + len(test.gallery.pids)
    pictures += dataset.folders["gallery"].junk
    result: dict[str, Any] = {"pictures": pictures, "pictures_per_second": pictures / drawing}
    result["queries"], result["gallery"] = (len(store.pids) for store in test)
    result["histograms"] = [scored_histogram(kind, test) for kind in HISTOGRAMS]
    result["untrained"] = [untrained(settings(seed=seed), data, test) for seed in SEEDS]
    for key, runs in (
        ("trained", [settings(seed=seed) for seed in SEEDS]),
        ("learning_rates", [settings(lr=lr) for lr in learning_rates(space)]),
    ):
        result[key] = []
        for run in runs:
            result[key].append(trained(run, data, test))
            console.print(f"{key}: lr {run.lr:.3g}, seed {run.seed} done", highlight=False)
    maps = [run["mAP"] for run in result["learning_rates"]]
    result["learning_rate_gap"] = max(maps) - min(maps)
    result["versions"] = {"python": platform.python_version(), "torch": torch.__version__}
    return result


def table(result: dict[str, Any]) -> Table:
    view = Table(title=f"Sample data, test split: {result['queries']} queries, {result['gallery']} gallery")
    for column in ("ranking by", "rank-1", "mAP"):
        view.add_column(column, justify="left" if column == "ranking by" else "right")

    def add(name: str, row: Mapping[str, float]) -> None:
        view.add_row(name, f"{row['rank1']:.1%}", f"{row['mAP']:.1%}")

    for row in result["histograms"]:
        add(f"colour histogram: {row['name']}", row)
    for row in result["untrained"]:
        add(f"untrained network, seed {row['seed']}", row)
    for row in result["trained"]:
        add(f"trained network, seed {row['seed']}, {row['cpu_seconds']:.0f} s of CPU", row)
    for row in result["learning_rates"]:
        add(f"trained with lr {row['lr']:.3g}, seed {row['seed']}", row)
    return view


def verdicts(result: dict[str, Any]) -> list[tuple[str, float, bool]]:
    plain = result["histograms"][0]["rank1"]
    start = max(row["rank1"] for row in result["untrained"])
    best = min(row["rank1"] for row in result["trained"])
    gap = result["learning_rate_gap"]
    return [
        ("plain colour histogram, rank-1 ≤ 40 %", plain, plain <= 0.40),
        ("untrained network, every seed, rank-1 ≤ 30 %", start, start <= 0.30),
        ("trained network, every seed, rank-1 ≥ 75 %", best, best >= 0.75),
        ("best less worst learning rate ≥ 20 points of mAP", gap, gap >= 0.20),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--space", type=Path, default=Path("demo"), help="search-space file")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(load_space(options.space), Path(folder), console)
    console.print(table(result))
    console.print(f"{result['pictures']} pictures, {result['pictures_per_second']:.0f} a second of CPU")
    for text, value, met in verdicts(result):
        console.print(f"{'yes' if met else 'NO ':3} {text}: {value:.1%}", highlight=False)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if all(met for *_, met in verdicts(result)) else 1


if __name__ == "__main__":
    sys.exit(main())
