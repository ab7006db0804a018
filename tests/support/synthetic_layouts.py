"""Tiny data sets as the distributors of Market-1501, DukeMTMC-reID, CUHK03-NP and MSMT17 lay theirs out."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image

Draw = Callable[..., Path]

TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"


def draw_image(path: Path, size: tuple[int, int] = (64, 32)) -> Path:
    """Writes an image of coloured blocks that depend on its file name."""
    rng = np.random.default_rng(zlib.crc32(path.name.encode()))
    blocks = Image.fromarray(rng.integers(0, 256, (8, 4, 3), dtype=np.uint8))
    blocks.resize((size[1], size[0]), Image.Resampling.BILINEAR).save(path)
    return path


def make_market(
    root: Path,
    train_ids: Iterable[int] = range(11, 21),
    test_ids: Iterable[int] = (1, 2),
    cameras: int = 2,
    images: int = 2,
    size: tuple[int, int] = (64, 32),
) -> Path:
    """Market-1501: every identity has this many images in each camera.

    Of a test identity's one is the query, and the gallery holds the rest, and a distractor and a junk image.
    """
    for split in (TRAIN, QUERY, GALLERY):
        (root / split).mkdir(parents=True)

    def write(split: str, person: str, camera: int, number: int) -> None:
        draw_image(root / split / f"{person}_c{camera}s1_{number:06}_01.jpg", size)

    for camera in range(1, cameras + 1):
        for number in range(images):
            for pid in train_ids:
                write(TRAIN, f"{pid:04}", camera, number)
            for pid in test_ids:
                write(GALLERY if number else QUERY, f"{pid:04}", camera, number)
    write(GALLERY, "0000", 1, 0)
    write(GALLERY, "-1", 1, 0)
    return root


def make_duke(
    root: Path, draw: Draw, train: Iterable[int] = range(1, 11), test: Iterable[int] = (20, 7140)
) -> Path:
    """DukeMTMC-reID: one query an identity and camera; the gallery also has someone of one camera only."""
    for split in (TRAIN, QUERY, GALLERY):
        (root / split).mkdir(parents=True)
    for camera in (2, 8):
        for frame in (44158, 44278):
            for pid in train:
                draw(root / TRAIN / f"{pid:04}_c{camera}_f{frame:07}.jpg")
            for pid in test:
                draw(root / (QUERY if frame == 44158 else GALLERY) / f"{pid:04}_c{camera}_f{frame:07}.jpg")
    draw(root / GALLERY / "0303_c5_f0183709.jpg")
    return root


def make_cuhk03(root: Path, draw: Draw) -> Path:
    """CUHK03-NP: `labeled` and `detected`, PNG files, numbers that go on within a person."""
    for boxes, size in (("labeled", (64, 32)), ("detected", (60, 28))):
        for split in (TRAIN, QUERY, GALLERY):
            (root / boxes / split).mkdir(parents=True)
        for camera in (1, 2):
            for number in (1, 2):
                where = f"c{camera}_{5 * (camera - 1) + number}.png"
                for pid in range(1, 21, 2):
                    draw(root / boxes / TRAIN / f"{pid:04}_{where}", size)
                for pid in (2, 1467):
                    draw(root / boxes / (QUERY if number == 1 else GALLERY) / f"{pid:04}_{where}", size)
    return root


def make_msmt17(root: Path, draw: Draw, train: str = "train", test: str = "test") -> Path:
    """MSMT17: a folder a person, four lists; training and test people both count from 0."""
    lists: dict[str, list[str]] = {name: [] for name in ("train", "val", "query", "gallery")}

    def write(folder: str, name: str, pid: int, index: int, camera: int) -> None:
        path = f"{pid:04}/{pid:04}_{index:03}_{camera:02}_0303morning_{index:04}_{camera % 3}.jpg"
        (root / folder / path).parent.mkdir(parents=True, exist_ok=True)
        draw(root / folder / path)
        lists[name].append(f"{path} {pid}")

    for pid in range(12):
        for index, camera in enumerate((1, 1, 15, 15)):
            write(train, "val" if (pid + index) % 4 == 0 else "train", pid, index, camera)
    for pid in range(3):
        for index, camera in enumerate((3, 3, 12, 12)):
            write(test, "gallery" if index % 2 else "query", pid, index, camera)
    for name, lines in lists.items():
        (root / f"list_{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    return root
