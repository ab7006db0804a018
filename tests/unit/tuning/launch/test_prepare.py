"""`tune --resume` on a study that is there: options that were given are applied or refused, never dropped."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine

from sa_study.settings.space import Scheduler
from sa_study.settings.space_file import SPACES, load_space, override, parse_space
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.tuning.launch.cluster import Slots
from sa_study.tuning.launch.prepare import (
    StudyChanges,
    changes_from_options,
    check_new_study,
    find_images,
    resolve_settings,
)
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


def test_a_study_keeps_the_cpus_that_auto_decided() -> None:
    begun = dataclasses.replace(BEGUN, cpus_per_trial=4.0)
    assert changes_from_options(begun, config(cpus_per_trial=None), {"cpus_per_trial"}) == StudyChanges()


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


def test_a_backbone_that_cannot_be_had_is_refused_before_any_image_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where no weights are fetched for it, and it is not trial 0's."""
    monkeypatch.setitem(sys.modules, "timm", None)
    choices = {"type": "categorical", "choices": ["narrow", "timm/vit_tiny_patch16_224"]}
    spec = {
        "search": {"backbone": choices},
        "fixed": {"pretrained": "none"},
        "baseline": {"backbone": "narrow"},
    }
    described = StudyConfig(data_dir=Path("/nowhere"), space=parse_space(spec, "here"), trials=1)
    with pytest.raises(ConfigError, match="backbone: timm/vit_tiny_patch16_224 needs timm"):
        find_images(described)


@pytest.mark.parametrize("path", sorted(SPACES.glob("*.yaml")), ids=lambda path: path.stem)
def test_spaces_that_come_along_search_nothing_in_vain(path: Path) -> None:
    check_new_study(config(str(path), trials=load_space(path).trials))


@pytest.mark.parametrize(
    ("space", "overrides", "words"),
    [
        ("default", {"optimizer": "adamw"}, "search.lr: .* optimizer=adamw; search adam_lr in its place"),
        ("wide", {"optimizer": "adam"}, "search.lr: .* optimizer=adam; search adam_lr in its place"),
        (
            "wide",
            {"schedule": "cosine"},
            "search.step_fraction: .*schedule=cosine; fix it by --set step_frac",
        ),
        (
            "default",
            {"images_per_identity": 64},
            "images_per_identity: 64 do not fit into batch_size=48; .*48",
        ),
        ({"adam_lr": ["float", 1e-5, 1e-3]}, {}, "search.adam_lr: .* optimizer=sgd; search lr in its place"),
        ({"momentum": ["float", 0.8, 0.9], "optimizer": ["adam", "adamw"]}, {}, "momentum.*=adam or adamw;"),
        ({"adam_eps": ["float", 1e-9, 1e-7]}, {}, "search.adam_eps: .*; fix it by --set adam_eps=…"),
        ({"triplet_margin": [0.1, 0.3]}, {}, "search.triplet_margin: .* triplet_weight=0.0; fix it"),
        ({"neck_feature": ["before", "after"]}, {}, "search.neck_feature: .* bn_neck=False; fix it"),
        ({"optimizer": ["sgd", "adamw"], "lr": ["float", 0.1, 0.2, "adamw"]}, {}, "search.lr: .*=adamw; "),
        ({"optimizer": ["sgd", "adamw"], "lr": ["float", 0.1, 0.2]}, {}, None),
        ({"random_erasing": [0.0, 0.5], "random_erasing_fill": ["noise", "mean"]}, {}, None),
        ({"batch_size": [8, 16], "images_per_identity": [0, 16]}, {}, "images_per_identity: 16 .*=8;"),
        ({"batch_size": [16, 32], "images_per_identity": [0, 16]}, {}, None),
    ],
)
def test_what_changes_nothing_is_refused_in_new_studies_only(
    space: str | dict[str, list[Any]], overrides: dict[str, Any], words: str | None
) -> None:
    if isinstance(space, dict):
        search: dict[str, Any] = {}
        for key, (first, *rest) in space.items():
            search[key] = {"type": "categorical", "choices": [first, *rest]}
            if first == "float":
                search[key] = {"type": "float", "low": rest[0], "high": rest[1]}
                search[key] |= {"when": {"optimizer": rest[2:]}} if rest[2:] else {}
        fixed = {} if "batch_size" in space else {"batch_size": 48}
        baseline = {key: values[-1] for key, values in space.items() if values[0] != "float"}
        described = parse_space({"search": search, "fixed": fixed, "baseline": baseline}, "here")
    else:
        described = override(load_space(Path(space)), overrides)
    assert parse_space(described.to_dict(), "as a study on disk holds it") == described
    asked = StudyConfig(data_dir=Path("/data"), space=described, trials=10)
    if words is None:
        check_new_study(asked)
    else:
        with pytest.raises(ConfigError, match=words):
            check_new_study(asked)


def test_commands_refuse_settings_without_effect_before_reading_images(tool: CommandLine) -> None:
    study = ("--data-dir", "/nowhere", "--study", tool.folder / "study", "--set", "optimizer=adamw")
    for command in ("tune", "plan"):
        tool.refuses(command, *study, naming=("search.lr", "optimizer=adamw", "search adam_lr"))
    (tool.folder / "run.yaml").write_text("images_per_identity: 64\n")
    run = ("--config", tool.folder / "run.yaml", "--data-dir", "/nowhere", "--out", tool.folder / "run")
    tool.refuses("train", *run, naming=("images_per_identity: 64", "batch_size=48", "the most is 48"))
