"""A data set in Market-1501's layout gives, bit for bit, what it gave when studies were first recorded."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from sa_study.data.dataset import ReidDataset
from sa_study.data.split import limit_identities
from sa_study.data.store import load_training_data
from sa_study.data.store import test_data as load_test_data
from sa_study.settings.run import Settings

SETTINGS = Settings(depth=18, pretrained="none", val_identities=3, split_seed=5, batch_size=16)


def bitmap(text: str) -> bytes:
    """An image byte by byte (BMP): what an encoder writes would change with its version."""
    values = text.encode()[:18].ljust(18, b".")
    rows = b"".join(values[start : start + 6] + b"\0\0" for start in (0, 6, 12))
    head = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 78, 0, 0, 54, 40, 2, 3, 1, 24, 0, 24, 0, 0, 0, 0)
    return head + rows


@pytest.fixture
def dataset(tmp_path: Path) -> ReidDataset:
    def write(folder: str, person: str, camera: int, number: int) -> None:
        stem = f"{person}_c{camera}s1_{number:06}_01"
        path = tmp_path / folder / f"{stem}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bitmap(stem))

    for camera in (1, 2, 3):
        for number in (0, 1):
            for pid in range(11, 26):
                write("bounding_box_train", f"{pid:04}", camera, number)
            for pid in (1, 2):
                write("bounding_box_test" if number else "query", f"{pid:04}", camera, number)
    write("bounding_box_test", "0000", 1, 0)
    write("bounding_box_test", "-1", 1, 0)
    return ReidDataset(tmp_path)


def test_the_training_images_and_who_is_held_out(dataset: ReidDataset) -> None:
    data = load_training_data(dataset, SETTINGS)
    assert data.store.fingerprint == "591010e23a4941d7e4629e007d5a28d83dbc8406de93fb4f1ea545e2b2118866"
    assert data.train.tolist() == list(range(6, 78))
    assert data.query.tolist() == [0, 3, 4, 79, 80, 83, 85, 86, 89]
    assert data.gallery.tolist() == [1, 2, 5, 78, 81, 82, 84, 87, 88]
    assert data.store.pids[data.query].tolist() == [11] * 3 + [24] * 3 + [25] * 3


def test_who_is_used_of_a_limited_number(dataset: ReidDataset) -> None:
    assert {record.pid for record in limit_identities(dataset.train, 6, 5)} == {15, 16, 17, 19, 20, 24}


def test_the_test_images(dataset: ReidDataset) -> None:
    query, gallery = load_test_data(dataset, (3, 2))
    assert query.fingerprint == "cf450a7cc8644ff962cef04e51cb7ee82e3c7c9356951786c45d9654b7b08400"
    assert gallery.fingerprint == "350d61c81670cd25cbc0b02e9f390bb6d5df2c6ca260002263d7b017be1260d9"
    assert query.pids.tolist() == [1, 1, 1, 2, 2, 2]
    assert gallery.pids.tolist() == [0, 1, 1, 1, 2, 2, 2]
    assert gallery.camids.tolist() == [0, 0, 1, 2, 0, 1, 2]


def test_another_fold_is_other_people(dataset: ReidDataset) -> None:
    data = load_training_data(dataset, Settings(**SETTINGS.to_dict() | {"fold": 1}))
    assert data.store.fingerprint == "591010e23a4941d7e4629e007d5a28d83dbc8406de93fb4f1ea545e2b2118866"
    held_out = set(data.store.pids[data.query].tolist())
    assert len(held_out) == 3 and held_out.isdisjoint({11, 24, 25})
