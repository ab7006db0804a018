"""A trial's process, without Ray's actor: its checkpoints, what it goes on from, and a full GPU memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ray.train._internal.storage import StorageContext
from small_memory import SmallMemory
from small_space import SMALL

from sa_study.data.dataset import ReidDataset
from sa_study.data.store import TrainingData, load_training_data
from sa_study.metrics import names
from sa_study.settings.run import Settings
from sa_study.study.storage import Storage
from sa_study.training.checkpoint import FILE_NAME, load_checkpoint, save_checkpoint
from sa_study.training.trainer import Trainer
from sa_study.tuning.launch.trainable import TrialProcess, TrialRun
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

    def process(self, settings: Settings = SETTINGS, checkpoints: int = 0) -> TrialProcess:
        """A worker's process with a trial, of which Ray knows so many checkpoints of this launch."""
        process = TrialProcess.__new__(TrialProcess)  # what Ray does before `setup` needs its cluster
        process._storage = StorageContext(
            str(self.folder),
            "session_1",
            trial_dir_name="trial_0000",
            current_checkpoint_index=checkpoints - 1,
        )
        config = {"settings": settings.to_dict(), "resume_from": []}
        process.setup(config, data={0: self.data}, backbones={}, storage=self.storage, metric=names.MAP)
        return process

    def files(self) -> list[str]:
        """The files of all checkpoints."""
        place = self.folder / "session_1/trial_0000"
        return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())

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


TIMES = {names.SECONDS, names.IMAGES_PER_SECOND, names.LATENCY}


def same_state(process: TrialProcess, trainer: Trainer) -> bool:
    """Whether a process has come exactly as far as a trainer, but for the time it took."""
    assert process._run
    histories = [
        [{name: value for name, value in figures.items() if name not in TIMES} for figures in one.history]
        for one in (process._run.trainer, trainer)
    ]
    found, expected = process._run.trainer.checkpoint().state_dict, trainer.checkpoint().state_dict
    return histories[0] == histories[1] and all(torch.equal(found[key], expected[key]) for key in expected)


def test_a_steps_checkpoint_is_written_once_and_is_whole_before_ray_hears_of_it(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, save = [], torch.save

    def counted(values: Any, file: Any) -> None:
        written.append(file)
        save(values, file)

    monkeypatch.setattr(torch, "save", counted)
    process, trainer = trial.process(), Trainer(SETTINGS, trial.data)
    for number in range(3):
        process._last_result = process.step()
        figures = trainer.run_epoch()
        name = f"checkpoint_{number:06d}"
        assert process._last_result["checkpoint_dir_name"] == name and len(written) == number + 1
        assert process._last_result[names.LOSS] == figures[names.LOSS]
        checkpoint = process.save().checkpoint
        assert checkpoint and checkpoint.path == str(trial.folder / "session_1/trial_0000" / name)
        found = load_checkpoint(Path(checkpoint.path) / FILE_NAME)
        assert process._run and found.history == process._run.trainer.history, "to the last bit, from JSON"
        assert found.optimizer and len(found.history) == found.epoch == number + 1
    assert same_state(process, trainer)
    assert len(trial.files()) == 2 * len(written)


def test_a_process_goes_on_exactly_where_a_killed_one_was(trial: Trial) -> None:
    whole = Trainer(SETTINGS, trial.data)
    for epoch in range(3):
        whole.run_epoch()
        process = trial.process(checkpoints=epoch)
        assert process.step()[names.EPOCH] == epoch + 1
        (trial.folder / f"session_1/trial_0000/checkpoint_{epoch + 1:06d}").mkdir()  # it had begun another
    assert same_state(process, whole)


def test_the_next_trial_of_a_process_takes_over_images_but_no_figures(trial: Trial) -> None:
    process, settings = trial.process(), Settings(**{**SETTINGS.to_dict(), "lr": 0.01, "dropout": 0.3})
    process.step()
    images = process._images
    process._storage = StorageContext(str(trial.folder), "session_1", trial_dir_name="trial_0001")
    assert process.reset_config({"settings": settings.to_dict(), "resume_from": []})
    process.step()
    expected = Trainer(settings, trial.data)
    expected.run_epoch()
    assert same_state(process, expected)
    assert process._run and process._run.trainer.images is images is not None


def test_a_full_disk_halts_the_launch_and_is_named(
    trial: Trial, make_disk: Callable[[str, int], Path]
) -> None:
    disk = make_disk("disk", 2)
    trial.folder, trial.storage = disk / "trials", Storage(str(disk / "trials"))
    process = trial.process()
    (disk / "filler").write_bytes(bytes(2**21 - 2**17))
    told = process.step()
    assert math.isnan(told[names.MAP])
    for words in ("no room for the checkpoint of epoch 1", str(trial.folder), "No space left"):
        assert words in told[names.HALT]
    assert [name for name in trial.files() if "checkpoint" in name] == []


def test_of_a_diverged_epoch_no_checkpoint_stays(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network's tensors, written by then, are not finite."""

    def diverged(trainer: Trainer) -> dict[str, float]:
        raise trainer._diverged("a validation feature", math.nan)

    process = trial.process()
    process.step()
    kept = trial.files()
    monkeypatch.setattr(Trainer, "_validate", diverged)
    told = process.step()
    assert told[names.FAILURE] == "epoch 2: a validation feature is nan; a lower lr usually helps"
    assert "should_checkpoint" not in told and trial.files() == kept != []
