"""Checkpoints written while their epoch is validated: whole, once, or not at all."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.fs
import pytest
import torch
from checkout import ROOT
from ray import tune

from sa_study.training.checkpoint import FIGURES_NAME, FILE_NAME, UNVALIDATED, Checkpoint, load_checkpoint
from sa_study.tuning.launch.checkpoint_writer import CheckpointWriter
from sa_study.utils.errors import WeightsError

FIGURES = {"epoch": 2, "loss": 0.1 + 0.2, "mAP": float("nan"), "seconds": 1.5}


def unvalidated(values: int = 4) -> Checkpoint:
    state = {"weight": torch.arange(float(values))}
    return Checkpoint(
        state, {"epochs": 3}, 5, epoch=2, history=[{"epoch": 1, "loss": 0.5}], format=UNVALIDATED
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "trials" / "session_1" / "trial_0000" / "checkpoint_000001"


def write(folder: Path, filesystem: Any = None, checkpoint: Checkpoint | None = None) -> None:
    place = tune.Checkpoint(str(folder), filesystem or pyarrow.fs.LocalFileSystem())
    with CheckpointWriter(place) as writer:
        writer.start(checkpoint or unvalidated())
        writer.finish(FIGURES)


def other_file_system(root: Path) -> pyarrow.fs.FileSystem:
    """One that pyarrow writes through streams alone, as an object store's."""
    return pyarrow.fs.SubTreeFileSystem(str(root), pyarrow.fs.LocalFileSystem())


@pytest.mark.parametrize("local", [True, False], ids=["a folder", "an object store"])
def test_both_files_together_are_a_checkpoint(folder: Path, tmp_path: Path, local: bool) -> None:
    if local:
        write(folder)
    else:
        write(Path("/", folder.relative_to(tmp_path)), other_file_system(tmp_path))
    assert sorted(path.name for path in folder.iterdir()) == [FILE_NAME, FIGURES_NAME]
    loaded = load_checkpoint(folder / FILE_NAME)
    assert (loaded.epoch, len(loaded.history)) == (2, 2)
    assert repr(loaded.history[1]) == repr(FIGURES), "every bit of every figure"
    assert torch.equal(loaded.state_dict["weight"], unvalidated().state_dict["weight"])
    assert loaded.format == Checkpoint({}, {}, 1, 0, []).format, "a copy of it is one whole file"


def test_without_its_figures_it_is_not_used(folder: Path) -> None:
    write(folder)
    for damage, told in (
        ("[1]", "epoch 2 of its history"),
        ("{", "no JSON"),
        ("[" * 10**5, "no JSON"),
        ('{"loss": "high"}', "no number"),
    ):
        (folder / FIGURES_NAME).write_text(damage)
        with pytest.raises(WeightsError, match=told):
            load_checkpoint(folder / FILE_NAME)
    (folder / FIGURES_NAME).unlink()
    with pytest.raises(WeightsError, match=f"is not complete \\({FIGURES_NAME} beside it is missing\\)"):
        load_checkpoint(folder / FILE_NAME)


def test_of_an_epoch_that_fails_nothing_stays(folder: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="validation"),
        CheckpointWriter(tune.Checkpoint(str(folder))) as writer,
    ):
        writer.start(unvalidated())
        raise RuntimeError("validation")
    with CheckpointWriter(tune.Checkpoint(str(folder))):
        pass  # not even trained
    assert not folder.exists()


def test_an_epoch_that_is_repeated_is_written_anew(folder: Path) -> None:
    repeated = dataclasses.replace(unvalidated(), state_dict={"weight": torch.ones(2)})
    with CheckpointWriter(tune.Checkpoint(str(folder))) as writer:
        writer.start(unvalidated())
        writer.start(repeated)
        writer.finish(FIGURES)
    assert torch.equal(load_checkpoint(folder / FILE_NAME).state_dict["weight"], torch.ones(2))


def test_a_full_disk_is_the_systems_error_and_leaves_nothing(make_disk: Callable[[str, int], Path]) -> None:
    folder = make_disk("disk", 2) / "checkpoint_000001"
    for filesystem in (None, other_file_system(folder.parent)):
        place = Path("/checkpoint_000001") if filesystem else folder
        with pytest.raises(OSError, match="No space left") as error:
            write(place, filesystem, unvalidated(10**6))
        assert error.value.errno == 28
        assert not list(folder.parent.iterdir())


@pytest.mark.parametrize("half_written", [0, 1])
def test_a_process_killed_while_it_writes_leaves_no_checkpoint(folder: Path, half_written: int) -> None:
    """It is killed before or after the bytes are written; the next process writes the same folder."""
    program = f"""
import os, signal, torch
from pathlib import Path
from test_checkpoint_writer import write
def killed(values, file, real=torch.save):
    if {half_written}:
        real(values, file)
        file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
torch.save = killed
write(Path({str(folder)!r}))
"""
    paths = [ROOT, ROOT / "tests" / "support", Path(__file__).parent]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert folder.is_dir()
    with pytest.raises(WeightsError, match="no such checkpoint"):
        load_checkpoint(folder / FILE_NAME)
    write(folder)
    assert load_checkpoint(folder / FILE_NAME).epoch == 2
    assert sorted(path.name for path in folder.iterdir()) == [FILE_NAME, FIGURES_NAME]
