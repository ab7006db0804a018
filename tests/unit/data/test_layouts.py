"""Each published layout, drawn: how it is recognised, whose each image is, a run from training to ranking."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from refusals import refusal
from small_space import SMALL
from synthetic_layouts import make_cuhk03, make_duke, make_msmt17

from sa_study import cli
from sa_study.data.check import check_dataset
from sa_study.data.dataset import ReidDataset
from sa_study.data.layouts import CUHK03_NP, DUKE, LAYOUTS, MARKET, Layout
from sa_study.data.records import ImageRecord
from sa_study.data.store import load_training_data
from sa_study.settings.run import Settings
from sa_study.training.evaluate import evaluate, load_network, load_test_images
from sa_study.training.run import RunFolder, train
from sa_study.utils.errors import DataError

Draw = Callable[..., Path]
MakeMarket = Callable[..., Path]

V1, V2 = (layout for layout in LAYOUTS if layout.name.startswith("MSMT17"))
SETTINGS = Settings(**SMALL, num_features=8, epochs=1, val_identities=2)


def told(records: tuple[ImageRecord, ...]) -> set[tuple[int, int]]:
    return {(record.pid, record.camid) for record in records}


def test_dukemtmc_reid(tmp_path: Path, draw_image: Draw) -> None:
    dataset = ReidDataset(make_duke(tmp_path / "DukeMTMC-reID", draw_image))
    assert dataset.layout is DUKE
    assert told(dataset.train) == {(pid, camera) for pid in range(1, 11) for camera in (1, 7)}
    assert told(dataset.query) == {(pid, camera) for pid in (20, 7140) for camera in (1, 7)}
    assert told(dataset.gallery) == told(dataset.query) | {(303, 4)}, "someone only one camera has seen"
    assert (len(dataset.train), len(dataset.query), len(dataset.gallery)) == (40, 4, 5)
    assert {folder.junk for folder in dataset.folders.values()} == {0}


@pytest.mark.parametrize(("boxes", "size"), [("labeled", (64, 32)), ("detected", (60, 28))])
def test_cuhk03_by_its_new_protocol(
    tmp_path: Path, draw_image: Draw, boxes: str, size: tuple[int, int]
) -> None:
    root = make_cuhk03(tmp_path / "cuhk03-np", draw_image) / boxes
    dataset = ReidDataset(root)
    assert dataset.layout is CUHK03_NP
    assert told(dataset.train) == {(pid, camera) for pid in range(1, 21, 2) for camera in (0, 1)}
    both = {(pid, camera) for pid in (2, 1467) for camera in (0, 1)}
    assert told(dataset.gallery) == told(dataset.query) == both
    assert {record.path.suffix for record in dataset.train} == {".png"}
    assert set(check_dataset(root).sizes) == {size}


@pytest.mark.parametrize(
    ("folders", "layout"), [((), V1), (("mask_train_v2", "mask_test_v2"), V2)], ids=["V1", "V2"]
)
def test_msmt17(tmp_path: Path, draw_image: Draw, folders: tuple[str, ...], layout: Layout) -> None:
    dataset = ReidDataset(make_msmt17(tmp_path / "MSMT17", draw_image, *folders))
    assert dataset.layout is layout
    assert told(dataset.train) == {(1_000_000 + pid, camera) for pid in range(12) for camera in (0, 14)}
    assert told(dataset.query) == {(2_000_000 + pid, camera) for pid in range(3) for camera in (2, 11)}
    assert told(dataset.gallery) == told(dataset.query)
    assert (len(dataset.train), len(dataset.query), len(dataset.gallery)) == (48, 6, 6)
    assert dataset.folders["train"].used == {"list_train.txt": 36, "list_val.txt": 12}
    assert {record.path.parent.parent for record in dataset.train} == {dataset.root / (*folders, "train")[0]}


def test_of_msmt17_id_0_is_a_person_like_any_other(tmp_path: Path, draw_image: Draw) -> None:
    dataset = ReidDataset(make_msmt17(tmp_path / "MSMT17", draw_image))
    dataset.require_disjoint()
    dataset.require_matches()
    report = check_dataset(dataset.root)
    assert report.ok and not report.warnings
    assert (report.total.ids, report.total.distractors) == (15, 0)
    assert report.queries_without_match == ()
    data = load_training_data(dataset, SETTINGS)
    assert data.num_classes == 10
    images = load_test_images(dataset, SETTINGS)
    assert min(images.query.pids) == 2_000_000 > max(data.store.pids)


def test_records_are_sorted_by_file_name_whatever_the_lists_order(tmp_path: Path, draw_image: Draw) -> None:
    root = make_msmt17(tmp_path / "MSMT17", draw_image)
    before = ReidDataset(root)
    for path in root.glob("list_*.txt"):
        path.write_text("\n".join(reversed(path.read_text().splitlines())))
    after = ReidDataset(root)
    assert (after.train, after.query, after.gallery) == (before.train, before.query, before.gallery)
    assert list(after.train) == sorted(after.train, key=lambda record: record.path.name)


def test_a_run_from_training_to_ranking(every: Path, tmp_path: Path) -> None:
    dataset = ReidDataset(every)
    data = load_training_data(dataset, SETTINGS)
    figures = train(SETTINGS, data, RunFolder(tmp_path / "run"))
    assert 0 < figures["mAP"] <= 1
    network = load_network(tmp_path / "run" / "best.pt", {"device": "cpu"})
    result = evaluate(network, load_test_images(dataset, SETTINGS))
    assert 0 < result["mAP"] <= 1
    assert (result["queries"], result["gallery"]) == (len(dataset.query), len(dataset.gallery))
    assert result["queries_without_match"] == 0


def test_the_check_says_what_a_folder_was_taken_for(every: Path) -> None:
    report = check_dataset(every)
    dataset = ReidDataset(every)
    assert report.ok and report.layout == dataset.layout.name
    assert report.explanation[0].startswith(f"recognised as {dataset.layout.name}: it holds ")
    for split, line in zip(("train", "query", "gallery"), report.explanation[1:4], strict=True):
        source = dataset.layout.sources[split]
        assert line.startswith(f"{split}: {len(dataset.folders[split].records):,} images of {source.folder}")
        assert all(name in line for name in source.lists)
    assert report.explanation[4].startswith("ids: ")
    assert "a part of it, or another data set" in report.explanation[-1]
    assert not any("\n" in line for line in report.explanation)


def test_the_check_counts_ids_as_the_layout_says(
    make_market: MakeMarket, tmp_path: Path, draw_image: Draw
) -> None:
    market = check_dataset(make_market())
    assert market.explanation[4] == (
        "ids: 0 is a distractor (in the gallery, nobody's match); -1 is junk and left out"
    )
    msmt = check_dataset(make_msmt17(tmp_path / "MSMT17", draw_image))
    assert msmt.explanation[4] == (
        "ids: no distractors; no junk; 1,000,000 is added to those of train; 2,000,000 is added to those of "
        "test"
    )
    assert any(
        "images of list_train.txt and list_val.txt are used for training, as usual" in line
        for line in msmt.explanation
    )


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr("sys.argv", ["run_study.py", *map(str, words)])
    return cli.main()


def test_the_command_shows_it_before_the_counts(
    tmp_path: Path, draw_image: Draw, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_msmt17(tmp_path / "MSMT17_V1", draw_image)
    (root / "list_train.txt").write_text((root / "list_train.txt").read_text() + "[red]\x1b[2Jx 0\n")
    assert run(monkeypatch, "data", "check", root.parent) == 0
    said = capsys.readouterr().out
    lines = [*check_dataset(root).explanation, "1 lines of list files left out", "usable"]
    places = [said.index(line) for line in lines]
    assert places == sorted(places)
    assert r"list_train.txt:37: '[red]\x1b[2Jx 0'" in said and "\x1b" not in said


@pytest.mark.parametrize("command", ["check", "tune"])
def test_a_command_refuses_what_is_no_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    (tmp_path / "holiday").mkdir()
    study = tmp_path / "study"
    words = ["data", "check", tmp_path]
    if command == "tune":
        words = ["tune", "--data-dir", tmp_path, "--study", study, "--space", "small"]
    assert run(monkeypatch, *words) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path}: no data set; found holiday; ") and said.count("\n") == 1
    assert "MSMT17_V1" in said and not study.exists()


def test_a_complete_copy_is_known_by_its_number_of_images(
    make_market: MakeMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_market()
    monkeypatch.setitem(MARKET.published, "Another", (40, 4, 5))
    assert check_dataset(root).explanation[-1] == "published: as many images as Another"


@pytest.mark.parametrize("name", ["0000_c2_f0000001.jpg", "-1_c2_f0000001.jpg", "0303_c9_f0000001.jpg"])
def test_one_other_name_and_it_is_not_dukemtmc(tmp_path: Path, draw_image: Draw, name: str) -> None:
    """A distractor, junk or a ninth camera: whoever uses Duke's names for that is served as before."""
    root = make_duke(tmp_path / "mine", draw_image)
    before = ReidDataset(root)
    draw_image(root / "bounding_box_test" / name)
    after = ReidDataset(root)
    assert after.layout is MARKET
    assert (after.train, after.query) == (before.train, before.query)
    assert set(before.gallery) <= set(after.gallery)
    assert after.folders["gallery"].junk == name.startswith("-1")


