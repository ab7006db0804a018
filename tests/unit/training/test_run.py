"""A run in a folder: what it keeps, and that an interrupted one ends like one left alone."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
import yaml
from small_space import SMALL

from sa_study.data.dataset import ReidDataset
from sa_study.data.store import load_training_data
from sa_study.settings.run import Settings
from sa_study.settings.space import Parameter
from sa_study.settings.yaml_files import write_yaml
from sa_study.training import epoch_loggers
from sa_study.training.checkpoint import load_checkpoint
from sa_study.training.run import RunFolder, train
from sa_study.utils.errors import ConfigError, DataError, StudyFolderError

SETTINGS = Settings(**SMALL, num_features=8, epochs=3, lr=0.02, val_identities=2)


@pytest.fixture
def dataset(make_market: Callable[..., Path]) -> ReidDataset:
    return ReidDataset(make_market())


def interrupt_after(epoch: int) -> Callable[[Mapping[str, float]], None]:
    def on_epoch(figures: Mapping[str, float]) -> None:
        if figures["epoch"] == epoch:
            raise KeyboardInterrupt

    return on_epoch


def test_an_interrupted_run_ends_bit_for_bit_like_one_left_alone(
    dataset: ReidDataset, tmp_path: Path
) -> None:
    data = load_training_data(dataset, SETTINGS)
    whole, parts = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "parts")
    best = train(SETTINGS, data, whole)
    for epoch in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            train(SETTINGS, data, parts, resume=epoch > 1, on_epoch=interrupt_after(epoch))
    assert train(SETTINGS, data, parts, resume=True)["mAP"] == best["mAP"]
    for name in ("best.pt", "last.pt"):
        one, other = (load_checkpoint(folder.root / name) for folder in (whole, parts))
        assert one.epoch == other.epoch
        assert all(torch.equal(one.state_dict[key], other.state_dict[key]) for key in one.state_dict)
    assert load_checkpoint(whole.best).epoch == best["epoch"]


def test_a_finished_run_resumed_does_nothing(dataset: ReidDataset, tmp_path: Path) -> None:
    folder, data = RunFolder(tmp_path / "run"), load_training_data(dataset, SETTINGS)
    best = train(SETTINGS, data, folder)
    before = folder.best.stat().st_mtime_ns
    assert train(SETTINGS, data, folder, resume=True) == best
    assert folder.best.stat().st_mtime_ns == before


class Tracker:
    """Another experiment tracker, as someone would add it."""

    heard: ClassVar[list[Any]] = []

    def __init__(self, folder: Path, run: str, first_epoch: int) -> None:
        self.heard.append((folder, run, first_epoch))

    @staticmethod
    def start_study(folder: Path, search: Mapping[str, Parameter]) -> None:
        pass

    def log_epoch(self, figures: Mapping[str, Any]) -> None:
        self.heard.append(figures["epoch"])

    def close(self, settings: Mapping[str, Any], best: Mapping[str, float], state: str) -> None:
        self.heard.append((settings["epochs"], best["epoch"], state))


def test_another_tracker_hears_of_every_epoch(
    dataset: ReidDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epoch_loggers, "EPOCH_LOGGERS", (*epoch_loggers.EPOCH_LOGGERS, Tracker))
    best = train(SETTINGS, load_training_data(dataset, SETTINGS), RunFolder(tmp_path / "run"))
    assert Tracker.heard == [(tmp_path / "run", "", 1), 1, 2, 3, (3, best["epoch"], "COMPLETE")]


def test_the_folder_says_what_was_run(dataset: ReidDataset, tmp_path: Path) -> None:
    folder, data = RunFolder(tmp_path / "run"), load_training_data(dataset, SETTINGS)
    train(SETTINGS, data, folder)
    assert Settings.from_mapping(yaml.safe_load(folder.config.read_text())) == SETTINGS
    provenance = json.loads(folder.provenance.read_text())
    assert provenance["data_fingerprint"] == data.store.fingerprint
    assert provenance["launches"][0]["packages"]["torch"] == torch.__version__.split("+")[0]


def test_folders_are_not_mixed_up(dataset: ReidDataset, tmp_path: Path) -> None:
    data = load_training_data(dataset, SETTINGS)
    run, taken = (RunFolder(tmp_path / name) for name in ("run", "taken"))
    train(SETTINGS, data, run)
    taken.root.mkdir()
    (taken.root / "thesis.txt").touch()
    with pytest.raises(StudyFolderError, match="--resume"):
        train(SETTINGS, data, run)
    for resume in (False, True):
        with pytest.raises(StudyFolderError, match="holds something, but no run"):
            train(SETTINGS, data, taken, resume=resume)
    other = Settings.from_mapping({**SETTINGS.to_dict(), "lr": 0.5})
    with pytest.raises(ConfigError, match=r"lr: the run was begun with 0\.02, not 0\.5"):
        train(other, data, run, resume=True)
    assert [path.name for path in taken.root.iterdir()] == ["thesis.txt"]


def test_a_run_does_not_go_on_with_other_images(
    dataset: ReidDataset, make_market: Callable[..., Path], tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        train(SETTINGS, load_training_data(dataset, SETTINGS), folder, on_epoch=interrupt_after(1))
    other = load_training_data(ReidDataset(make_market("other", train_ids=range(31, 41))), SETTINGS)
    with pytest.raises(DataError, match="training images are not those"):
        train(SETTINGS, other, folder, resume=True)


def test_the_metric_decides_which_epoch_is_kept(dataset: ReidDataset, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    settings = dataclasses.replace(SETTINGS, metric="rank1")
    best = train(settings, load_training_data(dataset, settings), folder)
    history = load_checkpoint(folder.last).history
    assert best["rank1"] == max(figures["rank1"] for figures in history)
    assert load_checkpoint(folder.best).epoch == best["epoch"]


def test_a_batch_larger_than_the_data_is_refused(dataset: ReidDataset) -> None:
    with pytest.raises(ConfigError, match="batch_size: 64, but only 32 images"):
        load_training_data(dataset, Settings.from_mapping({**SETTINGS.to_dict(), "batch_size": 64}))


@pytest.mark.parametrize("names", [("timm/resnet50d", "resnet50"), ("resnet50", "timm/resnet50d")])
def test_a_run_with_a_backbone_of_another_kind_is_named(names: tuple[str, str], tmp_path: Path) -> None:
    """Files spell a ResNet by its depth, and any other backbone by its name."""
    begun, other = (Settings(backbone=name) for name in names)
    folder = RunFolder(tmp_path)
    write_yaml(folder.config, begun.to_dict())
    folder.check(begun, resume=True)
    with pytest.raises(ConfigError, match=f"backbone: the run was begun with '{names[0]}', not '{names[1]}'"):
        folder.check(other, resume=True)
