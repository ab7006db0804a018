"""What each setting contributes: cells, effects, tables."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from synthetic_runs import run

from sa_study.analysis.repeats.ablate import conclude_ablation, plan_ablation, require_same_ablation
from sa_study.export.documents import ablation_markdown
from sa_study.report.terminal.repeats import cells_table, effects_table
from sa_study.settings.space import SearchSpace
from sa_study.settings.space_file import load_space, parse_space
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.study.records import ABLATES
from sa_study.utils.errors import ConfigError

SPACE = parse_space(
    {
        "search": {
            "attention": {"type": "categorical", "choices": ["mean", "none"]},
            "deep_supervision": {"type": "categorical", "choices": [True, False]},
        },
        "fixed": {"pretrained": "none"},
        "baseline": {"attention": "mean", "deep_supervision": True},
        "sampler": "grid",
        "scheduler": {"name": "none"},
        "trials": 4,
    },
    "here",
)
CONFIG = StudyConfig(data_dir=Path("/data"), space=SPACE, trials=4)


def mean_of(point: Mapping[str, Any]) -> float:
    """Attention gives 0.1, deep supervision 0.02."""
    return 0.5 + (0.1 if point["attention"] == "mean" else 0) + (0.02 if point["deep_supervision"] else 0)


def concluded(seeds: int = 3, space: SearchSpace = SPACE, *, one_at_a_time: bool = False) -> dict[str, Any]:
    ablation = plan_ablation(space, seeds, one_at_a_time=one_at_a_time)
    runs = [
        run(cell, mean_of(cell), seed, fold=0, rerank_gain=0.03)
        for seed in ablation.seeds
        for cell in ablation.cells
    ]
    return dict(json.loads(json.dumps(conclude_ablation(ablation, runs, CONFIG.metric), allow_nan=False)))


def test_effects_are_those_that_the_runs_were_made_with() -> None:
    found = concluded()
    effects = {(effect["factor"], effect["to"]): effect for effect in found["effects"]}
    assert list(effects) == [("attention", "none"), ("deep_supervision", False), ("re-ranking", "on")]
    for key, truth, pairs in (
        (("attention", "none"), -0.1, 2),
        (("deep_supervision", False), -0.02, 2),
        (("re-ranking", "on"), 0.03, 4),
    ):
        difference = effects[key]["difference"]["mAP"]
        assert effects[key]["cells"] == pairs
        assert difference["mean"] == pytest.approx(truth, abs=0.015), key
        assert difference["low"] < truth + 0.01 and difference["high"] > truth - 0.01
    again = effects["re-ranking", "on"]["difference"]["mAP"]
    assert again["high"] - again["low"] < 0.005, "the same runs: what a seed does to both does not count"


def test_an_effect_is_the_mean_of_the_differences_of_its_pairs() -> None:
    found = concluded()
    means = {
        (cell["settings"]["attention"], cell["settings"]["deep_supervision"]): cell["figures"]["mAP"]["mean"]
        for cell in found["cells"]
    }
    by_hand = sum(means["none", ds] - means["mean", ds] for ds in (True, False)) / 2
    assert found["effects"][0]["difference"]["mAP"]["mean"] == pytest.approx(by_hand)


def test_the_baseline_comes_first_and_every_cell_has_every_seed() -> None:
    ablation = plan_ablation(SPACE, 2)
    points = ablation.initial_trials.configurations
    assert points[0] == {"attention": "mean", "deep_supervision": True, "seed": 0}
    assert [point["seed"] for point in points] == [0] * 4 + [1] * 4
    made = ablation.study(CONFIG)
    assert made.goal == 8 and made.space.settings(points[-1]).seed == 1


ADDITIONS = parse_space(
    {
        "search": {
            **SPACE.to_dict()["search"],
            "images_per_identity": {"type": "categorical", "choices": [0, 4]},
            "triplet_weight": {
                "type": "categorical",
                "choices": [1.0, 2.0],
                "when": {"images_per_identity": [4]},
            },
        },
        "fixed": {"pretrained": "none"},
        "baseline": {**SPACE.baseline, "images_per_identity": 0},
        "sampler": "grid",
    },
    "here",
)
"""A change of which brings another setting with it."""


def test_one_change_at_a_time_and_all_together() -> None:
    ablation = plan_ablation(ADDITIONS, 3, one_at_a_time=True)
    base = ADDITIONS.baseline
    without = {"attention": "none"}, {"deep_supervision": False}
    triplets = {"images_per_identity": 4, "triplet_weight": 1.0}
    together = {**base, **without[0], **without[1], **triplets}
    assert ablation.cells == [base, *({**base, **change} for change in (*without, triplets)), together]
    effects = concluded(space=ADDITIONS, one_at_a_time=True)["effects"]
    assert [(effect["factor"], effect["to"], effect["cells"]) for effect in effects] == [
        ("attention", "none", 1),
        ("deep_supervision", False, 1),
        ("images_per_identity", 4, 1),
        ("all of them", "changed together", 1),
        ("re-ranking", "on", 5),
    ]
    truths = (-0.1, -0.02, 0.0, -0.12)
    for effect, truth in zip(effects, truths, strict=False):
        assert effect["difference"]["mAP"]["mean"] == pytest.approx(truth, abs=0.015), effect["factor"]
    found = concluded(space=ADDITIONS, one_at_a_time=True)
    assert "all of them: the baseline → changed together" in ablation_markdown(found)


def test_the_changes_of_a_single_setting_are_not_all_of_them_together() -> None:
    choices = {"type": "categorical", "choices": [6, 4, 1]}
    space = parse_space({"search": {"parts": choices}, "baseline": {"parts": 6}}, "here")
    ablation = plan_ablation(space, 1, one_at_a_time=True)
    runs = [run(cell, 0.5, 0, fold=0) for cell in ablation.cells]
    effects = conclude_ablation(ablation, runs, CONFIG.metric)["effects"]
    assert [(effect["factor"], effect["to"]) for effect in effects][:-1] == [("parts", 4), ("parts", 1)]


def test_a_grid_compares_a_change_with_what_it_brings_along() -> None:
    effects = {effect["factor"]: effect for effect in concluded(space=ADDITIONS)["effects"]}
    assert effects["images_per_identity"]["cells"] == 4 and "all of them" not in effects


def test_one_seed_is_said_to_be_one() -> None:
    found = concluded(seeds=1)
    assert found["effects"][0]["difference"]["mAP"]["low"] < found["effects"][0]["difference"]["mAP"]["high"]
    assert "one seed" in ablation_markdown(found)


def test_a_failed_cell_is_left_out_and_counted() -> None:
    ablation = plan_ablation(SPACE, 2)
    runs = [
        run(
            {n: v for n, v in point.items() if n != "seed"},
            mean_of(point),
            point["seed"],
            fold=0,
            failure="nan" if point["attention"] == "none" and point["deep_supervision"] else "",
        )
        for point in ablation.initial_trials.configurations
    ]
    found = conclude_ablation(ablation, runs, CONFIG.metric)
    assert found["runs"] == {"asked": 8, "ended": 8, "failed": 2}
    assert found["effects"][0]["cells"] == 1 and found["effects"][0]["difference"]
    failed = next(cell for cell in found["cells"] if cell["failed"])
    assert failed["figures"] is None and "0/2" in ablation_markdown(found)


@pytest.mark.parametrize(
    ("change", "naming"),
    [
        ({"search": {"lr": {"type": "float", "low": 0.1, "high": 0.2}}, "sampler": "tpe"}, "needs a grid"),
        ({"search": {}, "sampler": "tpe"}, "nothing to ablate"),
        ({"search": {"seed": {"type": "int", "low": 0, "high": 3}}}, "search.seed"),
    ],
)
def test_spaces_that_are_no_grid(change: dict[str, Any], naming: str) -> None:
    space = parse_space({**SPACE.to_dict(), "baseline": {}, **change}, "here")
    with pytest.raises(ConfigError, match=naming):
        plan_ablation(space, 2)


def test_another_ablation_in_the_folder_is_refused_and_more_seeds_are_not(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    plan_ablation(SPACE, 2).study(CONFIG).write(folder.config)
    require_same_ablation(folder, {ABLATES: True}, plan_ablation(SPACE, 5).study(CONFIG))
    other = dataclasses.replace(SPACE, fixed={"pretrained": "none", "lr": 0.2})
    with pytest.raises(ConfigError, match=r"lr: 0.2, but .* begun with None"):
        require_same_ablation(folder, {ABLATES: True}, plan_ablation(other, 2).study(CONFIG))
    with pytest.raises(ConfigError, match="'ablate' did not make"):
        require_same_ablation(folder, {}, CONFIG)
    single = plan_ablation(SPACE, 2, one_at_a_time=True)
    begun = {ABLATES: single.design}
    require_same_ablation(folder, begun, single.study(CONFIG), single.design)
    for attributes, design, was in ((begun, True, "with"), ({ABLATES: True}, single.design, "without")):
        with pytest.raises(ConfigError, match=f"begun {was} --one-at-a-time"):
            require_same_ablation(folder, attributes, CONFIG, design)


def test_tables_show_every_cell_in_80_columns_and_nothing_in_them_is_obeyed() -> None:
    found = concluded()
    found["cells"][0]["settings"]["attention"] = "[red]|<b>\x1b[31m"
    console = Console(width=80)
    with console.capture() as captured:
        console.print(cells_table(found), effects_table(found))
    text = captured.get()
    assert "\x1b[31m" not in text and "[red]" in text and "deep_supervision:" in text
    assert max(map(len, text.splitlines())) <= 80
    page = ablation_markdown(found)
    assert "<b>" not in page and "\x1b" not in page and r"\[red\]\|&lt;b&gt;" in page


def test_the_ablation_that_comes_along_has_what_the_papers_readme_promises() -> None:
    for name in ("ablation", "ablation_small"):
        ablation = plan_ablation(load_space(Path(name)), 3)
        assert {"attention", "deep_supervision", "parts", "random_erasing"} == set(ablation.space.search)
        assert len(ablation.initial_trials.configurations) == 24 * 3


def test_the_additions_that_come_along_are_valid_each_alone_and_all_together() -> None:
    ablation = plan_ablation(load_space(Path("recipe_small")), 3, one_at_a_time=True)
    first, *others = map(ablation.space.settings, ablation.cells)
    assert (first.optimizer, first.schedule, first.triplet_weight, first.ema_decay) == ("sgd", "step", 0, 0)
    assert len(others) == len(ablation.space.baseline) + 1
    assert [setting.triplet_weight for setting in others].count(1.0) == 2