def test_stray_files_do_not_hide_what_it_is(tmp_path: Path, draw_image: Draw) -> None:
    root = make_duke(tmp_path / "DukeMTMC-reID", draw_image)
    (root / "query" / "Thumbs.db").touch()
    draw_image(root / "query" / "person.jpg")
    assert ReidDataset(root).layout is DUKE


@pytest.mark.parametrize("layout", [*LAYOUTS, DUKE, CUHK03_NP], ids=lambda layout: layout.name)
def test_a_layout_declares_what_its_ids_mean(layout: Layout) -> None:
    """What stands for nobody is declared, and otherwise no image comes out as 0 or -1."""
    assert layout.parse(layout.example) is not None
    of_zero, of_junk = (layout.parse(pid + layout.example[4:]) for pid in ("0000", "-1"))
    for source in layout.sources.values():
        assert (of_zero is not None and of_zero[0] + source.offset == 0) == layout.distractors
    assert (of_junk[0] if of_junk else None) == layout.junk
    assert layout.parse(f"run1_c2/{layout.example}") is None


def test_cuhk03s_parent_holds_two_data_sets(tmp_path: Path, draw_image: Draw) -> None:
    root = make_cuhk03(tmp_path / "cuhk03-np", draw_image)
    assert refusal(DataError, ReidDataset, root) == (
        f"{root}: holds several data sets (detected, labeled); name one of them: "
        f"{root}/labeled (boxes by hand) or {root}/detected (by a detector)"
    )


