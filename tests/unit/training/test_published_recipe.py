"""With every later addition off, training computes what it did before there were any, to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from published_recipe import train
from small_space import SMALL, SMALL_RESNET

from sa_study.data.dataset import ReidDataset
from sa_study.data.store import load_training_data
from sa_study.settings.run import Settings
from sa_study.training.trainer import Trainer


@pytest.mark.parametrize(
    ("base", "changed"),
    [
        (SMALL, {"epochs": 3, "step_fraction": 0.4, "dropout": 0.3}),
        (SMALL_RESNET, {"epochs": 1, "attention_stage4": True}),
    ],
    ids=["narrow", "resnet18"],
)
def test_the_defaults_are_the_published_recipe(
    make_market: Callable[..., Path], base: dict[str, Any], changed: dict[str, Any]
) -> None:
    settings = Settings(**{**base, "num_features": 8, "lr": 0.02, "val_identities": 2, **changed})
    data = load_training_data(ReidDataset(make_market()), settings)
    trainer = Trainer(settings, data)
    for _ in range(settings.epochs):
        trainer.run_epoch()
    state, history = train(settings, data)
    assert [[figures[name] for name in trainer.step.figures] for figures in trainer.history] == history
    found = trainer.checkpoint().state_dict
    assert found.keys() == state.keys()
    assert [name for name in state if not torch.equal(found[name], state[name])] == []
