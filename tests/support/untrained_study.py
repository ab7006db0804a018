"""A study with an untrained network, for the tests of its pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from small_space import SMALL as SETTINGS

from sa_study.data.dataset import ReidDataset
from sa_study.data.store import load_training_data
from sa_study.provenance import append_launch
from sa_study.settings.run import Settings
from sa_study.settings.space_file import parse_space
from sa_study.study.config import StudyConfig
from sa_study.training.checkpoint import Checkpoint, save_checkpoint
from sa_study.training.trainer import build_network

SMALL: dict[str, Any] = {**SETTINGS, "num_features": 8, "val_identities": 2}


def study_maker(make_market: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """What writes a study's folder with the weights of an untrained network."""

    def make_study(name: str = "study", weights: bool = True, **more: Any) -> Path:
        data = tmp_path / "market"
        if not data.exists():
            make_market(cameras=3, images=3, test_ids=range(1, 7))
        root = tmp_path / name
        root.mkdir()
        values = {**SMALL, **more}
        space = parse_space({"search": {}, "fixed": values, "baseline": {}, "trials": 1}, "space")
        StudyConfig(data_dir=data, space=space, trials=1).write(root / "study.yaml")
        (root / "optuna.db").touch()
        settings = Settings.from_mapping(values)
        found = load_training_data(ReidDataset(data), settings)
        append_launch(root / "provenance.json", found.store.fingerprint)
        if weights:
            torch.manual_seed(0)
            net = build_network(settings, found.num_classes)
            save_checkpoint(
                root / "best.pt", Checkpoint(net.state_dict(), settings.to_dict(), found.num_classes, 3, [{}])
            )
        return root

    return make_study