def test_data_sets_further_down_are_named(tmp_path: Path, draw_image: Draw) -> None:
    make_cuhk03(tmp_path / "all" / "cuhk03-np", draw_image)
    (tmp_path / "all" / "notes.txt").touch()
    assert refusal(DataError, ReidDataset, tmp_path / "all") == (
        f"{tmp_path}/all: holds data sets two levels below it only (cuhk03-np/detected, cuhk03-np/labeled); "
        "name one of them"
    )


@pytest.mark.parametrize("named", ["", "cuhk03_release", "cuhk03_release/cuhk-03.mat"])
def test_cuhk03s_raw_file_is_not_read(tmp_path: Path, named: str) -> None:
    (tmp_path / "cuhk03_release").mkdir()
    (tmp_path / "cuhk03_release" / "cuhk-03.mat").write_bytes(b"MATLAB 7.3 MAT-file")
    text = refusal(DataError, ReidDataset, tmp_path / named)
    assert text.startswith(
        f"{tmp_path}/cuhk03_release/cuhk-03.mat: is CUHK03's raw MATLAB file, which is not read"
    )
    assert "get CUHK03-NP" in text and "labeled or detected" in text


@pytest.mark.parametrize("second", ["mask_train_v2", "bounding_box_train"])
def test_a_folder_that_fits_several_layouts(tmp_path: Path, draw_image: Draw, second: str) -> None:
    root = make_msmt17(tmp_path / "MSMT17", draw_image)
    (root / second).mkdir()
    for named in (root, tmp_path):
        text = refusal(DataError, ReidDataset, named)
        assert text.startswith(f"{root}: fits several layouts (") and "MSMT17_V1: train" in text
        assert second in text and text.endswith("; move the folders of all but one elsewhere")


@pytest.mark.parametrize("name", ["bounding_box_train", "query"])
def test_one_of_its_folders_is_not_the_data_set(make_market: MakeMarket, name: str) -> None:
    root = make_market()
    said = f"{root / name}: is a folder of a data set, not all of it; name {root}"
    assert refusal(DataError, ReidDataset, root / name) == said


def test_what_images_that_differ_in_size_take(
    tmp_path: Path, draw_image: Draw, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Boxes of people differ: not all sizes are listed; what they take once brought to one is told."""
    root = make_duke(tmp_path / "DukeMTMC-reID", draw_image)
    assert not any(line.startswith("memory") for line in check_dataset(root).explanation)
    for number, path in enumerate(sorted((root / "bounding_box_train").iterdir())):
        draw_image(path, (60 + number % 20, 32))
    assert check_dataset(root).explanation[-1] == (
        "memory: images differ in size; at 384×128 training images take 0.0 GiB, query and gallery 0.0 GiB"
    )
    assert run(monkeypatch, "data", "check", root) == 0
    assert "64×32 (11), 60×32 (2), 61×32 (2), 62×32 (2), 63×32 (2) and 15 more" in " ".join(
        capsys.readouterr().out.split()
    )


def test_any_other_folder_is_told_which_layouts_there_are(tmp_path: Path) -> None:
    for name in ("train", "test"):
        (tmp_path / name).mkdir()
    text = refusal(DataError, check_dataset, tmp_path)
    assert text.startswith(f"{tmp_path}: no data set; found test, train; expected ")
    for word in ("Market-1501", "DukeMTMC-reID", "CUHK03-NP", "MSMT17_V1", "MSMT17_V2", "list_gallery.txt"):
        assert word in text


@pytest.mark.parametrize(
    "name", ["12345_c3s1_000001_00.jpg", "1234567890_c17_x.png", "7_c01.JPEG", "98765_c2_f0000001.jpg"]
)
def test_any_ids_cameras_and_suffixes_in_market1501s_layout(
    make_market: MakeMarket, draw_image: Draw, name: str
) -> None:
    root = make_market()
    draw_image(root / "bounding_box_train" / name, (50, 21))
    dataset = ReidDataset(root)
    assert dataset.layout is MARKET
    (new,) = (record for record in dataset.train if record.path.name == name)
    pid, _, rest = name.partition("_c")
    assert (new.pid, new.camid) == (int(pid), int(rest[: 2 if rest[1].isdigit() else 1]) - 1)
    data = load_training_data(dataset, SETTINGS)
    assert np.count_nonzero(data.store.pids == int(pid)) == 1
