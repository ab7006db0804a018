"""A sound data set and a finished study, which hostile cases then change."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

import optuna
from synthetic_layouts import make_market
from written_study import Trial, keep_network, make_study

from sa_study.analysis.final.evaluate import evaluate_study
from sa_study.data.dataset import ReidDataset
from sa_study.data.store import decode
from sa_study.provenance import describe_run
from sa_study.study.config import StudyConfig
from sa_study.study.database import open_storage
from sa_study.study.folder import StudyFolder
from sa_study.study.records import STUDY_NAME
from sa_study.utils.files import write_json

TRIALS = (
    Trial(curve=(0.1, 0.2, 0.25, 0.3)),
    Trial(curve=(0.2, 0.3, 0.4, 0.5), lr=0.05),
    Trial("PRUNED", curve=(0.1,), lr=0.3),
    Trial("FAIL", curve=(), lr=0.2, failure="loss is nan"),
)


def sound_study(root: Path) -> StudyFolder:
    """Draws `market`, and writes `study`: four trials, evaluated."""
    make_market(root / "market")
    folder = make_study(root / "study", TRIALS, data_dir=root / "market")
    config = dataclasses.replace(StudyConfig.read(folder.config), trials=len(TRIALS))
    config.write(folder.config)
    study = optuna.load_study(study_name=STUDY_NAME, storage=open_storage(folder))
    study.set_user_attr("lasting", config.unchangeable())
    study.set_user_attr("launch:session_1", {"slot_seconds": 9.0, "training_seconds": 8.0})
    for number in (0, 1):
        keep_network(folder, number, TRIALS[number])
    images = decode(ReidDataset(config.data_dir).train)
    write_json(folder.provenance, {"data_fingerprint": images.fingerprint, "launches": [describe_run()]})
    evaluate_study(folder.root, None, reranked=False, baseline=True, report=lambda *_: None)
    return folder


def copy(source: Path, target: Path) -> Path:
    """Copies a folder; its large files and its images are shared, and must be written anew to be changed."""

    def share(one: str, other: str) -> None:
        (os.link if one.endswith((".pt", ".jpg")) else shutil.copyfile)(one, other)

    shutil.copytree(source, target, copy_function=share)
    return target
