"""Places for the trials' files: what is refused, and what is cleaned up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from random_study import SPACE

from sa_study.study.config import StudyConfig
from sa_study.study.storage import Storage
from sa_study.utils.errors import ConfigError, StudyFolderError


def config(storage_path: str) -> StudyConfig:
    return StudyConfig(data_dir=Path("/data"), space=SPACE, trials=2, storage_path=storage_path)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://KEY:HIDDEN@bucket/studies",
        "s3://KEY@bucket/studies?x=HIDDEN",
        "s3://bucket/studies?region=eu&access_key=HIDDEN",
        "s3://bucket/studies?secret_key=HIDDEN&region=eu",
        "s3://bucket/studies?session_token=",
        "gs://someone:HIDDEN@bucket/studies",
    ],
)
def test_credentials_are_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(ConfigError, match="was given with credentials") as caught:
        config(uri)
    assert "HIDDEN" not in str(caught.value) and "KEY:" not in str(caught.value)
    assert f"{uri[:2]}://bucket/studies" in str(caught.value)


def test_places_without_credentials_are_taken() -> None:
    for uri in (
        "s3://bucket/a?region=eu&endpoint_override=host%3A9000",
        "gs://anonymous@bucket/a",
        "/a b/c@d",
    ):
        assert config(uri).storage_path == uri


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder, "is not empty"),
        (lambda folder: folder / "file" / "below", "cannot be written"),
        (lambda folder: "ftp://host/folder", "cannot be written"),
        (lambda folder: "s3://bucket/folder?colour=red", "cannot be written"),
    ],
    ids=["not empty", "below a file", "unknown kind", "unknown option"],
)
def test_a_place_that_will_not_do_is_one_line(make: object, words: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    uri = str(make(tmp_path))  # type: ignore[operator]
    with pytest.raises(ConfigError, match=re.escape(f"--storage-path {uri}: {words}")) as caught:
        Storage(uri).require_free()
    assert "\n" not in str(caught.value)


def test_a_place_is_one_studys(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "trials"))
    storage.claim("one")
    (tmp_path / "trials" / "session_1").mkdir()
    storage.claim("one")
    before = sorted(tmp_path.rglob("*"))
    for other in ("two", "on", "one more", "", None):
        with pytest.raises(StudyFolderError, match="does not hold this study's trials"):
            storage.claim(other)
    assert sorted(tmp_path.rglob("*")) == before


def test_files_without_a_mark_are_nobodys(tmp_path: Path) -> None:
    (tmp_path / "session_1").mkdir()
    with pytest.raises(StudyFolderError, match="does not hold this study's trials"):
        Storage(str(tmp_path)).claim("one")
    with pytest.raises(ConfigError, match="cannot be written"):
        Storage("s3://bucket/folder?colour=red").claim("one")


def test_prune_removes_what_nothing_refers_to(tmp_path: Path) -> None:
    kept = "session_2/trial_0001/checkpoint_000003"
    dropped = ["session_1/trial_0001/checkpoint_000001", "session_2/trial_0001/checkpoint_000002"]
    others = ["session_1/trial_0001/result.json", "elsewhere/trial_0001/checkpoint_000001/model.pt"]
    for name in (*(f"{folder}/model.pt" for folder in (kept, *dropped)), *others):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    storage = Storage(str(tmp_path))
    assert storage.prune({kept}) == 2
    assert storage.prune({kept}) == 0
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {f"{kept}/model.pt", *others}


def test_prune_before_the_first_trial_removes_nothing(tmp_path: Path) -> None:
    assert Storage(str(tmp_path / "trials")).prune(set()) == 0
