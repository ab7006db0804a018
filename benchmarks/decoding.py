"""How fast images get from their files into memory, beside a plain loop and PyTorch's usual way.

Usage: python benchmarks/decoding.py [--data-dir DIR] [--images N] [--rounds N] [--json FILE]

Takes Market-1501's training images, or without --data-dir as many drawn JPEGs of 128×64. One pass by each,
in turns, each in a fresh process, the files in the system's cache: the study's own decoding, once a run,
which keeps the images and takes every file's SHA-256; a loop of one thread, which does neither; a
`DataLoader` of two workers, which decodes in every epoch, to bytes, and to the resized, mirrored and
normalised floats of the published code. About a minute on two cores.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import harness
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sa_study.data.batches import MEAN, STD
from sa_study.data.dataset import ReidDataset
from sa_study.data.records import ImageRecord
from sa_study.data.store import decode

MARKET = 12936
"""Training images of Market-1501."""

GOAL = 4.0
"""Seconds that two cores may take to decode that many images."""

WORKERS, BATCH = 2, 48
OURS = "ours: kept, SHA-256 included"


class Files(Dataset[Tensor]):
    """Images as one usually writes it for PyTorch."""

    def __init__(self, paths: Sequence[Path], transform: Any):
        self._paths = paths
        self._transform = transform

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Tensor:
        with Image.open(self._paths[index]) as image:
            tensor: Tensor = self._transform(image.convert("RGB"))
        return tensor


def draw_images(folder: Path, count: int) -> list[ImageRecord]:
    """Writes JPEGs of 128×64 of about Market-1501's size in bytes."""
    rng = np.random.default_rng(0)
    records = []
    for number in range(count):
        blocks = Image.fromarray(rng.integers(256, size=(16, 8, 3), dtype=np.uint8))
        path = folder / f"{number:06}_c1.jpg"
        blocks.resize((64, 128), Image.Resampling.BICUBIC).save(path, quality=90)
        records.append(ImageRecord(path, number, 0))
    return records


def differing(records: Sequence[ImageRecord]) -> int:
    """Images of which any byte is not what Pillow alone makes of them."""
    images = decode(records).images
    return sum(
        not np.array_equal(mine, np.asarray(Image.open(record.path).convert("RGB")))
        for mine, record in zip(images, records, strict=True)
    )


def loop(records: Sequence[ImageRecord]) -> None:
    """One thread, nothing kept."""
    for record in records:
        with Image.open(record.path) as image:
            np.asarray(image.convert("RGB"))


def loaded(records: Sequence[ImageRecord], transform: Any) -> None:
    """One pass of a DataLoader, its workers' start included, as each epoch has it."""
    files = Files([record.path for record in records], transform)
    # As in a process that was begun by hand; workers of a spawned one would import PyTorch anew.
    for _ in DataLoader(files, BATCH, num_workers=WORKERS, multiprocessing_context="fork"):
        pass


def to_bytes(records: Sequence[ImageRecord]) -> None:
    """Only what becomes of an image here too."""
    from torchvision import transforms  # imports PyTorch's compiler: not for who only draws images

    loaded(records, transforms.PILToTensor())


def published(records: Sequence[ImageRecord]) -> None:
    """The published code's transforms."""
    from torchvision import transforms  # as above

    steps = [
        transforms.Resize((384, 128)),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    loaded(records, transforms.Compose(steps))


WAYS: dict[str, Callable[[Sequence[ImageRecord]], object]] = {
    OURS: decode,
    "Pillow in a loop, not kept": loop,
    f"DataLoader, {WORKERS} workers, to bytes": to_bytes,
    f"DataLoader, {WORKERS} workers, as published": published,
}


def once(way: str, records: Sequence[ImageRecord]) -> float:
    """Seconds of one pass."""
    torch.manual_seed(0)
    WAYS[way](records[:BATCH])  # warms up
    return harness.seconds(lambda: WAYS[way](records))


def measure(records: Sequence[ImageRecord], rounds: int) -> dict[str, Any]:
    wrong = differing(records)  # reads every file, so that the first round finds them in the cache too
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            taken[way].append(harness.in_fresh_process(once, way, records))
    return {
        "images": len(records),
        "bytes_an_image": statistics.mean(record.path.stat().st_size for record in records),
        "rounds": rounds,
        "seconds": {name: statistics.median(seconds) for name, seconds in taken.items()},
        "ratio": {name: harness.ratio(seconds, taken[OURS]) for name, seconds in taken.items()},
        "market_seconds": statistics.median(taken[OURS]) * MARKET / len(records),
        "differing": wrong,
    }


def table(result: Mapping[str, Any]) -> harness.Table:
    rows = [
        (name, f"{seconds:.2f} s", f"{result['images'] / seconds:,.0f}", f"{result['ratio'][name]:.1f}")
        for name, seconds in result["seconds"].items()
    ]
    title = (
        f"{result['images']:,} images of {result['bytes_an_image']:,.0f} bytes, one pass, median of "
        f"{result['rounds']} rounds"
    )
    seconds = result["market_seconds"]
    goal = f"goal on 2 cores ≤ {GOAL:.0f} s, {'met' if seconds <= GOAL else 'missed'}"
    note = f"{result['differing']} images differ from Pillow's; {MARKET:,} images: {seconds:.1f} s ({goal})"
    return harness.table(title, ("what", "time", "images/s", "times ours"), rows, note)


def main() -> None:
    parser = harness.argument_parser(__doc__, "decoding")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="Market-1501; default: drawn images")
    parser.add_argument("--images", type=int, default=MARKET, help="most images; default %(default)s")
    parser.add_argument("--rounds", type=int, default=2, help="their median counts; default %(default)s")
    options = parser.parse_args()
    given = options.data_dir
    with nullcontext("") if given else tempfile.TemporaryDirectory(prefix="decoding_") as place:
        records = ReidDataset(given).train if given else draw_images(Path(place), options.images)
        result = measure(records[: options.images], options.rounds)
    harness.finish({"data": "Market-1501" if given else "drawn", **result}, options.json, table(result))


if __name__ == "__main__":
    main()
