"""A data set as a CSV file: the same as the folder that it was made of, and what is refused in one line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from command_line import CommandLine
from image_lists import SETTINGS, figures_on, listed, untrained_network, written
from refusals import refusal
from synthetic_layouts import draw_image

from sa_study.data import dataset_list
from sa_study.data.batches import training_batches
from sa_study.data.check import check_dataset
from sa_study.data.dataset import ReidDataset
from sa_study.data.dataset_list import read_list
from sa_study.data.device_images import DeviceImages
from sa_study.data.layouts import LIST, TEST_SPLITS
from sa_study.data.store import load_training_data
from sa_study.metrics.protocol import OTHER_CAMERAS
from sa_study.utils.errors import ConfigError, DataError

MakeMarket = Callable[..., Path]


def refused(path: Path) -> str:
    text = refusal(DataError, ReidDataset, path)
    assert text.startswith(str(path))
    return text.removeprefix(str(path))


@pytest.mark.parametrize("place", ["inside", "elsewhere"])
def test_a_list_of_any_layout_is_the_same_data_set(every: Path, tmp_path: Path, place: str) -> None:
    """Records, images in the order of training, validation, fingerprints, test figures: to the last bit."""
    before, network = ReidDataset(every), untrained_network()
    path = listed(every, (before.root if place == "inside" else tmp_path) / "list.csv")
    head, *rows = path.read_text().splitlines()
    if place == "inside":
        assert rows[0].startswith(f'"{before.train[0].path.relative_to(before.root)}"')
        path.write_text("\n".join([head, *reversed(rows)]))
    after = ReidDataset(path)
    assert after.layout is LIST and after.root == path
    assert (after.train, after.query, after.gallery) == (before.train, before.query, before.gallery)
    assert after.folders["gallery"].junk_images == before.folders["gallery"].junk_images
    data, same = (load_training_data(dataset, SETTINGS) for dataset in (before, after))
    assert same.store.fingerprint == data.store.fingerprint and same.store.protocol == OTHER_CAMERAS
    for name in ("train", "labels", "query", "gallery"):
        np.testing.assert_array_equal(getattr(same, name), getattr(data, name))
    epochs = [
        [torch.cat(part) for part in zip(*training_batches(one, images, SETTINGS, 0), strict=True)]
        for one in (data, same)
        for images in [DeviceImages(one.store.images, torch.device("cpu"))]
    ]
    assert all(map(torch.equal, *epochs))
    assert figures_on(network, path) == figures_on(network, every)


def test_the_command_writes_a_list_into_the_data_sets_folder(
    make_market: MakeMarket, tool: CommandLine, tmp_path: Path
) -> None:
    root = make_market()
    code, said, _ = tool.run("data", "list", root.parent)
    assert (code, said) == (0, f"written: {root / 'list.csv'}\n")
    tool.refuses("data", "list", root, naming=["list.csv: exists already; name another file"])
    tool.refuses("data", "list", root, "--out", tmp_path / "no" / "x.csv", naming=[f"{tmp_path / 'no'}"])
    code, said, _ = tool.run("data", "check", root / "list.csv")
    assert code == 0
    for line in (
        "recognised as a list of images: its columns are path, pid, camid and split",
        "ids: as listed; 1 images of the gallery are distractors (nobody's match), 1 are junk and left out",
        "cameras: images of a query's identity by its own camera do not count",
    ):
        assert line in said
    assert {record.pid for record in ReidDataset(root / "list.csv").gallery} == {0, 1, 2}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ": its first line names no column 'path'; found nothing"),
        (b"path,pid\na.jpg,1\n", ": its first line names no column 'split'; found 'path', 'pid'"),
        (b"path;pid;split\na.jpg;1;train\n", "; found 'path;pid;split'; separate the columns by commas"),
        (b"Path,pid,split\n", "no column 'path'; found 'Path', 'pid', 'split'; write 'path'"),
        (b"path,pid,camera,split\n", "names unknown column 'camera'; allowed are path, pid, camid, split"),
        (b"path,pid,pid,split\n", "names twice the column 'pid'"),
        (b"path,pid,split\n", ": lists no image with the split 'train'"),
        (b"path,pid,split\na.jpg,1,query\n", ": lists no image with the split 'train'"),
        (b"path,pid,split\na.jpg,1\n", ", line 2: has more or fewer cells than the first line"),
        (b"path,pid,split\na.jpg,1,train,2\n", ", line 2: has more or fewer cells than the first line"),
        (b"path,pid,split\n,1,train\n", ", line 2: the column 'path' holds no path"),
        (b"path,pid,split\na\0.jpg,1,train\n", "line 2: "),
        (b"path,pid,split\na.jpg,1,Train\n", "the split 'Train' is not one of train, query, gallery, distr"),
        (b"path,pid,split\na.jpg,0,train\n", "pid '0' is not a whole number from 1 to 10^18 - 1; images of"),
        (b"path,pid,split\na.jpg,-1,gallery\n", "the pid '-1' is not"),
        (b"path,pid,split\na.jpg,1.0,train\n", "the pid '1.0' is not"),
        (b"path,pid,split\na.jpg," + b"9" * 19 + b",train\n", f"the pid '{'9' * 19}' is not"),
        (b"path,pid,split\na.jpg," + b"0" * 9000 + b",train\n", "0…"),
        ("path,pid,split\na.jpg,٣,train\n".encode(), "the pid '٣' is not"),
        (b"path,pid,camid,split\na.jpg,1,-1,train\n", "camid '-1' is not a whole number from 0 to 10^9 - 1"),
        (b"path,pid,camid,split\na.jpg,1,,train\n", "leave out the column if the cameras are not known"),
        (
            b"path,pid,split\na.jpg,1,train\n./a.jpg,1,train\n",
            "line 3: the image './a.jpg' is in line 2 alre",
        ),
        (b"path,pid,split\na.jpg,1,gallery\nb/../a.jpg,,distractor\n", "is in line 2 already; take one out"),
        (b"path,pid,split\na.jpg,1,train\na.jpg,2,query\n", "line 3: the image 'a.jpg' has another identity"),
        (b"path,pid,camid,split\na.jpg,1,1,query\na.jpg,1,2,gallery\n", "or camera than in line 2; correct"),
        (b"path,pid,split\na.jpg,1,query\na.jpg,,junk\n", "line 3: the image 'a.jpg' has another identity"),
        (b"path,pid,split\n\xff.jpg,1,train\n", ": is no CSV file in UTF-8"),
        (b'path,pid,split\n"a.jpg,1,train\n', ": is no CSV file in UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0\0", ": "),
    ],
)
def test_what_is_no_list(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    assert words in refused(path)


def test_whatever_a_list_holds_it_is_read_or_one_line_says_why_not(tmp_path: Path) -> None:
    rows = (
        f"a/{number}.jpg,{number % 5 + 1},{number % 3},{('train', 'query')[number % 2]}"
        for number in range(20)
    )
    path, random = written(tmp_path, *rows), Random(0)
    sound, read = path.read_bytes(), 0
    for _ in range(500):
        content = bytearray(sound)
        for _ in range(random.randrange(1, 4)):
            place = random.randrange(len(content))
            content[place : place + random.randrange(3)] = random.choice(
                [b"", b'"', b",", b"\n", b"\0", b"\xff", b"9"]
            )
        path.write_bytes(content)
        try:
            read += bool(ReidDataset(path).train)
        except DataError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
    assert 0 < read < 500


def test_what_spreadsheets_write_is_read(tmp_path: Path) -> None:
    for name in ("a, b.jpg", "ü.jpg"):
        draw_image(tmp_path / name)
    (tmp_path / "mine.csv").write_bytes(
        '\ufeffsplit,path,pid\r\ntrain,"a, b.jpg",007\r\n\r\ntrain,"ü.jpg",7\r\n'.encode()
    )
    found = ReidDataset(tmp_path / "mine.csv").train
    assert [(record.path.name, record.pid, record.camid) for record in found] == [
        ("a, b.jpg", 7, -1),
        ("ü.jpg", 7, -2),
    ]


def test_paths_may_lead_anywhere(tmp_path: Path, make_market: MakeMarket) -> None:
    image = next(ReidDataset(make_market()).root.glob("query/*"))
    (tmp_path / "lists").mkdir()
    rows = (f"{image},1,train", f"../{image.relative_to(tmp_path)},1,query")
    path = written(tmp_path / "lists", *rows, head="path,pid,split")
    found = read_list(path)
    assert found["train"].records[0].path.read_bytes() == found["query"].records[0].path.read_bytes()
    assert found["train"].records[0].camid == found["query"].records[0].camid == -1, "one image, one camera"


def test_the_order_does_not_depend_on_where_the_list_lies(tmp_path: Path) -> None:
    archive = f"{tmp_path}/m/archive/1.jpg,1,0,train"
    orders = []
    for name in ("a", "z"):
        (tmp_path / name).mkdir()
        list_file = written(tmp_path / name, "shop/2.jpg,2,0,train", archive, "./shop/0.jpg,1,1,train")
        orders.append([record.path.name for record in read_list(list_file)["train"].records])
    assert orders == [["1.jpg", "0.jpg", "2.jpg"]] * 2


@pytest.mark.parametrize(("limit", "words"), [("MAX_LINES", "has 5 lines; a"), ("MAX_BYTES", "bytes; a")])
def test_long_lists_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, words: str
) -> None:
    monkeypatch.setattr(dataset_list, limit, 3)
    assert words in refused(written(tmp_path, *(f"{number}.jpg,1,1,train" for number in range(4))))


def test_what_is_not_there_or_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "link.csv").symlink_to("nowhere")
    (tmp_path / "folder.csv").mkdir()
    for name, words in (
        ("none.csv", ": No such file or directory; expected "),
        ("link.csv", ": No such file or directory; expected "),
        ("pipe.csv", ": Not a directory; expected "),
        ("folder.csv", ": no data set; found nothing; expected "),
    ):
        said = refused(tmp_path / name)
        assert words in said and said.endswith("or a list of images (LIST.csv)")


def test_a_list_for_training_alone_and_one_for_evaluation_alone(make_market: MakeMarket) -> None:
    root = make_market()
    head, *rows = listed(root, root / "list.csv").read_text().splitlines()
    path = written(root, *(row for row in rows if "train" in row), head=head)
    assert load_training_data(ReidDataset(path), SETTINGS).num_classes == 8
    with pytest.raises(DataError, match="lists no image with the split 'query'"):
        ReidDataset(path).require_matches()
    with pytest.raises(DataError, match="lists no image with the split 'query'"):
        ReidDataset(path, TEST_SPLITS)
    report = check_dataset(path)
    assert report.ok and report.warnings == (
        f"{path}: lists no query and gallery images, so it cannot be evaluated on",
    )
    written(root, *(row for row in rows if "train" not in row), head=head)
    assert len(ReidDataset(path, TEST_SPLITS).query) == 4
    report = check_dataset(path)
    assert report.ok and report.warnings == (f"{path}: lists no train images, so it cannot be trained on",)
    written(root, *(row for row in rows if "query" in row), head=head)
    assert check_dataset(path).errors == (
        f"{path}: lists no train and gallery images, so it cannot be trained on and evaluated on",
    )


def test_what_a_list_cannot_say_is_not_written(make_market: MakeMarket, tmp_path: Path) -> None:
    root, out = make_market(), tmp_path / "list.csv"
    image = draw_image(root / "bounding_box_train" / "0000_c1s1_000000_01.jpg")
    with pytest.raises(DataError, match="has id 0, which means a distractor, but is a train image"):
        listed(root, out)
    image.rename(image.with_name("0011_c1s1_\udcff.jpg"))
    with pytest.raises(DataError, match="its name is no UTF-8"):
        listed(root, out)
    assert not out.exists()
    out.symlink_to("nowhere")
    with pytest.raises(ConfigError, match="exists already"):
        listed(root, out)


@pytest.mark.parametrize(
    "words",
    [
        ("data", "check", "mine.csv"),
        ("data", "list", "mine.csv"),
        ("tune", "--data-dir", "mine.csv", "--study", "study", "--space", "small"),
        ("paper", "--data-dir", "mine.csv", "--out", "run"),
    ],
)
def test_a_bad_list_is_one_line_and_leaves_nothing(
    tool: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "a\u202e.jpg,x,1,train")
    tool.refuses(*words, naming=["mine.csv, line 2: the pid 'x' is not a whole number"])
