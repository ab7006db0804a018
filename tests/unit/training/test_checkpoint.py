"""Checkpoints: complete, safe to read, and refused where they are not."""

from __future__ import annotations

import dataclasses
import errno
import pickle
import resource
from pathlib import Path

import pytest
import torch

from sa_study.training.checkpoint import Checkpoint, load_checkpoint, restore_rng, rng_state, save_checkpoint
from sa_study.utils.errors import WeightsError


@pytest.fixture
def checkpoint() -> Checkpoint:
    return Checkpoint(
        state_dict={"weight": torch.arange(4.0)},
        settings={"lr": 0.1, "attention": "mean"},
        num_classes=3,
        epoch=2,
        history=[{"epoch": 1, "mAP": 0.25}, {"epoch": 2, "mAP": 0.5}],
        optimizer={"state": {0: {"momentum_buffer": torch.ones(4)}}, "param_groups": [{"params": [0]}]},
        rng=rng_state(),
    )


def test_what_cannot_be_written_is_an_error_of_the_system(tmp_path: Path, checkpoint: Checkpoint) -> None:
    """PyTorch raises one about the length of its file."""
    path, large = tmp_path / "checkpoint.pt", {"weight": torch.zeros(10**6)}
    save_checkpoint(path, checkpoint)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, limit[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            save_checkpoint(path, dataclasses.replace(checkpoint, state_dict=large))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert caught.value.errno == errno.EFBIG and list(tmp_path.iterdir()) == [path]
    assert load_checkpoint(path).epoch == 2


def test_what_is_saved_comes_back(tmp_path: Path, checkpoint: Checkpoint) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, checkpoint)
    loaded = load_checkpoint(path)
    assert torch.equal(loaded.state_dict["weight"], checkpoint.state_dict["weight"])
    assert loaded.optimizer is not None and checkpoint.optimizer is not None
    assert loaded.optimizer["param_groups"] == checkpoint.optimizer["param_groups"]
    assert torch.equal(loaded.optimizer["state"][0]["momentum_buffer"], torch.ones(4))
    names = ("settings", "num_classes", "epoch", "history", "format")
    assert all(getattr(loaded, name) == getattr(checkpoint, name) for name in names)


def test_the_weights_behind_an_average_come_back_and_are_left_out_where_there_are_none(
    tmp_path: Path, checkpoint: Checkpoint
) -> None:
    path = tmp_path / "checkpoint.pt"
    averaged = dataclasses.replace(checkpoint, trained={"weight": torch.ones(4)})
    save_checkpoint(path, averaged)
    trained = load_checkpoint(path).trained
    assert trained is not None and torch.equal(trained["weight"], torch.ones(4))
    assert averaged.weights_only().trained is None
    save_checkpoint(path, checkpoint)
    assert "trained" not in torch.load(path, weights_only=True), "earlier versions would refuse it"
    torch.save({**vars(checkpoint), "trained": {"weight": 3}}, path)
    with pytest.raises(WeightsError, match="tensors by name"):
        load_checkpoint(path)


def test_the_random_stream_goes_on_where_it_was(checkpoint: Checkpoint) -> None:
    state = rng_state()
    expected = torch.rand(3)
    torch.rand(5)
    restore_rng(state)
    assert torch.equal(torch.rand(3), expected)


def test_weights_only_drops_what_training_needs(tmp_path: Path, checkpoint: Checkpoint) -> None:
    save_checkpoint(tmp_path / "best.pt", checkpoint.weights_only())
    loaded = load_checkpoint(tmp_path / "best.pt")
    assert loaded.optimizer is None and loaded.rng is None and loaded.history == checkpoint.history


def test_a_damaged_file_is_named(tmp_path: Path, checkpoint: Checkpoint) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, checkpoint)
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], content[:10], b"", b"not a checkpoint"):
        path.write_bytes(damaged)
        with pytest.raises(WeightsError) as error:
            load_checkpoint(path)
        assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_other_files_are_refused(tmp_path: Path, checkpoint: Checkpoint) -> None:
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(WeightsError, match="no such checkpoint"):
        load_checkpoint(path)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(WeightsError, match="not a checkpoint written by sa_study"):
        load_checkpoint(path)
    torch.save({**vars(checkpoint), "format": 99}, path)
    with pytest.raises(WeightsError, match="format 99"):
        load_checkpoint(path)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("ran"),)  # type: ignore[return-value]


def test_code_in_a_file_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps(Evil()))
    torch.save({"state_dict": Evil()}, tmp_path / "other.pt")
    for evil in (path, tmp_path / "other.pt"):
        with pytest.raises(WeightsError):
            load_checkpoint(evil)
    assert not (tmp_path / "ran").exists()
