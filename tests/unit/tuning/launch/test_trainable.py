"""A trial's process, without Ray's session: what it goes on from, and what it does on a full GPU memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_memory import SmallMemory
from small_space import SMALL

from sa_study.data.dataset import ReidDataset
from sa_study.data.store import TrainingData, load_training_data
from sa_study.metrics import names
from sa_study.settings.run import Settings
from sa_study.study.storage import Storage
from sa_study.training.checkpoint import FILE_NAME, save_checkpoint
from sa_study.training.trainer import Trainer
from sa_study.tuning.launch.trainable import TrialRun
from sa_study.utils.errors import Diverged

SETTINGS = Settings(**{**SMALL, "num_features": 8, "epochs": 3, "lr": 0.02})


class Trial:
    """A trial's checkpoints in a storage, and the process that goes on from them."""

    def __init__(self, folder: Path, data: TrainingData):
        self.storage = Storage(str(folder))
        self.folder = folder
        self.data = data

    def keep(self, name: str, trainer: Trainer) -> str:
        (self.folder / name).mkdir(parents=True)
        save_checkpoint(self.folder / name / FILE_NAME, trainer.checkpoint())
        return name

    def run(self, *checkpoints: str) -> TrialRun:
        config = {"settings": SETTINGS.to_dict(), "resume_from": list(checkpoints)}
        run = TrialRun(config, {0: self.data}, {}, self.storage)
        run.restore()
        return run


@pytest.fixture
def trial(make_market: Callable[..., Path], tmp_path: Path) -> Trial:
    return Trial(tmp_path / "trials", load_training_data(ReidDataset(make_market()), SETTINGS))


def test_a_trial_goes_on_from_the_last_whole_checkpoint(trial: Trial) -> None:
    trainer = Trainer(SETTINGS, trial.data)
    trainer.run_epoch()
    best = trial.keep("session_1/trial_0000/checkpoint_000000", trainer)
    trainer.run_epoch()
    last = trial.keep("session_1/trial_0000/checkpoint_000001", trainer)
    assert trial.run(last, best).trainer.epoch == 2
    whole = trial.run(last, best).run_epoch()
    assert names.NOTES not in whole and whole[names.EPOCH] == 3

    file = trial.folder / last / FILE_NAME
    file.write_bytes(file.read_bytes()[:500])
    damaged = trial.run(last, best)
    assert damaged.trainer.epoch == 1
    told = damaged.run_epoch()
    assert last in told[names.NOTES][0] and "damaged" in told[names.NOTES][0]
    assert told[names.NOTES][1] == "went on from epoch 1" and told[names.EPOCH] == 2
    assert names.NOTES not in damaged.run_epoch(), "said once"

    (trial.folder / best / FILE_NAME).unlink()
    begun = trial.run(last, best)
    assert begun.trainer.epoch == 0
    notes = begun.run_epoch()[names.NOTES]
    assert len(notes) == 3 and notes[2] == "began again at its first epoch"


def test_a_full_gpu_memory_halves_the_gradients_parts_once(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = SmallMemory(monkeypatch, most=4)
    run = trial.run()
    told = run.run_epoch()
    assert told[names.ACCUMULATE] == 2 and told[names.EPOCH] == 1
    assert "out of GPU memory in epoch 1" in told[names.NOTES][0] and "4 images" in told[names.NOTES][0]
    assert set(memory.sizes) == {4}
    assert run.trainer.settings.batch_size == 8, "the effective batch stays"
    memory.most = 2
    with pytest.raises(Diverged, match=r"epoch 2: CUDA out of memory\. Tried to allocate 2 GiB\.$"):
        run.run_epoch()


def test_after_a_full_memory_it_goes_on_from_the_last_epochs_end(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(SETTINGS, trial.data)
    first = trainer.run_epoch()
    last = trial.keep("session_1/trial_0000/checkpoint_000000", trainer)
    SmallMemory(monkeypatch, most=4, after_steps=1)  # full in the middle of the epoch
    run = trial.run(last)
    told = run.run_epoch()
    assert told[names.EPOCH] == 2 and "out of GPU memory in epoch 2" in told[names.NOTES][0]
    assert run.trainer.history[0] == first

    expected = Trainer(Settings(**{**SETTINGS.to_dict(), "accumulate": 2}), trial.data)
    expected.restore(trainer.checkpoint())
    assert expected.run_epoch()[names.LOSS] == told[names.LOSS], "nothing of the broken epoch is left"


def test_a_batch_that_cannot_be_parted_fails_with_the_reason(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    SmallMemory(monkeypatch, most=0)
    with pytest.raises(Diverged, match="CUDA out of memory"):
        trial.run().run_epoch()


def test_a_backbone_comes_with_the_trial_not_from_the_nodes_disk(trial: Trial) -> None:
    start: dict[str, Any] = Trainer(SETTINGS, trial.data)._net.base.state_dict()
    config = {"settings": {**SETTINGS.to_dict(), "pretrained": "/elsewhere/resnet.pth"}, "resume_from": []}
    run = TrialRun(
        config, {0: trial.data}, {(SETTINGS.backbone, "/elsewhere/resnet.pth"): start}, trial.storage
    )
    assert run.run_epoch()[names.EPOCH] == 1
