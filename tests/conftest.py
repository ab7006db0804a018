"""Fixtures that several tests share."""

from __future__ import annotations

import copy
import os
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from command_line import CommandLine

    from sa_study.analysis.reproduce.original import OriginalTrial

# Sums depend on the number of threads, and two of them only get in each other's way at the tests' sizes.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    """Has a test run on the CPU, and on the GPU where there is one."""
    import torch  # later than the number of threads is set, and only where it is needed

    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("PyTorch sees no GPU")
    return str(request.param)


@pytest.fixture
def draw_image() -> Callable[..., Path]:
    """Writes an image of coloured blocks that depend on its file name: `draw_image(path, size=(64, 32))`."""

    def draw(path: Path, size: tuple[int, int] = (64, 32)) -> Path:
        rng = np.random.default_rng(zlib.crc32(path.name.encode()))
        blocks = Image.fromarray(rng.integers(0, 256, (8, 4, 3), dtype=np.uint8))
        blocks.resize((size[1], size[0]), Image.Resampling.BILINEAR).save(path)
        return path

    return draw


@pytest.fixture
def make_market(tmp_path: Path, draw_image: Callable[..., Path]) -> Callable[..., Path]:
    """Writes a tiny data set in Market-1501's layout and returns its folder.

    Every identity has `images` images in each of `cameras` cameras; in the test folders one of them is the
    query and the gallery holds the rest, and a distractor and a junk image too.
    """

    def make(
        folder: str = "market",
        train_ids: Iterable[int] = range(11, 21),
        test_ids: Iterable[int] = (1, 2),
        cameras: int = 2,
        images: int = 2,
        size: tuple[int, int] = (64, 32),
    ) -> Path:
        root = tmp_path / folder
        for name in ("bounding_box_train", "query", "bounding_box_test"):
            (root / name).mkdir(parents=True)

        def write(name: str, person: str, camera: int, number: int) -> None:
            draw_image(root / name / f"{person}_c{camera}s1_{number:06}_01.jpg", size)

        for camera in range(1, cameras + 1):
            for number in range(images):
                for pid in train_ids:
                    write("bounding_box_train", f"{pid:04}", camera, number)
                for pid in test_ids:
                    write("bounding_box_test" if number else "query", f"{pid:04}", camera, number)
        write("bounding_box_test", "0000", 1, 0)
        write("bounding_box_test", "-1", 1, 0)
        return root

    return make


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


@pytest.fixture
def fast_compression(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has pictures compressed less, in a fraction of the time."""
    monkeypatch.setattr("sa_study.report.pictures.figure._COMPRESSION", 1)


@pytest.fixture
def made_study(make_market: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Makes a study whose checkpoints are of untrained networks."""
    from untrained_study import study_maker

    return study_maker(make_market, tmp_path)
