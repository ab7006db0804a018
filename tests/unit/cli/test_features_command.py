"""`features`: equal to what is evaluated, gone on with after a kill, and honest about what it skipped."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CommandLine
from PIL import Image

from sa_study.analysis import features, matches
from sa_study.analysis.features import write_features
from sa_study.analysis.matches import find_matches, write_matches
from sa_study.data.dataset import ReidDataset
from sa_study.study.lock import driver_lock
from sa_study.training.evaluate import load_network, load_test_images, query_and_gallery_features
from sa_study.training.extractor import FeatureExtractor
from sa_study.utils.errors import DataError


@pytest.fixture
def images(sound: Path, tmp_path: Path) -> Path:
    """A folder of images, to be changed."""
    return Path(shutil.copytree(sound / "market" / "bounding_box_train", tmp_path / "images"))


@pytest.fixture
def extractor(sound: Path) -> FeatureExtractor:
    return FeatureExtractor(load_network(sound / "study" / "best.pt", {}))


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_features_are_those_of_the_evaluation(sound: Path, tool: CommandLine, tmp_path: Path) -> None:
    trained = load_network(sound / "study" / "best.pt", {})
    dataset = ReidDataset(sound / "market")
    test = load_test_images(dataset, trained.settings)
    query, gallery = query_and_gallery_features(trained, test.query, test.gallery, lambda *_: None)
    listed = tmp_path / "gallery.csv"
    listed.write_text("path\n" + "".join(f"{record.path}\n" for record in dataset.gallery))
    out = tmp_path / "out"
    words = ("--images", listed, "--out", out, "--query", sound / "market" / "query", "--top", "3")
    code, said, complaint = tool.run("features", "--study", sound / "study", *words)
    assert code == 0, complaint
    found = np.load(out / "features.npy", allow_pickle=False)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, gallery.numpy())
    heading, *listed_rows = rows(out / "features.csv")
    assert heading == ["path", "error"]
    assert listed_rows == [[str(record.path), ""] for record in dataset.gallery]
    distances = ((query.numpy()[:, None].astype(float) - gallery.numpy()[None]) ** 2).sum(2)
    heading, *matched = rows(out / "matches.csv")
    assert heading == ["query", "rank", "path", "distance"] and len(matched) == 3 * len(query)
    for row in matched:
        number = sorted(str(record.path) for record in dataset.query).index(row[0])
        place = int(row[1])
        assert float(row[3]) == pytest.approx(np.sort(distances[number])[place - 1], rel=1e-3, abs=1e-4)
    with Image.open(out / "matches.png") as picture:
        assert picture.width > 400
    assert sorted(path.name for path in out.iterdir()) == [
        "features.csv",
        "features.json",
        "features.npy",
        "matches.csv",
        "matches.png",
    ]
    assert f"{len(gallery)} images, {gallery.shape[1]:,} features each" in said


def test_what_cannot_be_read_is_skipped_and_said(
    sound: Path, images: Path, tool: CommandLine, tmp_path: Path
) -> None:
    first, _, third, *_ = sorted(images.iterdir())
    first.write_bytes(b"no image")
    third.write_bytes(third.read_bytes()[:100])
    weights = sound / "study" / "best.pt"
    code, said, _ = tool.run("features", "--weights", weights, "--images", images, "--out", tmp_path / "out")
    assert code == 0 and "2 skipped" in said and f"skipped: row 0: {first}: not a readable image" in said
    found = np.load(tmp_path / "out" / "features.npy")
    bad = np.isnan(found)
    assert np.flatnonzero(bad.all(axis=1)).tolist() == [0, 2] and bad.sum() == 2 * found.shape[1]
    errors = [error for _, error in rows(tmp_path / "out" / "features.csv")[1:]]
    assert "unknown format" in errors[0] and not errors[1] and "not a readable image" in errors[2]
    for path in images.iterdir():
        path.write_bytes(b"")
    words = ("features", "--weights", weights, "--images", images, "--out", tmp_path / "none")
    tool.refuses(*words, naming=["none of", "images can be read; the first:"])


@pytest.mark.parametrize("bad", [(), (0, 1, 2, 3), (4, 5, 6, 7, 8)])
def test_an_interrupted_call_goes_on(
    extractor: FeatureExtractor,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bad: tuple[int, ...],
) -> None:
    monkeypatch.setattr(features, "CHUNK", 4)
    paths = sorted(images.iterdir())[:18]
    for number in bad:
        paths[number].write_bytes(b"")
    whole = write_features(extractor, paths, tmp_path / "whole", lambda *_: None)
    calls = 0
    compute = features.features_of_files

    def until_killed(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return compute(*arguments)

    monkeypatch.setattr(features, "features_of_files", until_killed)
    out = tmp_path / "broken"
    with pytest.raises(KeyboardInterrupt):
        write_features(extractor, paths, out, lambda *_: None)
    assert not (out / "features.npy").exists() and not (out / "features.csv").exists()
    with (out / ".features.csv").open("a") as file:
        file.write("half a row")
    monkeypatch.setattr(features, "features_of_files", compute)
    again = write_features(extractor, paths, out, lambda *_: None)
    assert again.resumed == 12 and again.errors.keys() == whole.errors.keys() == set(bad)
    np.testing.assert_array_equal(again.features, whole.features)
    for name in ("features.npy", "features.csv", "features.json"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert sorted(path.name for path in out.iterdir()) == ["features.csv", "features.json", "features.npy"]


def test_a_call_of_an_earlier_version_that_had_read_no_image_begins_anew(
    extractor: FeatureExtractor, images: Path, tmp_path: Path
) -> None:
    paths, out = sorted(images.iterdir()), tmp_path / "out"
    paths[0].write_bytes(b"")
    whole = write_features(extractor, paths, out, lambda *_: None)
    for name in ("features.csv", "features.json"):
        (out / name).rename(out / f".{name}")
    (out / "features.npy").unlink()
    again = write_features(extractor, paths, out, lambda *_: None)
    assert again.resumed == 0 and again.errors == whole.errors
    np.testing.assert_array_equal(again.features[1:], extractor(paths[1:]))


@pytest.mark.parametrize("left", [{"features.npy"}, {"features.npy", "features.csv"}])
def test_a_call_that_was_killed_while_it_gave_the_files_their_names_is_ended(
    extractor: FeatureExtractor, images: Path, tmp_path: Path, left: set[str]
) -> None:
    paths, out = sorted(images.iterdir()), tmp_path / "out"
    write_features(extractor, paths, out, lambda *_: None)
    whole = {path.name: path.read_bytes() for path in out.iterdir()}
    for name in whole.keys() - left:
        (out / name).rename(out / f".{name}")
    again = write_features(extractor, paths, out, lambda *_: None)
    assert again.resumed == len(paths)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == whole


def test_what_is_done_is_not_done_again(
    extractor: FeatureExtractor, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, out = sorted(images.iterdir()), tmp_path / "out"
    write_features(extractor, paths, out, lambda *_: None)
    monkeypatch.setattr(features, "features_of_files", None)
    assert write_features(extractor, paths, out, lambda *_: None).resumed == len(paths)


def test_other_features_are_never_overwritten(
    extractor: FeatureExtractor, images: Path, sound: Path, tool: CommandLine, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ("features", "--weights", sound / "study" / "best.pt", "--images", images, "--out", out)
    refused = ["out: holds features of other images, or of another network"]
    write_features(extractor, sorted(images.iterdir())[1:], out, lambda *_: None)
    tool.refuses(*words, naming=refused)
    (out / "features.json").rename(out / ".features.json")
    tool.refuses(*words, naming=refused)
    (out / ".features.json").write_text("{")
    tool.refuses(*words, naming=refused)
    (out / ".features.json").unlink()
    tool.refuses(*words, naming=refused)


def test_two_processes_do_not_write_the_same_features(
    sound: Path, images: Path, tool: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    with driver_lock(tmp_path / "out" / ".features.lock"):
        words = ("--weights", sound / "study" / "best.pt", "--images", images, "--out", tmp_path / "out")
        tool.refuses("features", *words, naming=["is being run by process"])


def test_queries_that_cannot_be_read_are_skipped(
    extractor: FeatureExtractor, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, out = sorted(images.iterdir()), tmp_path / "out"
    written = write_features(extractor, paths, out, lambda *_: None)
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"")
    queries = [bad, *paths[:2], bad, *paths[2:5]]
    _, errors = write_matches(extractor, queries, written, 3, out, lambda *_: None)
    assert errors.keys() == {bad}
    content = (out / "matches.csv").read_text()
    assert [row[0] for row in rows(out / "matches.csv")[1::3]] == [str(path) for path in paths[:5]]
    monkeypatch.setattr(matches, "CHUNK", 2)
    write_matches(extractor, queries, written, 3, out, lambda *_: None)
    assert [row[:3] for row in rows(out / "matches.csv")] == [
        row[:3] for row in csv.reader(content.splitlines())
    ]
    with pytest.raises(DataError, match="none of 2 queries can be read"):
        write_matches(extractor, [bad, bad], written, 3, out, lambda *_: None)
    assert not (out / "matches.csv").exists()


def test_matches_are_found_chunk_by_chunk(
    extractor: FeatureExtractor, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = sorted(images.iterdir())
    paths[1].write_bytes(b"")
    written = write_features(extractor, paths, tmp_path / "out", lambda *_: None)
    queries = np.asarray(written.features)[[3, 0, 5]]
    whole = find_matches(paths[:3], queries, written, 7)
    assert whole.rows[:, 0].tolist() == [3, 0, 5], "each is nearest to itself"
    assert 1 not in whole.rows and whole.rows.shape == (3, 7)
    monkeypatch.setattr(matches, "CHUNK", 5)
    parts = find_matches(paths[:3], queries, written, 7)
    np.testing.assert_array_equal(parts.rows, whole.rows)
    np.testing.assert_allclose(parts.distances, whole.distances, atol=1e-5)
    assert find_matches(paths[:3], queries, written, 1000).rows.shape == (3, len(paths) - 1)


def test_bad_input_is_one_line(sound: Path, images: Path, tool: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    network, out = ("--study", sound / "study"), ("--out", tmp_path / "out")
    for words, naming in (
        (("--images", images, *out), ["either --study or --weights"]),
        ((*network, "--images", tmp_path / "none", *out), ["none", "neither a folder of images"]),
        ((*network, "--images", tmp_path / "file", *out), ["file", "names no column 'path'"]),
        ((*network, "--images", images, "--out", tmp_path / "file"), ["is a file", "--out"]),
        ((*network, "--images", images, *out, "--query", tmp_path / "none"), ["none"]),
        ((*network, "--images", images, *out, "--top", "0"), ["--top"]),
        ((*network, "--images", images, *out, "--top", "5"), ["--top", "--query"]),
        ((*network, "--images", images, *out, "--set", "attention=none"), ["takes no --set"]),
        (("--weights", tmp_path / "file", "--images", images, *out), [str(tmp_path / "file")]),
    ):
        tool.refuses("features", *words, naming=naming)
