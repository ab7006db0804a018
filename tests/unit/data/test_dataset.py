from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from refusals import refusal

from sa_study.data.dataset import ReidDataset
from sa_study.data.layout_reader import read_split
from sa_study.data.layouts import MARKET
from sa_study.data.records import ImageRecord, SplitFolder
from sa_study.utils.errors import DataError

MakeMarket = Callable[..., Path]


def names(records: tuple[ImageRecord, ...]) -> list[str]:
    return [record.path.name for record in records]


def queries_of(root: Path, name: str) -> SplitFolder:
    """What is read from a folder that holds one file."""
    (root / "query").mkdir()
    (root / "query" / name).touch()
    return read_split(root, MARKET, "query")


def test_reads_the_three_folders_sorted_by_name(make_market: MakeMarket) -> None:
    dataset = ReidDataset(make_market(train_ids=[12, 3], test_ids=[7], cameras=2, images=2))
    taken = itertools.product((3, 12), (1, 2), (0, 1))
    assert names(dataset.train) == [
        f"{pid:04}_c{camera}s1_{number:06}_01.jpg" for pid, camera, number in taken
    ]
    assert [(r.pid, r.camid) for r in dataset.train[::2]] == [(3, 0), (3, 1), (12, 0), (12, 1)]
    assert [(r.pid, r.camid) for r in dataset.query] == [(7, 0), (7, 1)]
    assert [(r.pid, r.camid) for r in dataset.gallery] == [(0, 0), (7, 0), (7, 1)]


def test_junk_is_left_out_and_distractors_stay(make_market: MakeMarket) -> None:
    dataset = ReidDataset(make_market())
    assert 0 in {record.pid for record in dataset.gallery}
    assert -1 not in {record.pid for record in dataset.gallery}
    assert {split: folder.junk for split, folder in dataset.folders.items() if folder.junk} == {"gallery": 1}


@pytest.mark.parametrize(
    ("name", "pid", "camid"),
    [
        ("0002_c1s1_000451_03.jpg", 2, 0),
        ("0000_c6s3_086567_01.jpg", 0, 5),
        ("12345_c3s1_000001_00.JPG", 12345, 2),
        ("7_c12_f0046182.jpeg", 7, 11),
        ("0002_c01.PNG", 2, 0),
        ("0002_c2s1 Übergang 行人.png", 2, 1),
        ("0002_c1s1_0003_c5.jpg", 2, 0),
    ],
)
def test_names_that_parse(tmp_path: Path, name: str, pid: int, camid: int) -> None:
    folder = queries_of(tmp_path, name)
    assert folder.records == (ImageRecord(folder.path / name, pid, camid),)


@pytest.mark.parametrize(
    "name",
    [
        "Thumbs.db",
        "readme.txt",
        "0002_c1s1_000451_03.gif",
        "0002_c1s1_000451_03_good.mat",
        "0002_c0s1_000451_03.jpg",
        "0002_cs1.jpg",
        "x0002_c1s1.jpg",
        "._0002_c1s1.jpg",
        "-2_c1s1.jpg",
        "-10_c1s1.jpg",
        "person.jpg",
        "٢_c1s1.jpg",
        f"{10**18}_c1s1.jpg",
        f"0002_c{10**9}s1.jpg",
    ],
)
def test_names_that_are_stray(tmp_path: Path, name: str) -> None:
    folder = queries_of(tmp_path, name)
    assert (folder.records, folder.junk, folder.stray) == ((), 0, (name,))


@pytest.mark.parametrize("parent", ["run1_c2", "with space/ünï", "-1_c3"])
def test_the_parent_path_plays_no_part(make_market: MakeMarket, parent: str) -> None:
    dataset = ReidDataset(make_market(f"{parent}/market", train_ids=[5], cameras=1, images=1))
    assert [(record.pid, record.camid) for record in dataset.train] == [(5, 0)]


def test_the_parent_folder_will_do(make_market: MakeMarket) -> None:
    root = make_market("downloads/Market-1501-v15.09.15")
    (root.parent / "notes").mkdir()
    (root.parent / "archive.zip").touch()
    assert ReidDataset(root.parent).root == root
    assert ReidDataset(str(root)).train == ReidDataset(root.parent).train


def test_a_neighbour_that_may_not_be_read(make_market: MakeMarket, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_market("disk/market")
    (root.parent / "lost+found").mkdir()
    is_dir = Path.is_dir

    def guarded(path: Path) -> bool:
        if path.parent.name == "lost+found":
            raise PermissionError(13, "Permission denied")
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", guarded)
    assert ReidDataset(root.parent).root == root


def test_a_relative_root_gives_absolute_paths(
    make_market: MakeMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_market()
    monkeypatch.chdir(root.parent)
    assert ReidDataset("market").train == ReidDataset(root).train


def test_images_are_not_opened(make_market: MakeMarket) -> None:
    root = make_market()
    for path in root.rglob("*.jpg"):
        path.write_bytes(b"")
    assert len(ReidDataset(root).train) == 40


def test_records_pickle_and_are_frozen(tmp_path: Path) -> None:
    record = ImageRecord(tmp_path, 1, 2)
    assert pickle.loads(pickle.dumps(record)) == record
    with pytest.raises(AttributeError):
        record.pid = 3  # type: ignore[misc]


def test_two_data_sets_below_the_root(make_market: MakeMarket) -> None:
    make_market("data/market")
    root = make_market("data/duke").parent
    assert "several data sets (duke, market)" in refusal(DataError, ReidDataset, root)


def test_a_missing_root(tmp_path: Path) -> None:
    text = refusal(DataError, ReidDataset, tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in text
    assert "No such file or directory" in text
    assert "bounding_box_train" in text


def test_a_file_as_root(tmp_path: Path) -> None:
    (tmp_path / "market.zip").touch()
    with pytest.raises(DataError, match=r"market\.zip: Not a directory; expected the folder that holds"):
        ReidDataset(tmp_path / "market.zip")


def test_a_wrong_folder_says_what_was_found(tmp_path: Path) -> None:
    for name in ("a.txt", "b", "c", "d", "e"):
        (tmp_path / name).mkdir()
    found = "found a.txt, b, c and 2 more; expected the folder that holds"
    assert found in refusal(DataError, ReidDataset, tmp_path)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no data set; found nothing; expected"):
        ReidDataset(tmp_path)


@pytest.mark.parametrize("name", ["bounding_box_train", "query", "bounding_box_test"])
def test_a_missing_image_folder(make_market: MakeMarket, name: str) -> None:
    root = make_market()
    (root / name).rename(root / "other")
    text = refusal(DataError, ReidDataset, root)
    assert f"no folder {name}; found " in text and "other" in text


def test_a_folder_without_images_names_what_it_holds(make_market: MakeMarket) -> None:
    root = make_market()
    for path in (root / "query").iterdir():
        path.unlink()
    (root / "query" / "-1_c1s1_000001_01.jpg").touch()
    (root / "query" / "Thumbs.db").touch()
    text = refusal(DataError, ReidDataset, root)
    assert "query: no image named like" in text and "found Thumbs.db and 1 junk images" in text


def test_identities_on_both_sides(make_market: MakeMarket) -> None:
    dataset = ReidDataset(make_market(train_ids=[4, 5, 6], test_ids=[5, 6, 7]))
    text = refusal(DataError, dataset.require_disjoint)
    assert text.startswith("2 identities are in both the training and the test folders (5, 6)")


def test_a_distractor_is_no_shared_identity(make_market: MakeMarket) -> None:
    ReidDataset(make_market(train_ids=[0, 4], test_ids=[5])).require_disjoint()
