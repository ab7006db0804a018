"""Lists of images, for tests: written of a folder, of rows, and without cameras."""

from __future__ import annotations

import csv
from pathlib import Path

import torch
from small_space import SMALL

from sa_study.data.dataset import ReidDataset
from sa_study.data.dataset_list import write_list
from sa_study.data.layouts import TEST_SPLITS
from sa_study.settings.run import Settings
from sa_study.training.evaluate import TrainedNetwork, evaluate, load_test_images
from sa_study.training.trainer import build_network

SETTINGS = Settings(**SMALL, num_features=8, epochs=1, val_identities=2)


def untrained_network() -> TrainedNetwork:
    """A network with seeded random weights."""
    torch.manual_seed(0)
    return TrainedNetwork(build_network(SETTINGS, 10), SETTINGS, Path("weights.pt"), None)


def listed(root: Path, out: Path) -> Path:
    """A list of a data set."""
    write_list(ReidDataset(root).folders, out)
    return out


def without_cameras(path: Path) -> Path:
    """A list without its column of cameras."""
    rows = csv.DictReader(path.read_text().splitlines())
    lines = [",".join(row[name] for name in ("path", "pid", "split")) for row in rows]
    path.write_text("\n".join(["path,pid,split", *lines]))
    return path


def written(folder: Path, *rows: str, head: str = "path,pid,camid,split") -> Path:
    """A list of these rows."""
    path = folder / "mine.csv"
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def figures_on(network: TrainedNetwork, root: Path) -> dict[str, object]:
    """An evaluation without what may differ between two of the same images."""
    found = evaluate(network, load_test_images(ReidDataset(root, TEST_SPLITS), SETTINGS), reranked=True)
    del found["seconds"], found["data"]["root"]
    return found
