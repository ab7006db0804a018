"""An earlier study's best configurations in a new space: which fit, which do not and why."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from written_study import FIXED, Trial, make_study

from sa_study.settings.space_file import parse_space
from sa_study.study.summary import StudySummary
from sa_study.tuning.search.initial_trials import STARTED_FROM, require_same_start, transfer
from sa_study.utils.errors import ConfigError, StudyFolderError

LR = {"type": "float", "low": 0.01, "high": 0.3, "log": True}
ATTENTION = {"type": "categorical", "choices": ["mean", "softmax", "none"]}
TRIALS = (
    Trial(curve=(0.1, 0.2)),
    Trial(curve=(0.1, 0.5), lr=0.2, attention="softmax"),
    Trial(curve=(0.1, 0.4), lr=0.05, attention="none"),
    Trial("PRUNED", curve=(0.9,), lr=0.3),
    Trial(curve=(0.1, 0.3), lr=0.02, attention="softmax"),
)


@pytest.fixture
def earlier(tmp_path: Path) -> StudySummary:
    return StudySummary.read(make_study(tmp_path / "earlier", TRIALS).root)


def space(**spec: Any) -> Any:
    return parse_space({"fixed": FIXED, **spec}, "space")


def test_the_best_come_after_the_new_baseline(earlier: StudySummary) -> None:
    new = space(search={"lr": LR, "attention": ATTENTION})
    found = transfer(earlier, new, 3, 40)
    assert found.trials == (1, 2, 4) and not found.misfits
    assert found.initial_trials.configurations == (
        new.baseline,
        {"lr": 0.2, "attention": "softmax"},
        {"lr": 0.05, "attention": "none"},
        {"lr": 0.02, "attention": "softmax"},
    )
    assert found.initial_trials.user_attrs == {
        STARTED_FROM: {"study": str(earlier.folder.root), "trials": [1, 2, 4]}
    }
    assert transfer(earlier, new, 1, 40).trials == (1,)
    assert transfer(earlier, new, 100, 40).trials == (1, 2, 4), "trial 0 is the baseline, 3 is not complete"
    assert transfer(earlier, new, 3, 2).trials == (1,), "a study of two trials"


def test_what_does_not_fit_is_named(earlier: StudySummary) -> None:
    narrower = space(search={"lr": {**LR, "low": 0.03}, "attention": ATTENTION})
    found = transfer(earlier, narrower, 3, 40)
    assert found.trials == (1, 2)
    assert found.misfits == ("trial 4 of earlier does not fit: lr 0.02 lies outside 0.03 … 0.3, log",)
    found = transfer(earlier, space(search={"lr": LR}, fixed={**FIXED, "attention": "none"}), 3, 40)
    assert found.trials == (2,)
    assert found.misfits[0] == (
        "trial 1 of earlier does not fit: attention is softmax, and none in the new study"
    )


def test_a_setting_that_was_fixed_may_be_searched_and_another_may_change(earlier: StudySummary) -> None:
    epochs = {"type": "int", "low": 4, "high": 100, "step": 4}
    new = space(
        search={"lr": LR, "attention": ATTENTION, "epochs": epochs},
        fixed={**{key: value for key, value in FIXED.items() if key != "epochs"}, "height": 64},
    )
    found = transfer(earlier, new, 1, 40)
    assert found.initial_trials.configurations[1] == {"lr": 0.2, "attention": "softmax", "epochs": 4}


def test_conditions_hold_in_what_is_taken_over(earlier: StudySummary) -> None:
    when = {"attention": ["mean", "none"]}
    new = space(search={"attention": ATTENTION, "lr": {**LR, "when": when}})
    found = transfer(earlier, new, 2, 40)
    assert found.trials == (2,)
    assert "trial 1 of earlier does not fit: lr is 0.2, and 0.1 in the new study" in found.misfits
    assert found.initial_trials.configurations[1] == {"attention": "none", "lr": 0.05}


def test_equal_configurations_are_run_once(tmp_path: Path) -> None:
    twins = (Trial(curve=(0.1,)), Trial(curve=(0.4,), lr=0.2), Trial(curve=(0.5,), lr=0.2))
    earlier = StudySummary.read(make_study(tmp_path / "earlier", twins).root)
    assert transfer(earlier, space(search={"lr": LR, "attention": ATTENTION}), 3, 40).trials == (2,)


def test_there_must_be_something_to_start_from(tmp_path: Path) -> None:
    nothing = StudySummary.read(make_study(tmp_path / "earlier", (Trial("FAIL", curve=()),)).root)
    with pytest.raises(StudyFolderError, match="no trial is complete"):
        transfer(nothing, space(search={"lr": LR}), 3, 40)


def test_a_study_that_is_resumed_keeps_its_start(earlier: StudySummary) -> None:
    begun = {STARTED_FROM: {"study": "/runs/old", "trials": [3]}}
    require_same_start(dataclasses.replace(earlier, attributes=begun), Path("/runs/old"))
    with pytest.raises(ConfigError, match="--from /runs/new: but the study was begun with /runs/old"):
        require_same_start(dataclasses.replace(earlier, attributes=begun), Path("/runs/new"))
    for attributes in ({}, {STARTED_FROM: 3}):
        with pytest.raises(ConfigError, match="begun with none"):
            require_same_start(dataclasses.replace(earlier, attributes=attributes), Path("/runs/new"))


def test_a_backbone_under_either_name(tmp_path: Path) -> None:
    fixed = {key: value for key, value in FIXED.items() if key != "backbone"}
    old = parse_space(
        {
            "search": {"backbone": {"type": "categorical", "choices": ["resnet18", "resnet50"]}, "lr": LR},
            "fixed": fixed,
        },
        "space",
    )
    root = make_study(tmp_path / "earlier", TRIALS[:2]).root
    study = StudySummary.read(root)
    trials = [
        dataclasses.replace(trial, params={"backbone": name, "lr": trial.params["lr"]})
        for trial, name in zip(study.trials, ("resnet18", "resnet50"), strict=True)
    ]
    study = dataclasses.replace(
        study, config=dataclasses.replace(study.config, space=old), trials=tuple(trials)
    )
    found = transfer(study, space(search={"lr": LR}, fixed={**fixed, "depth": 18}), 2, 40)
    assert found.trials == (), "trial 0 equals the new baseline"
    assert found.misfits == (
        "trial 1 of earlier does not fit: backbone is resnet50, and resnet18 in the new study",
    )
