"""Features of many images: memory by their number, and speed beside `evaluate`'s.

Usage: python benchmarks/features.py [--images N [N ...]] [--json FILE]

A list names the same 1,000 drawn JPEGs of 128×64 as often as it takes. Each number of images is a fresh
process that does what the command `features` does: read the list, decode, compute, write the files. The
network is small (ResNet-18 at 32×16), so that most of the work is the rest. Beside it, the features of the
first 10,000 as `evaluate` computes them: decoded into memory, then features. About 10 minutes.
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path
from typing import Any

import harness
import torch
from decoding import draw_images

from sa_study.analysis.features import write_features
from sa_study.data.image_list import list_images
from sa_study.data.records import ImageRecord
from sa_study.data.store import decode
from sa_study.settings.run import Settings
from sa_study.training.evaluate import TrainedNetwork
from sa_study.training.extractor import FeatureExtractor
from sa_study.training.features import extract_features_from_array
from sa_study.training.trainer import build_network

FILES, BESIDE = 1_000, 10_000
SETTINGS = Settings.from_mapping(
    {"backbone": "resnet18", "pretrained": "none", "height": 32, "width": 16, "parts": 2, "num_features": 64}
)


def network(folder: Path) -> TrainedNetwork:
    """An untrained network; speed and memory do not depend on its weights."""
    torch.manual_seed(0)
    net = build_network(SETTINGS, num_classes=2)
    torch.save(net.state_dict(), folder / "weights.pt")
    return TrainedNetwork(net, SETTINGS, folder / "weights.pt", None)


def write_list(folder: Path, count: int) -> Path:
    """Writes a list of `count` images, which names the drawn ones in turn."""
    names = sorted(path.name for path in folder.glob("*.jpg"))
    with (folder / f"{count}.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path"])
        rows.writerows([names[number % len(names)]] for number in range(count))
    return folder / f"{count}.csv"


def streamed(folder: Path, count: int, name: str) -> dict[str, float]:
    """Writes features as the command `features` does, into a folder of this name; its time and memory."""
    with harness.peak_memory() as memory:
        extractor = FeatureExtractor(network(folder))
        source = write_list(folder, count)
        out = folder / name
        taken = harness.seconds(lambda: write_features(extractor, list_images(source), out, lambda *_: None))
    size = sum(path.stat().st_size for path in out.iterdir())
    return {"images": count, "seconds": taken, "disk_mib": size / 2**20, **memory}


def in_memory(folder: Path, count: int) -> float:
    """Seconds in which `evaluate` has the features of the same images."""
    trained, paths = network(folder), sorted(folder.glob("*.jpg"))
    images = [ImageRecord(paths[number % FILES], number, 0) for number in range(count)]
    return harness.seconds(lambda: extract_features_from_array(trained.net, SETTINGS, decode(images).images))


def measure(counts: list[int]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="features_") as place:
        folder = Path(place)
        draw_images(folder, FILES)
        rows = [harness.in_fresh_process(streamed, folder, count, f"rows_{count}") for count in counts]
        beside = harness.in_fresh_process(streamed, folder, BESIDE, "beside")["seconds"]
        evaluated = harness.in_fresh_process(in_memory, folder, BESIDE)
    return {"rows": rows, "share_of_evaluate": evaluated / beside, "beside": BESIDE}


def table(result: dict[str, Any]) -> harness.Table:
    rows = [
        (
            f"{row['images']:,}",
            f"{row['growth_mib']:,.0f} MiB",
            f"{row['disk_mib']:,.0f} MiB",
            f"{row['images'] / row['seconds']:,.0f}",
        )
        for row in result["rows"]
    ]
    speed = result["share_of_evaluate"]
    note = (
        f"of {result['beside']:,} images, {speed:.0%} of the speed at which `evaluate` has features in memory"
    )
    return harness.table(
        "Features of any images", ("images", "memory added", "files", "images/s"), rows, note
    )


def main() -> None:
    parser = harness.argument_parser(__doc__, "features")
    counts = [10_000, 100_000]
    parser.add_argument(
        "--images", type=int, nargs="+", default=counts, help="numbers of images; default %(default)s"
    )
    options = parser.parse_args()
    result = measure(options.images)
    harness.finish(result, options.json, table(result))


if __name__ == "__main__":
    main()
