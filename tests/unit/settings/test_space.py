"""Search spaces: the shipped files, what a space says, and every mistake named with its key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from refusals import refusal
from small_space import changed

from sa_study.settings.run import Settings
from sa_study.settings.space import Parameter
from sa_study.settings.space_file import SPACES, complete, load_space, override, parse_space
from sa_study.settings.yaml_files import parse_assignments
from sa_study.utils.errors import ConfigError

VALID: dict[str, Any] = {
    "search": {
        "lr": {"type": "float", "low": 0.01, "high": 0.3, "log": True},
        "epochs": {"type": "int", "low": 40, "high": 120, "step": 20},
        "attention": {"type": "categorical", "choices": ["mean", "none"]},
    },
    "fixed": {"depth": 18},
    "baseline": {"lr": 0.1, "epochs": 100},
    "trials": 7,
}


@pytest.mark.parametrize("path", sorted(SPACES.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_spaces_are_valid_and_open_with_the_command_that_uses_them(path: Path) -> None:
    space = load_space(path)
    assert parse_space(space.to_dict(), "again") == space
    assert "python run_study.py" in "".join(path.read_text().splitlines(keepends=True)[:3])


@pytest.mark.parametrize("name", ["default", "wide", "ablation"])
def test_the_baseline_is_the_papers_configuration(name: str) -> None:
    space = load_space(Path(name))
    settings = space.settings(space.baseline)
    assert (settings.lr, settings.dropout, settings.attention, settings.batch_size) == (0.1, 0.5, "mean", 48)
    assert settings.decay_epochs == 40


def test_a_baseline_is_completed_by_the_papers_values() -> None:
    assert parse_space(VALID, "here").baseline == {"lr": 0.1, "epochs": 100, "attention": "mean"}


def test_the_grid_holds_every_combination_once_and_the_baseline_first() -> None:
    space = load_space(Path("ablation"))
    points = space.grid()
    assert points[0] == {"attention": "mean", "deep_supervision": True, "parts": 6, "random_erasing": 0.0}
    assert len(points) == len({tuple(sorted(point.items())) for point in points}) == 24


@pytest.mark.parametrize(
    ("search", "size"),
    [
        ({}, 1),
        ({"lr": {"type": "float", "low": 0.1, "high": 0.1}}, 1),
        ({"lr": {"type": "float", "low": 0.1, "high": 0.2}}, None),
        ({"dropout": {"type": "float", "low": 0.0, "high": 0.85, "step": 0.1}}, 9),
        ({"num_features": {"type": "int", "low": 16, "high": 1024, "log": True}}, 1009),
        (
            {
                "seed": {"type": "int", "low": 0, "high": 2**31 - 1},
                "flip": {"type": "categorical", "choices": [0.5, 1]},
            },
            2**32,
        ),
    ],
)
def test_size(search: dict[str, Any], size: int | None) -> None:
    assert parse_space({"search": search, "baseline": {}}, "here").size == size


def test_steps_add_up_without_rounding_errors() -> None:
    parameter = Parameter("float", 0.0, 0.85, 0.1)
    values = [parameter.value(index) for index in range(parameter.count or 0)]
    assert values == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    assert parameter.canonical(0.1 + 0.2) == 0.3 and parameter.contains(0.1 + 0.2)


def test_overridden_settings_are_no_longer_searched() -> None:
    space = override(parse_space(VALID, "here"), {"lr": 0.05, "width": 64})
    assert set(space.search) == set(space.baseline) == {"epochs", "attention"}
    assert space.fixed == {"depth": 18, "lr": 0.05, "width": 64}


@pytest.mark.parametrize(
    ("parameter", "inside", "outside"),
    [
        (Parameter("float", 0.0, 1.0), [0.0, 0.33, 1.0], [-0.1, 1.1]),
        (Parameter("float", 0.0, 0.8, 0.1), [0.0, 0.3, 0.7, 0.8], [0.25]),
        (Parameter("int", 40, 120, 20), [40, 100], [50, 140]),
        (Parameter("categorical", choices=("a", "b")), ["a"], ["c"]),
    ],
)
def test_what_a_parameter_contains(parameter: Parameter, inside: list[Any], outside: list[Any]) -> None:
    assert all(parameter.contains(value) for value in inside)
    assert not any(parameter.contains(value) for value in outside)


MISTAKES: list[tuple[list[str], Any, list[str]]] = [
    (["serach"], {}, ["serach", "search"]),
    (["search"], [1], ["search", "[1]"]),
    (["search"], False, ["search", "False"]),
    (["fixed"], [], ["fixed", "[]"]),
    (["search", "lrr"], {"type": "float", "low": 0.1, "high": 1}, ["search", "'lrr'", "did you mean lr"]),
    (["search", "lr"], 0.1, ["search.lr", "0.1"]),
    (["search", "lr", "type"], "uniform", ["search.lr.type", "'uniform'", "float, int, categorical"]),
    (["search", "lr", "type"], "int", ["search.lr.low", "0.01", "whole number"]),
    (["search", "lr", "low"], 0.5, ["search.lr", "low 0.5", "high 0.3"]),
    (["search", "lr", "low"], -1, ["search.lr.low", "-1", "> 0"]),
    (["search", "lr", "low"], "small", ["search.lr.low", "'small'"]),
    (["search", "lr", "hihg"], 1, ["search.lr.hihg", "unknown key"]),
    (["search", "lr", "log"], "yes", ["search.lr.log", "'yes'"]),
    (["search", "lr", "step"], 0.1, ["search.lr", "step and log"]),
    (["search", "epochs", "step"], 0.5, ["search.epochs.step", "0.5"]),
    (["search", "epochs", "step"], 0, ["search.epochs.step", "0"]),
    (["search", "epochs", "type"], "float", ["search.epochs.type", "whole numbers"]),
    (["search", "epochs", "high"], 5000, ["search.epochs.high", "5000", "<= 1000"]),
    (["search", "attention", "choices"], [], ["search.attention.choices", "[]"]),
    (["search", "attention", "choices"], ["max"], ["search.attention.choices", "'max'"]),
    (["search", "attention", "choices"], ["mean", "mean"], ["search.attention.choices", "twice"]),
    (["search", "attention", "type"], "float", ["search.attention.choices"]),
    (
        ["search", "split_seed"],
        {"type": "int", "low": 0, "high": 9},
        ["search.split_seed", "same for all trials"],
    ),
    (["search", "fold"], {"type": "int", "low": 0, "high": 4}, ["search.fold", "same for all trials"]),
    (["fixed", "lr"], 0.1, ["lr", "both search and fixed"]),
    (["fixed", "depth"], 19, ["fixed", "depth", "19"]),
    (["fixed", "height"], 64, ["height", "96"]),
    (["baseline", "lr"], 1.0, ["baseline.lr", "1.0", "0.01 … 0.3"]),
    (["baseline", "dropout"], 0.5, ["baseline.dropout", "not searched"]),
    (["baseline", "epochs"], 50, ["baseline.epochs", "50", "step 20"]),
    (["sampler"], 3, ["sampler", "3", "name"]),
    (["scheduler"], {"name": ["asha"]}, ["scheduler.name", "['asha']", "name"]),
    (["scheduler"], {"grace": 3}, ["scheduler.grace", "unknown key"]),
    (["scheduler"], {"grace_period": 0}, ["scheduler.grace_period", "0"]),
    (["scheduler"], {"reduction_factor": 1}, ["scheduler.reduction_factor", "1"]),
    (["trials"], 0, ["trials", "0"]),
    (["trials"], True, ["trials", "True"]),
]


@pytest.mark.parametrize(("place", "value", "words"), MISTAKES, ids=lambda item: None)
def test_every_mistake_is_named_with_its_key(place: list[str], value: Any, words: list[str]) -> None:
    text = refusal(ConfigError, parse_space, changed(VALID, place, value), "space.yaml")
    assert text.startswith("space.yaml: ") and all(word in text for word in words), text


def test_a_setting_with_a_few_values_is_no_range() -> None:
    with pytest.raises(ConfigError, match=r"search\.depth\.type: depth takes only 18, 34.*categorical"):
        parse_space({"search": {"depth": {"type": "int", "low": 18, "high": 50}}}, "here")


@pytest.mark.parametrize("name", ["asha", "hyperband", "median", "none"])
def test_schedulers_by_name(name: str) -> None:
    space = parse_space({**VALID, "scheduler": {"name": name, "grace_period": 20}}, "here")
    assert (space.scheduler.name, space.scheduler.grace_period) == (name, 20)


def test_a_folder_does_not_hide_a_known_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "default").mkdir()
    assert load_space(Path("default")).trials == 40


def test_a_completed_space_holds_every_setting() -> None:
    space = complete(parse_space(VALID, "here"), {"threads": 2, "depth": 50})
    assert set(space.fixed) | set(space.search) == set(Settings().to_dict())
    assert space.fixed["threads"] == 2 and space.fixed["depth"] == 18, "what the space fixes stays"
    assert parse_space(space.to_dict(), "again") == space


def test_a_missing_file_names_the_known_spaces(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"default.*wide"):
        load_space(tmp_path / "nothing.yaml")


@pytest.mark.parametrize("spelled", [{"depth": 18}, {"backbone": "resnet18"}], ids=str)
def test_a_space_takes_both_spellings_of_a_backbone(spelled: dict[str, Any]) -> None:
    [(key, value)] = spelled.items()
    fixed = parse_space({"fixed": spelled}, "here")
    assert fixed.to_dict()["fixed"] == {"depth": 18} and fixed.possible("backbone") == ["resnet18"]
    choices = [value, {18: 34, "resnet18": "resnet101"}[value]]
    rule = {"type": "categorical", "choices": choices}
    spec = {"search": {key: rule}, "baseline": {"backbone": "resnet18"}}
    space = parse_space(spec, "here")
    assert parse_space(space.to_dict(), "again") == space and space.baseline == spelled
    assert space.possible("backbone")[0] == "resnet18"
    assert not {"depth", "backbone"} & complete(space, {}).fixed.keys()
    assert space.settings({key: value}).backbone == "resnet18"
    for other in ("depth=34", "backbone=resnet34"):
        one = override(space, parse_assignments([other]))
        assert not one.search and one.settings({}).backbone == "resnet34"
    with pytest.raises(ConfigError, match="backbone: stands under both search and fixed"):
        parse_space({**spec, "fixed": {"depth": 18}}, "here")
