"""Every setting of docs/recipe.md: resumed to the last bit, retried on a full memory, reloaded, exported."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from checkout import ROOT
from recipe_cases import CASES
from small_memory import SmallMemory
from small_space import SMALL
from synthetic_layouts import make_market

from sa_study.data.batches import Normaliser
from sa_study.data.dataset import ReidDataset
from sa_study.data.store import TrainingData, load_training_data
from sa_study.export.network import trace, write_onnx
from sa_study.metrics import names
from sa_study.model.network import FeatureNetwork
from sa_study.settings.run import FIELDS, Settings
from sa_study.settings.space_file import load_space
from sa_study.study.storage import Storage
from sa_study.training.checkpoint import load_checkpoint, save_checkpoint
from sa_study.training.evaluate import load_network
from sa_study.training.features import extract_features_from_array
from sa_study.training.trainer import Trainer
from sa_study.tuning.launch.trainable import TrialRun

SMALLEST = {**SMALL, "num_features": 8, "epochs": 2, "lr": 0.02, "val_identities": 2}
TIMES = {names.SECONDS, names.IMAGES_PER_SECOND, names.LATENCY, names.ACCUMULATE, names.NOTES}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingData]:
    root = make_market(tmp_path_factory.mktemp("recipe") / "market", range(11, 19))
    yield load_training_data(ReidDataset(root), Settings(**SMALLEST))


def comparable(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in epoch.items() if name not in TIMES} for epoch in history]


def require_equal(one: Trainer, other: Trainer) -> None:
    assert comparable(one.history) == comparable(other.history)
    first, second = one.checkpoint(), other.checkpoint()
    for state, expected in (
        (first.state_dict, second.state_dict),
        (first.trained or {}, second.trained or {}),
    ):
        assert state.keys() == expected.keys()
        assert [name for name in state if not torch.equal(state[name], expected[name])] == []


@pytest.mark.parametrize("case", CASES)
def test_a_run_with_each_setting_is_resumed_retried_reloaded_and_exported(
    case: str, data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, path = Settings(**SMALLEST, **CASES[case]), tmp_path / "checkpoint.pt"
    whole = Trainer(settings, data)
    whole.run_epoch()
    save_checkpoint(path, whole.checkpoint())
    whole.run_epoch()
    torch.rand(7)  # whatever else the process draws must not matter
    resumed = Trainer(settings, data)
    resumed.restore(load_checkpoint(path))
    resumed.run_epoch()
    require_equal(resumed, whole)

    parted = Trainer(Settings(**{**settings.to_dict(), "accumulate": 2}), data)
    parted.restore(load_checkpoint(path))
    parted.run_epoch()
    trial = TrialRun(
        {"settings": settings.to_dict(), "resume_from": []}, {0: data}, {}, Storage(str(tmp_path))
    )
    monkeypatch.setattr(TrialRun, "restore", lambda run: run.trainer.restore(load_checkpoint(path)))
    trial.restore()
    SmallMemory(monkeypatch, most=settings.batch_size // 2, after_steps=1)
    assert trial.run_epoch()[names.ACCUMULATE] == 2
    require_equal(trial.trainer, parted)

    save_checkpoint(path, whole.checkpoint().weights_only())
    reloaded = load_network(path, {})
    assert (reloaded.settings.bn_neck, reloaded.loaded.unused) == (settings.bn_neck, ())
    index = np.arange(4)
    features = [
        extract_features_from_array(net, settings, data.store.images, index)
        for net in (reloaded.net, whole.net)
    ]
    assert torch.equal(*features)
    program = trace(FeatureNetwork(reloaded.net).eval(), "normalised", settings.height, settings.width)
    write_onnx(program, tmp_path / "network.onnx", "{}")
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx", providers=["CPUExecutionProvider"])
    images = Normaliser(settings.height, settings.width, torch.device("cpu"))(
        torch.from_numpy(data.store.images[index])
    )
    found = session.run(["features"], {"images": images.numpy()})[0]
    np.testing.assert_allclose(found, features[0], atol=2e-6)


def test_every_setting_of_the_page_is_tried() -> None:
    page = (ROOT / "docs" / "recipe.md").read_text()
    documented = set(re.findall(r"^\| `(\w+)`", page, re.M))
    assert documented == {"pretrained", *(name for case in CASES.values() for name in case)}
    assert documented <= FIELDS.keys()


def test_a_trial_of_the_modern_space_is_the_papers_and_any_other_is_valid() -> None:
    space = load_space(Path("modern"))
    paper = Settings(precision="auto", channels_last=True)
    assert space.settings(space.baseline) == paper
    searched = set(space.search)
    page = (ROOT / "docs" / "recipe.md").read_text()
    left_out = {"adam_beta1", "adam_beta2", "adam_eps", "warmup_epochs", "warmup_factor", "pretrained"}
    assert set(re.findall(r"^\| `(\w+)`", page, re.M)) - searched == left_out


def test_the_strong_baseline_is_the_published_one() -> None:
    settings = load_space(Path("bot")).settings({})
    assert (settings.optimizer, settings.peak_lr, settings.batch_size) == ("adam", 3.5e-4, 64)
    assert (settings.identities_per_batch, settings.epochs, settings.warmup) == (16, 120, 10)
    assert settings.bn_neck and settings.neck_feature == "after" and settings.triplet_margin == 0.3
