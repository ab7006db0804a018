"""`tune --resume` on a study that is there: options that were given are applied or refused, never dropped."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine

from sa_study.settings.space import Scheduler
from sa_study.settings.space_file import load_space, override
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.tuning.launch.cluster import Slots
from sa_study.tuning.launch.prepare import StudyChanges, changes_from_options, resolve_settings
from sa_study.utils.errors import ConfigError

ON_CPU = Slots(cpus=1, gpus=0, concurrent=2)


def config(space: str = "small", overrides: dict[str, Any] | None = None, **values: Any) -> StudyConfig:
    described = {"data_dir": Path("/data"), "trials": 10, **values}
    return StudyConfig(space=override(load_space(Path(space)), overrides or {}), **described)


BEGUN = resolve_settings(config(seed=3, storage_path="/shared/one"), ON_CPU)


def test_what_resume_can_change_is_applied() -> None:
    given: dict[str, Any] = {"trials": 20, "time_budget": 60.0, "epoch_budget": 80, "address": "auto"}
    given["data_dir"] = Path("/moved")
    assert changes_from_options(BEGUN, config(**given), given) == StudyChanges(**given)


def test_options_that_are_not_given_leave_the_study_as_it_is() -> None:
    assert changes_from_options(
        BEGUN, config("wide", trials=99, metric="rank1"), {"data_dir"}
    ) == StudyChanges(data_dir=Path("/data"))


def test_the_options_that_began_it_change_nothing() -> None:
    asked = config(seed=3, storage_path="/shared/one")
    given = {"space", "seed", "storage_path", "metric", "cpus_per_trial"}
    assert changes_from_options(BEGUN, asked, given) == StudyChanges()


@pytest.mark.parametrize("minimize", [None, "cost"])
def test_a_study_keeps_the_sampler_that_it_was_begun_with_in_place_of_the_default(
    minimize: str | None,
) -> None:
    """Also where `--minimize`, which is left as it was, is not given again."""
    space = dataclasses.replace(load_space(Path("small")), scheduler=Scheduler("none"))
    before = dataclasses.replace(space, sampler="tpe")
    begun = StudyConfig(data_dir=Path("/data"), space=before, trials=10, minimize=minimize)
    asked = StudyConfig(data_dir=Path("/data"), space=space, trials=10)
    begun = resolve_settings(begun, ON_CPU)
    assert changes_from_options(begun, asked, {"space"}) == StudyChanges()
    for sampler, given in ((space.sampler, {"space", "sampler"}), ("random", {"space"})):
        other = dataclasses.replace(asked, space=dataclasses.replace(space, sampler=sampler))
        with pytest.raises(ConfigError, match=f"{sampler}.*but the study was begun with 'tpe'"):
            changes_from_options(begun, other, given)


@pytest.mark.parametrize(
    ("asked", "given", "words"),
    [
        (config(seed=0), {"seed"}, "--seed: 0, but the study was begun with 3"),
        (config(metric="rank1"), {"metric"}, "--metric: 'rank1', but the study was begun with 'mAP'"),
        (config(cpus_per_trial=2.0), {"cpus_per_trial"}, "--cpus-per-trial: 2.0"),
        (config(gpus_per_trial=0.5), {"gpus_per_trial"}, "--gpus-per-trial: 0.5"),
        (config(storage_path="/other"), {"storage_path"}, "--storage-path: '/other'"),
        (config("wide"), {"space"}, "but the study was begun with"),
        (config(overrides={"batch_size": 12}), {"space", "overrides"}, "fixed.batch_size: 12"),
        (config(overrides={"device": "cuda"}), {"overrides"}, "fixed.device: 'cuda'"),
    ],
    ids=lambda value: ",".join(sorted(value)) if isinstance(value, set) else "",
)
def test_what_cannot_change_is_refused(asked: StudyConfig, given: Collection[str], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        changes_from_options(BEGUN, asked, given)
    assert words in str(caught.value) and "leave it as it was, or begin another study" in str(caught.value)


def test_the_command_refuses_them_in_a_line(tool: CommandLine) -> None:
    """A value that is also the default counts as given."""
    study = StudyFolder(tool.folder / "study")
    study.root.mkdir()
    BEGUN.write(study.config)
    command = ("tune", "--resume", "--study", study.root, "--data-dir", "/data", "--space", "small")
    tool.refuses(*command, "--seed", 0, naming=("--seed: 0", "begun with 3"))
    tool.refuses(*command, "--set", "dropout=0.1", naming=("dropout", "begun with"))
