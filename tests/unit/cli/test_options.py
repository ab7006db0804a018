"""The study that the command line's options describe."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from sa_study.cli.options import StudyOptions
from sa_study.study.config import StudyConfig
from sa_study.tuning.launch.configure import configure_study
from sa_study.utils.errors import ConfigError


def test_with_two_objectives_another_sampler_searches_or_the_one_asked_for_is_refused(tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text("search: {lr: {type: float, low: 0.01, high: 0.3}}\nsampler: multifidelity\n")
    options = partial(StudyOptions, data_dir=tmp_path, space=space, scheduler="none")
    assert options().config().space.sampler == "multifidelity"
    assert options(minimize="cost").config().space.sampler == "tpe"
    with pytest.raises(ConfigError, match=r"--sampler multifidelity.*one objective"):
        options(minimize="cost", sampler="multifidelity").config()


def test_trackers_are_kept_with_the_description(tmp_path: Path) -> None:
    options = StudyOptions(data_dir=tmp_path, space=Path("paper"), track=["mlflow", "wandb:people"])
    config, path = options.config(), tmp_path / "study.yaml"
    assert config.track == options.changes().track == ("mlflow", "wandb:people")
    config.write(path)
    assert StudyConfig.read(path) == config
    config = configure_study(tmp_path, "paper", track="mlflow")
    config.write(path)
    assert StudyConfig.read(path).track == ("mlflow",)
    path.write_text(path.read_text().replace("track:\n- mlflow\n", ""))
    assert StudyConfig.read(path).track == (), "as in studies of earlier versions"
