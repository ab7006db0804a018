"""Folders for temporary files: short enough for sockets, large enough, and gone at the end."""

from __future__ import annotations

import re
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sa_study.settings.space_file import parse_space
from sa_study.study.config import StudyConfig
from sa_study.tuning.launch import local_ray
from sa_study.tuning.launch.local_ray import session_folder, session_parent
from sa_study.tuning.launch.prepare import find_images
from sa_study.utils import files
from sa_study.utils.errors import ConfigError, StudyFolderError

DEEP = "a/deep/folder/as/batch/systems/make/one/for/each/job/12345678"


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path leaves room for sockets, as pytest's own do not."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def set_tmpdir(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Path]:
    """Sets TMPDIR as for a process that starts with it."""
    monkeypatch.delenv("RAY_TMPDIR", raising=False)

    def set_it(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        monkeypatch.setenv("TMPDIR", str(folder))
        monkeypatch.setattr(tempfile, "tempdir", None)
        return folder

    return set_it


def test_a_short_folder_is_taken(short: Path, set_tmpdir: Callable[[Path], Path]) -> None:
    set_tmpdir(short)
    assert session_parent() == short
    with session_folder() as made:
        folder = made.folder
        assert folder.parent == short and folder.stat().st_mode & 0o077 == 0, "others cannot read it"


def test_a_folder_that_is_too_deep_is_left(tmp_path: Path, set_tmpdir: Callable[[Path], Path]) -> None:
    deep = set_tmpdir(tmp_path / DEEP)
    with session_folder() as made:
        assert made.folder.parent != deep
    assert not made.folder.exists() and not list(deep.iterdir())


def test_rays_own_variable_counts_first(
    short: Path, set_tmpdir: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_tmpdir(short / "usual")
    (short / "rays").mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(short / "rays"))
    assert session_parent() == short / "rays"
    for unusable in ("", str(short / "missing")):
        monkeypatch.setenv("RAY_TMPDIR", unusable)
        assert session_parent() == short / "usual"


def test_a_socket_fits_at_every_length_of_the_path(short: Path, set_tmpdir: Callable[[Path], Path]) -> None:
    """Binds a real one where Ray would, for each length around the longest that is taken."""
    taken = []
    for length in range(len(str(short)) + 2, len(str(short)) + 40):
        usual = set_tmpdir(short / ("x" * (length - len(str(short)) - 1)))
        place = session_parent()
        taken.append(place == usual)
        with tempfile.TemporaryDirectory(dir=place, prefix=local_ray._PREFIX) as folder:
            path = Path(folder, *Path(local_ray._SOCKET).parts[1:])
            path.parent.mkdir(parents=True)
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(str(path))
    assert taken[0] and not taken[-1] and taken == sorted(taken, reverse=True)


def test_a_missing_usable_folder_is_reported_before_any_work(
    tmp_path: Path, set_tmpdir: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = set_tmpdir(tmp_path / DEEP)
    monkeypatch.setattr(local_ray, "_SHORT_PARENTS", (str(tmp_path / "missing"),))
    config = StudyConfig(data_dir=tmp_path / "no_images", space=parse_space({}, "test"), trials=1)
    with pytest.raises(ConfigError, match=f"TMPDIR={re.escape(str(deep))}: too long a path") as caught:
        find_images(config)
    most = int(re.findall(r"at most (\d+) characters", str(caught.value))[0])
    monkeypatch.setattr(local_ray, "_SHORT_PARENTS", ())
    monkeypatch.setattr(local_ray, "_is_writable", lambda place: True)
    monkeypatch.setattr(tempfile, "tempdir", "/" + "x" * (most - 1))
    assert session_parent() == Path(tempfile.gettempdir()), (
        "a path of the length that the message names is taken"
    )


def test_no_folder_for_temporary_files_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(ConfigError, match="TMPDIR: no folder for temporary files"):
        files.temporary_folder()


def test_a_full_one_is_named(
    short: Path, set_tmpdir: Callable[[Path], Path], make_disk: Callable[[Path, int], Path]
) -> None:
    small_disk = set_tmpdir(make_disk(short / "disk", 6))
    with pytest.raises(StudyFolderError, match=f"{small_disk}: is full .* TMPDIR"), session_folder():
        pass
    assert not list(small_disk.iterdir())


@pytest.mark.parametrize("end", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_rays_session_folders_are_removed_however_the_launch_ends(
    end: type[BaseException], short: Path, set_tmpdir: Callable[[Path], Path]
) -> None:
    set_tmpdir(short)
    (short / "ray").mkdir()  # another's
    with pytest.raises(end), session_folder() as made:
        (made.folder / "logs").mkdir()
        raise end
    assert list(short.iterdir()) == [short / "ray"]


def test_rays_session_folders_are_removed_although_processes_still_write(
    short: Path, set_tmpdir: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_tmpdir(short)
    begun = threading.Event()

    def write(folder: Path) -> None:
        for number in range(2000):
            with suppress(FileNotFoundError):
                (folder / str(number)).mkdir()
                (folder / str(number) / "worker.log").write_text("a line")
            begun.set()

    with session_folder() as made:
        writer = threading.Thread(target=write, args=(made.folder,))
        monkeypatch.setattr("sa_study.tuning.launch.local_ray.time.sleep", lambda seconds: writer.join())
        writer.start()
        begun.wait()
    writer.join()
    assert not list(short.iterdir())
