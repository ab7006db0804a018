"""Settings that are searched only under conditions, and settings that must go together."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from refusals import refusal
from small_space import changed

from sa_study.settings.run import Settings
from sa_study.settings.space import SearchSpace
from sa_study.settings.space_file import override, parse_space
from sa_study.utils.errors import ConfigError

CONDITIONAL: dict[str, Any] = {
    "search": {
        "attention": {"type": "categorical", "choices": ["mean", "softmax", "none"]},
        "attention_stage4": {
            "type": "categorical",
            "choices": [True, False],
            "when": {"attention": ["mean", "softmax"]},
        },
        "parts": {"type": "int", "low": 2, "high": 8, "step": 2},
        "dropout": {
            "type": "float",
            "low": 0.1,
            "high": 0.75,
            "step": 0.2,
            "when": {"attention_stage4": [False], "parts": [4, 6], "depth": [18]},
        },
    },
    "fixed": {"depth": 18},
}


def distinct(space: SearchSpace) -> set[tuple[tuple[str, Any], ...]]:
    """All configurations the long way: every value of everything, then what is not active left out."""
    axes = [[p.value(index) for index in range(p.count or 0)] for p in space.search.values()]
    found = set()
    for values in itertools.product(*axes):
        kept: dict[str, Any] = {}
        for (name, parameter), value in zip(space.search.items(), values, strict=True):
            known = Settings().to_dict() | space.fixed | kept
            if all(known[key] in allowed for key, allowed in parameter.when.items()):
                kept[name] = value
        found.add(tuple(kept.items()))
    return found


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (["trials"], 3),
        (["search", "dropout", "when"], {"attention": ["none"], "attention_stage4": [False]}),
        (["search", "dropout", "when"], {"parts": [8]}),
        (["search", "parts", "when"], {"attention_stage4": [False]}),
        (["search", "parts", "when"], {"attention": ["none"]}),
        (["search", "parts", "high"], 7),
        (["search", "attention", "choices"], ["softmax", "mean"]),
    ],
)
def test_size_and_points_of_conditional_spaces(place: list[str], value: Any) -> None:
    space = parse_space(changed(CONDITIONAL, place, value), "here")
    points = [tuple(point.items()) for point in space.points()]
    assert len(points) == space.size == len(set(points))
    assert set(points) == distinct(space)
    assert len({space.key(dict(point)) for point in points}) == space.size
    assert len({space.settings(dict(point)) for point in points}) == space.size


def test_conditions_stand_in_the_file_the_baseline_and_the_description() -> None:
    space = parse_space(CONDITIONAL, "here")
    assert parse_space(space.to_dict(), "again") == space
    assert space.baseline == {"attention": "mean", "attention_stage4": False, "parts": 6, "dropout": 0.5}
    other = parse_space(changed(CONDITIONAL, ["baseline"], {"attention": "none"}), "here")
    assert set(other.baseline) == {"attention", "parts", "dropout"}
    assert space.search["attention_stage4"].describe() == "True | False; when attention is mean | softmax"
    assert space.possible("parts") == [2, 8] and space.possible("depth") == [18]
    assert space.possible("dropout") == [0.1, 0.7, 0.5] and space.possible("epochs") == [100]


def test_a_conditional_grid_holds_the_active_combinations() -> None:
    space = parse_space({**CONDITIONAL, "sampler": "grid"}, "here")
    assert space.grid()[0] == space.baseline
    assert {tuple(point.items()) for point in space.grid()} == distinct(space)


def test_overriding_a_condition_fixes_what_it_rules_out() -> None:
    space = override(parse_space(CONDITIONAL, "here"), {"attention": "none", "parts": 8})
    assert not space.search and not space.baseline
    assert (space.fixed["attention_stage4"], space.fixed["dropout"]) == (False, 0.5)
    kept = override(parse_space(CONDITIONAL, "here"), {"attention": "softmax"})
    assert list(kept.search) == ["attention_stage4", "parts", "dropout"]
    assert kept.size == len(distinct(kept)) == 4 + 4 + 2 * 3


WRONG_CONDITIONS: list[tuple[list[str], Any, list[str]]] = [
    (["search", "parts", "when"], "mean", ["search.parts.when", "'mean'"]),
    (["search", "parts", "when"], {}, ["search.parts.when", "{}"]),
    (["search", "parts", "when"], {"atention": ["mean"]}, ["search.parts.when", "did you mean attention"]),
    (["search", "parts", "when"], {"parts": [2]}, ["search.parts.when.parts", "above parts"]),
    (["search", "parts", "when"], {"dropout": [0.1]}, ["search.parts.when.dropout", "above parts"]),
    (["search", "parts", "when"], {"epochs": [100]}, ["search.parts.when.epochs", "neither fixed"]),
    (["search", "parts", "when"], {"attention": "mean"}, ["search.parts.when.attention", "list", "'mean'"]),
    (["search", "parts", "when"], {"attention": []}, ["search.parts.when.attention", "[]"]),
    (["search", "parts", "when"], {"attention": ["max"]}, ["search.parts.when.attention", "'max'"]),
    (["search", "parts", "when"], {"attention": ["mean", "mean"]}, ["attention", "twice"]),
    (["search", "parts", "when"], {"depth": [50]}, ["search.parts.when", "never holds", "depth is 50"]),
    (["search", "dropout", "when"], {"parts": [3]}, ["search.dropout.when.parts", "3", "step 2"]),
    (
        ["search", "dropout", "when"],
        {"attention": ["none"], "attention_stage4": [True]},
        ["search.dropout.when", "never holds"],
    ),
    (
        ["baseline"],
        {"attention": "none", "attention_stage4": True},
        ["baseline.attention_stage4", "attention"],
    ),
    (["search", "lr"], {"type": "float", "low": 0.1, "high": 1, "when": {"flip": [0.5]}}, ["lr.when.flip"]),
]


@pytest.mark.parametrize(("place", "value", "words"), WRONG_CONDITIONS, ids=lambda item: None)
def test_every_wrong_condition_is_named_with_its_key(place: list[str], value: Any, words: list[str]) -> None:
    text = refusal(ConfigError, parse_space, changed(CONDITIONAL, place, value), "space.yaml")
    assert text.startswith("space.yaml: ") and all(word in text for word in words), text


def test_a_condition_on_any_number_is_refused() -> None:
    search = {
        "lr": {"type": "float", "low": 0.01, "high": 1},
        "momentum": {"type": "categorical", "choices": [0.9, 0.95], "when": {"lr": [0.1]}},
    }
    with pytest.raises(ConfigError, match=r"search\.momentum\.when\.lr: any number"):
        parse_space({"search": search}, "here")


@pytest.mark.parametrize(
    ("search", "fixed", "words"),
    [
        ({"parts": range(1, 9), "height": range(96, 385)}, {}, "height: 96.*128"),
        ({"parts": range(1, 9), "height": range(96, 385)}, {"depth": 18}, "height: 96.*128"),
        ({"batch_size": range(8, 65)}, {"accumulate": 5}, "accumulate: 5.*batch_size=8"),
        ({"accumulate": [1, 2, 16]}, {"batch_size": 24}, "accumulate: 16.*batch_size=24"),
        ({"accumulate": range(1, 9), "batch_size": [64, 12, 48]}, {}, "accumulate: 8.*batch_size=12"),
        (
            {"parts": range(1, 13), "height": ([384, 96], {"parts": [1, 2, 11, 12]})},
            {},
            "height: 96.*parts=1[12]",
        ),
        ({"parts": range(1, 25), "height": ([384], {"parts": [24]})}, {}, None),
        ({"parts": range(1, 13), "height": ([384, 96], {"parts": [1, 2, 6]})}, {}, None),
        ({"height": [384, 96], "parts": (range(2, 25), {"height": [384]})}, {}, None),
        ({"height": [384, 80], "parts": (range(2, 25), {"height": [384]})}, {}, "height: 80.*parts=6"),
    ],
)
def test_combinations_that_a_trial_would_refuse_are_refused_at_once(
    search: dict[str, Any], fixed: dict[str, Any], words: str | None
) -> None:
    rules = {}
    for key, rule in search.items():
        values, when = rule if isinstance(rule, tuple) else (rule, {})
        if isinstance(values, range):
            rules[key] = {"type": "int", "low": values[0], "high": values[-1]}
        else:
            rules[key] = {"type": "categorical", "choices": values}
        rules[key] |= {"when": when} if when else {}
    spec = {"search": rules, "fixed": fixed}
    if words is None:
        space = parse_space(spec, "here")
        assert all(space.settings(point) for point in space.points())
        return
    with pytest.raises(ConfigError, match=words):
        parse_space(spec, "here")
