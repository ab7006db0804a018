"""Files that list a data set's images: whatever they hold, a line is used, or counted, or one says what."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from synthetic_layouts import make_msmt17

from sa_study.data import layout_reader
from sa_study.data.check import check_dataset
from sa_study.data.dataset import ReidDataset
from sa_study.data.layout_reader import MALFORMED, MISNAMED, OTHER_ID, OUTSIDE, TWICE, read_split
from sa_study.data.layouts import LAYOUTS
from sa_study.utils.errors import DataError

Draw = Callable[..., Path]

GOOD = "0000/0000_000_01_0303morning_0000_1.jpg"
"""An image that `make_msmt17` draws and `list_val.txt` lists."""

OTHER = "0003/0003_000_01_0303morning_0000_1.jpg"
"""One that `list_train.txt` lists."""


@pytest.fixture
def root(tmp_path: Path, draw_image: Draw) -> Path:
    return make_msmt17(tmp_path / "MSMT17_V1", draw_image)


def add(root: Path, line: str, name: str = "train") -> None:
    path = root / f"list_{name}.txt"
    path.write_bytes(path.read_bytes() + line.encode("utf-8", "surrogateescape"))


def refused(root: Path) -> str:
    with pytest.raises(DataError) as error:
        ReidDataset(root)
    text = str(error.value)
    assert "\n" not in text and text.isprintable()
    report = check_dataset(root)
    assert not report.ok
    assert text in report.errors
    return text


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("../test/0000/0000_000_03_0303morning_0000_0.jpg 0", OUTSIDE),
        ("0000/../../test/0000/0000_000_03_0303morning_0000_0.jpg 0", OUTSIDE),
        ("0000/0000_000_01_0303morning_0000_1.jpg/.. 0", OUTSIDE),
        ("/etc/0000_000_03_0303morning_0000_0.jpg 0", OUTSIDE),
        ("//server/share/0000_000_03_0303morning_0000_0.jpg 0", OUTSIDE),
        ("C:\\data\\0000_000_03_0303morning_0000_0.jpg 0", MISNAMED),
        ("..\\test\\0000_000_03_0303morning_0000_0.jpg 0", MISNAMED),
        ("/etc/passwd 0", OUTSIDE),
        (f"{GOOD} 0", TWICE),
        (f"./0000//./{GOOD[5:]} 0", TWICE),
        (f"{GOOD} 1", OTHER_ID),
        (f"{GOOD} -1", MALFORMED),
        (f"{GOOD} zero", MALFORMED),
        (f"{GOOD} 0.0", MALFORMED),
        (f"{GOOD} 1e3", MALFORMED),
        (f"{GOOD} ٠", MALFORMED),
        (f"{GOOD} {'9' * 5000}", MALFORMED),
        (GOOD, MALFORMED),
        ("path,id", MALFORMED),
        ("0", MALFORMED),
        ("0000/ 0", MISNAMED),
        ("0000/0000_000_00_0303morning_0000_0.jpg 0", MISNAMED),
        ("0000/0000_000_01_0303morning_0000_0.txt 0", MISNAMED),
        ("0000/person.jpg 0", MISNAMED),
        ("0000/0000_000_01_\x000303.jpg 0", MISNAMED),
        ("0000/0000_000_01_\x1b[31m0303.jpg 0", MISNAMED),
        ("0000/0000_000_01_\u202e0303.jpg 0", MISNAMED),
        (f"{GOOD} 0 6", MISNAMED),
        (f"{'a' * 1_000_000} 0", MISNAMED),
        (f"{'_' * 1_000_000}", MALFORMED),
    ],
)
def test_an_unusable_line_is_skipped_and_counted(root: Path, line: str, reason: str) -> None:
    before = ReidDataset(root)
    add(root, f"{line}\n{line}\r\n", "val")
    after = ReidDataset(root)
    assert (after.train, after.query, after.gallery) == (before.train, before.query, before.gallery)
    skipped = after.folders["train"].skipped
    assert {why: lines.count for why, lines in skipped.items()} == {reason: 2}
    assert skipped[reason].example.startswith("list_val.txt:13: ")
    assert skipped[reason].example.isprintable() and len(skipped[reason].example) < 300
    report = check_dataset(root)
    assert report.ok and report.splits["train"].stray == 2
    (warning,) = report.warnings
    assert warning.startswith(f"{root}: 2 lines of list files left out, {reason}: list_val.txt:13: ")


@pytest.mark.parametrize("name", ["train", "val", "query", "gallery"])
def test_images_that_are_not_there(root: Path, name: str) -> None:
    folder = "train" if name in ("train", "val") else "test"
    lines = ["0001/0001_900_01_0303noon_0000_0.jpg 1", f"{'x' * 300}/0077_000_01_0303noon_0000_0.jpg 77"]
    add(root, "\n".join(lines), name)
    text = refused(root)
    listed = "list_train.txt and list_val.txt" if folder == "train" else f"list_{name}.txt"
    assert len(text) < 500
    assert text.startswith(f"{root / folder}: 2 images of {listed} are missing (0001/0001_900_01")
    assert text.endswith("; restore them, or take their lines out")


@pytest.mark.parametrize("name", ["train", "val", "query", "gallery"])
def test_a_missing_list(root: Path, name: str) -> None:
    (root / f"list_{name}.txt").unlink()
    assert refused(root).startswith(
        f"{root}: no file list_{name}.txt; restore it, or put an empty file in its place"
    )


def test_an_empty_list_val_leaves_the_training_list_alone(root: Path) -> None:
    (root / "list_val.txt").write_bytes(b"")
    dataset = ReidDataset(root)
    assert dataset.folders["train"].used == {"list_train.txt": 36, "list_val.txt": 0}
    assert len(dataset.train) == 36


@pytest.mark.parametrize("name", ["train", "test"])
def test_a_missing_folder(root: Path, name: str) -> None:
    (root / name).rename(root / "elsewhere")
    text = refused(root)
    assert text.startswith(f"{root}: no folder {name}; found elsewhere, ")
    assert text.endswith(
        "; MSMT17_V1 is made up of train, test, list_train.txt, list_val.txt, list_query.txt, "
        "list_gallery.txt"
    )


def test_all_lines_are_of_no_use(root: Path) -> None:
    (root / "list_query.txt").write_text(f"nothing\n/etc/passwd 0\n{GOOD} 5\nnothing\n")
    text = refused(root)
    assert text.startswith(
        f"{root}: no line of list_query.txt like '0000_000_01_0303morning_0008_0.jpg ID'; found "
    )
    assert f"2 × {MALFORMED} (list_query.txt:1: 'nothing')" in text
    assert f"1 × {OUTSIDE} (list_query.txt:2: '/etc/passwd 0')" in text


@pytest.mark.parametrize("content", [b"", b"\n\r\n  \n", b"\xef\xbb\xbf"])
def test_an_empty_list(root: Path, content: bytes) -> None:
    (root / "list_gallery.txt").write_bytes(content)
    assert refused(root).endswith("ID'; found nothing")


@pytest.mark.parametrize("end", ["\r\n", "\n", "\n\n", " \n", "\t\r\n"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_byte_order_marks_play_no_part(root: Path, start: bytes, end: str) -> None:
    before = ReidDataset(root)
    for path in root.glob("list_*.txt"):
        path.write_bytes(start + path.read_text().replace("\n", end).encode())
    after = ReidDataset(root)
    assert (after.train, after.query, after.gallery) == (before.train, before.query, before.gallery)
    assert not after.folders["train"].skipped


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_another_encoding(root: Path, encoding: str) -> None:
    path = root / "list_query.txt"
    path.write_text(path.read_text(), encoding)
    assert refused(root) == f"{path}: is no UTF-8 text (byte 1); restore it"


def test_a_list_that_is_a_folder_or_a_pipe(root: Path) -> None:
    path = root / "list_query.txt"
    path.unlink()
    path.mkdir()
    assert "no file list_query.txt" in refused(root)
    path.rmdir()
    os.mkfifo(path)
    assert "no file list_query.txt" in refused(root)


def test_a_list_that_is_too_large(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout_reader, "MAX_LIST_BYTES", 2**20)
    path = root / "list_gallery.txt"
    path.write_bytes(b"\n" * (2**20 + 1))
    assert refused(root) == (
        f"{path}: has {2**20 + 1} bytes, more than {2**20}; is this a list of the data set's images?"
    )


def test_ten_megabytes_are_read_in_seconds(root: Path) -> None:
    """Lines of each kind by the ten thousand, many of which name a folder of their own."""
    kinds = ["x{0}/0000_0_1_.txt 0", "../{0}/0000_000_01_.jpg 0", "{0}", f"{GOOD} 0", f"{GOOD} {{0}}"]
    kinds += ["x{0}/0000_000_01_0303morning_.jpg 0"]
    text = "".join(f"{kind.format(number)}\n" for number in range(60_000) for kind in kinds)
    assert len(text) > 10_000_000
    add(root, text, "val")
    start = time.process_time()
    folder = read_split(root, LAYOUTS[1], "train")
    assert time.process_time() - start < 20, "usually 2 s of CPU time"
    assert len(folder.records) == 48 and len(folder.missing) == 60_000
    assert sum(found.count for found in folder.skipped.values()) == 300_000
    with pytest.raises(DataError, match=r"60000 images of list_train.txt and list_val.txt are missing"):
        folder.require_images()


def test_a_link_that_leads_out_is_not_followed(root: Path, tmp_path: Path, draw_image: Draw) -> None:
    """Nor are folders behind one scanned; a link that stays inside is as good as the file."""
    before = len(ReidDataset(root).train)
    outside = draw_image(tmp_path / "0005_900_01_0303noon_0000_0.jpg")
    (tmp_path / "0006").mkdir()
    draw_image(tmp_path / "0006" / "0006_900_01_0303noon_0000_0.jpg")
    (root / "train" / "0005" / outside.name).symlink_to(outside)
    (root / "train" / "elsewhere").symlink_to(tmp_path / "0006")
    (root / "train" / "0003" / "0003_900_01_0303noon_0000_0.jpg").symlink_to(
        root / "train" / "0003" / "0003_000_01_0303morning_0000_1.jpg"
    )
    (root / "train" / "0003" / "loop").symlink_to("loop")
    add(root, f"0005/{outside.name} 5\nelsewhere/0006_900_01_0303noon_0000_0.jpg 6\n")
    add(root, "0003/0003_900_01_0303noon_0000_0.jpg 3\n")
    dataset = ReidDataset(root)
    assert {why: lines.count for why, lines in dataset.folders["train"].skipped.items()} == {OUTSIDE: 2}
    assert len(dataset.train) == before + 1


def test_a_data_set_behind_links(root: Path, tmp_path: Path) -> None:
    """Where the images are on another disk, the folder itself may be a link."""
    images = ReidDataset(root).train
    (root / "train").rename(tmp_path / "disk")
    (root / "train").symlink_to(tmp_path / "disk")
    (tmp_path / "linked").symlink_to(root)
    assert ReidDataset(root).train == images
    assert len(ReidDataset(tmp_path / "linked").train) == len(images)


def test_a_folder_that_may_not_be_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def guarded(path: Path) -> Any:
        if Path(path).name == "0004":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    assert refused(root) == f"{root}/train/0004: Permission denied; a list names images in it"


def test_whatever_a_list_holds_images_come_from_the_folder_alone(root: Path) -> None:
    """Lines put together at random from pieces of good and bad ones, 100 lists of 50."""
    pieces = [*GOOD.split("_"), "/", "..", ".", "\\", "\t", "\0", "\r", "-1", "0", "12", "0000/", "0003/"]
    pieces += [".jpg", f"{GOOD} 0", f"{OTHER} 3", "\n", "\n", "/etc/passwd 0", " ", " ", "_", "test", "٠"]
    pieces += ["\ufeff", "é"]
    random, inside, met = Random(0), set((root / "train").rglob("*.jpg")), set[Path]()
    for _ in range(100):
        lines = ["".join(random.choices(pieces, k=random.randint(1, 8))) for _ in range(50)]
        text = "\n".join(lines).removeprefix("\ufeff")
        (root / "list_train.txt").write_text(text, newline="")
        folder = read_split(root, LAYOUTS[1], "train")
        found = [record.path for record in folder.records]
        assert len(set(found)) == len(found) and set(found) <= inside
        for record in folder.records:
            pid, _, camera = record.path.name.split("_")[:3]
            assert (record.pid, record.camid) == (1_000_000 + int(pid), int(camera) - 1)
        named = sum(bool(line.strip()) for line in text.split("\n"))
        assert len(found) + len(folder.missing) + folder.stray_count == named + 12
        met |= set(found)
    assert root / "train" / OTHER in met, "good lines were among them"
