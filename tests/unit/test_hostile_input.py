"""Every hostile input of the table ends in its documented behaviour, soon, and runs nothing."""

from __future__ import annotations

import resource
import shutil
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import hostile_images
import hostile_result_files
import hostile_studies
import hostile_weights
import hostile_yaml
import pytest
import ray.tune
import torch
from command_line import CommandLine
from hostile import READ, REFUSED, Case, Place, tree
from hostile_weights import RAN
from root_privileges import without_root_privileges
from sound_study import copy, sound_study

SECONDS = 20
BYTES = 3 * 2**30
"""Beyond what the process has: less than a machine has, more than any sound input takes."""

LOADED = (torch, ray.tune)
"""Before any limit is set: their libraries take more room than any input."""

CASES = [
    *hostile_weights.CASES,
    *hostile_yaml.CASES,
    *hostile_images.CASES,
    *hostile_studies.CASES,
    *hostile_result_files.CASES,
]


def test_the_table_is_as_long_as_it_was_asked_for() -> None:
    assert len({str(case) for case in CASES}) == len(CASES) >= 60


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound data set and a finished study of it, to be copied."""
    root = tmp_path_factory.mktemp("sound")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        sound_study(root)
    return root


@pytest.fixture
def place(tmp_path: Path, models: Path) -> Iterator[Place]:
    here = tmp_path / "here"
    market, study = here / "market", here / "study"
    copy(models / "market", market)
    yield Place(here, market, lambda: copy(models / "study", study))
    for path in here.rglob("*"):
        if not path.is_symlink() and not path.stat().st_mode & stat.S_IRUSR:
            path.chmod(stat.S_IRWXU)
    shutil.rmtree(here)  # pytest would keep gigabytes of networks


@pytest.mark.parametrize("case", CASES, ids=str)
def test_hostile_input(
    case: Case, place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("COLUMNS", "400")
    words = case.build(place)
    before = tree(place.folder)
    with limits(), without_root_privileges():
        code, printed, complaint = CommandLine(place.folder, monkeypatch, capsys).run(*words)
    said = printed + complaint
    assert "Traceback" not in said
    assert not any(mark in said for mark in "\x1b\x07\u202e\r"), ascii(said)
    assert "s3cretpw" not in said
    for word in case.naming:
        assert word in said, said
    assert not RAN.exists() and not (place.folder / "ran").exists()
    if case.ends == REFUSED:
        assert code == 2, said
        assert complaint.startswith("error: ") and complaint.count("\n") == 1 and len(complaint) < 2100, said
    else:
        assert not complaint and code in ((0,) if case.ends == READ else (0, 1, 2)), said
    if case.ends != READ or words[0] == "data":
        assert tree(place.folder) == before


@contextmanager
def limits() -> Iterator[None]:
    """Ends what waits, or takes more memory than the machine would bear."""

    def late(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"no end after {SECONDS} s")

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + BYTES, hard))
    handler = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
