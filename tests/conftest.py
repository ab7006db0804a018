"""Fixtures that several tests share."""

from __future__ import annotations

import copy
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import process_start
import pytest

if TYPE_CHECKING:
    from command_line import CommandLine

    from sa_study.analysis.reproduce.original import OriginalTrial

# In this process and, by `sitecustomize`, in all that the tests start.
process_start.prepare()
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(Path(process_start.__file__).parent), os.environ.get("PYTHONPATH")])
)

# Sums depend on the number of threads, and two of them only get in each other's way at the tests' sizes.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session", autouse=True)
def newest_tables() -> Iterator[None]:
    """Has Optuna look up its newest tables once: it takes 20 ms, whenever a test opens a database."""
    from optuna.storages._rdb.storage import _VersionManager

    look_up, found = _VersionManager.get_head_version, list[str]()

    def newest(self: Any) -> str:
        if not found:
            found.append(look_up(self))
        return found[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_VersionManager, "get_head_version", newest)
        yield


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    """Has a test run on the CPU, and on the GPU where there is one."""
    import torch  # later than the number of threads is set, and only where it is needed

    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("PyTorch sees no GPU")
    return str(request.param)


@pytest.fixture
def draw_image() -> Callable[..., Path]:
    """Writes an image: `draw_image(path, size=(64, 32))`."""
    from synthetic_layouts import draw_image

    return draw_image


@pytest.fixture
def make_market(tmp_path: Path) -> Callable[..., Path]:
    """Writes a tiny data set in Market-1501's layout and returns its folder: `make_market(name, …)`."""
    from synthetic_layouts import make_market

    def make(folder: str = "market", **more: Any) -> Path:
        return make_market(tmp_path / folder, **more)

    return make


@pytest.fixture(params=["market", "duke", "labeled", "detected", "msmt17_v1", "msmt17_v2"])
def every(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    draw_image: Callable[..., Path],
    make_market: Callable[..., Path],
) -> Path:
    """A data set in each layout, below a folder whose own name looks like an image's."""
    from synthetic_layouts import make_cuhk03, make_duke, make_msmt17

    root = tmp_path / "run1_c2" / "0007_c3_f0000001.jpg"
    match request.param:
        case "market":
            return make_market("run1_c2/market")
        case "duke":
            return make_duke(root, draw_image)
        case "msmt17_v1":
            return make_msmt17(root, draw_image)
        case "msmt17_v2":
            return make_msmt17(root, draw_image, "mask_train_v2", "mask_test_v2")
        case boxes:
            return make_cuhk03(root, draw_image) / str(boxes)


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[Callable[[str | Path, int], Path]]:
    """Mounts a file system of this many megabytes: `make_disk(name, megabytes)`."""
    made: list[Path] = []

    def make(name: str | Path, megabytes: int) -> Path:
        place = tmp_path / name
        place.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}M", "tmpfs", str(place)]
        try:
            subprocess.run(mount, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("mounting is not permitted")
        made.append(place)
        return place

    yield make
    for place in made:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """The command line, in this process."""
    from command_line import CommandLine

    return CommandLine(tmp_path, monkeypatch, capsys)


@pytest.fixture
def same_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has a rerun find the machine, versions and code that `original` was made with."""
    from original_trial import NOW

    monkeypatch.setattr("sa_study.analysis.reproduce.reproduction.describe_run", lambda: copy.deepcopy(NOW))


@pytest.fixture
def original(tmp_path: Path) -> OriginalTrial:
    """A recorded trial, without training anything."""
    from original_trial import original_trial

    return original_trial(tmp_path)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set, `market`, and a `study` evaluated on it; both are to be left as they are."""
    from sound_study import sound_study

    root = tmp_path_factory.mktemp("sound")
    sound_study(root)
    return root


@pytest.fixture
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has pictures show fewer images, compressed less, in a fraction of the time."""
    monkeypatch.setattr("sa_study.report.pictures.figure._COMPRESSION", 1)
    for name in ("_LISTS", "_MAPS", "_FAILURES", "_OVERLAYS"):
        monkeypatch.setattr(f"sa_study.report.pictures.make.{name}", 2)


@pytest.fixture
def plots_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has pictures leave out those of images, which take most of the time, where a test is not of them."""
    monkeypatch.setattr("sa_study.report.pictures.make._of_maps", lambda *_: ())
    monkeypatch.setattr("sa_study.report.pictures.ranked.GROUPS", {})


@pytest.fixture
def made_study(make_market: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Makes a study whose checkpoints are of untrained networks."""
    from untrained_study import study_maker

    return study_maker(make_market, tmp_path)
