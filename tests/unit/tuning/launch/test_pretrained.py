"""What a launch notes of pretrained backbones, and what a rerun finds of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from original_trial import NOW, make_rerun
from torch import Tensor

from sa_study.analysis.reproduce.original import OriginalTrial, trial_changes
from sa_study.analysis.reproduce.reproduction import judge_rerun
from sa_study.model.backbones import BACKBONES
from sa_study.provenance import append_launch, read_provenance
from sa_study.settings.run import Settings
from sa_study.settings.space_file import override, parse_space
from sa_study.training.trainer import build_network
from sa_study.tuning.launch.pretrained import (
    PretrainedBackbones,
    backbone_fingerprints,
    fingerprint,
    load_backbones,
    recorded_fingerprint,
    require_same_backbones,
)
from sa_study.utils.errors import WeightsError

STATE = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor(3)}
OTHER = {**STATE, "b": torch.tensor(4)}


pytestmark = pytest.mark.usefixtures("same_machine")


@pytest.mark.parametrize(
    "other",
    [
        {**STATE, "a": torch.nextafter(STATE["a"], torch.tensor(9.0))},
        {**STATE, "a": STATE["a"].reshape(2, 1)},
        {**STATE, "b": STATE["b"].to(torch.int32)},
        {"c": STATE["a"], "b": STATE["b"]},
        {"a": STATE["a"]},
    ],
)
def test_other_weights_have_another_fingerprint(other: dict[str, Tensor]) -> None:
    assert fingerprint(other) != fingerprint(STATE)


def test_a_fingerprint_is_of_the_values_however_they_lie() -> None:
    turned = {"b": STATE["b"].clone(), "a": torch.stack([STATE["a"], STATE["a"]], 1)[:, 0]}
    assert not turned["a"].is_contiguous() and fingerprint(turned) == fingerprint(STATE)


def test_a_launch_notes_what_its_trials_start_from(original: OriginalTrial, tmp_path: Path) -> None:
    state = build_network(Settings(depth=18, pretrained="none"), 1).base.state_dict()
    weights, path = tmp_path / "w.pth", tmp_path / "provenance.json"
    torch.save(state, weights)
    space = override(original.study.config.space, {"depth": 18, "pretrained": str(weights)})
    backbones = load_backbones(dataclasses.replace(original.study.config, space=space))
    assert set(backbones) == {("resnet18", str(weights))}
    append_launch(path, "ab", **backbone_fingerprints(backbones))
    [launch] = read_provenance(path)["launches"]
    assert recorded_fingerprint(launch, "resnet18", str(weights)) == fingerprint(state)
    assert (
        recorded_fingerprint(launch, "resnet34", str(weights)) is None
        and recorded_fingerprint(launch, "resnet18", "imagenet") is None
    )


def test_only_what_trials_can_start_from_is_read(
    original: OriginalTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is of the default backbone, which a small one stands for; no trial has it with another."""
    monkeypatch.setitem(BACKBONES, "resnet50", BACKBONES["narrow"])
    weights = str(tmp_path / "w.pth")
    torch.save(build_network(Settings(pretrained="none"), 1).base.state_dict(), weights)
    search: dict[str, Any] = {
        "pretrained": {"type": "categorical", "choices": ["none", weights]},
        "backbone": {
            "type": "categorical",
            "choices": ["resnet18", "resnet34"],
            "when": {"pretrained": ["none"]},
        },
    }
    spec = {"search": search, "baseline": {"pretrained": "none", "backbone": "resnet18"}}
    config = dataclasses.replace(original.study.config, space=parse_space(spec, "here"))
    assert set(load_backbones(config)) == {("resnet50", weights)}
    del search["backbone"]["when"]
    config = dataclasses.replace(config, space=parse_space(spec, "here"))
    with pytest.raises(WeightsError, match=f"pretrained: {weights}: lacks"):
        load_backbones(config)


@pytest.mark.parametrize(
    "launch",
    [
        None,
        {},
        {"starts": 3},
        {"starts": {"depth": 50}},
        {"starts": [3, None, {"depth": 50, "pretrained": "w"}]},
        {"starts": [{"depth": 50, "pretrained": "w", "sha256": 7}]},
        {"starts": [{"depth": [], "pretrained": {}, "sha256": "7"}]},
    ],
)
def test_what_an_edited_or_older_file_does_not_tell_is_not_known(launch: object) -> None:
    assert recorded_fingerprint(launch, "resnet50", "w") is None


def test_a_study_goes_on_only_from_the_weights_that_it_was_begun_with() -> None:
    backbones = {("resnet50", "/w.pth"): STATE}
    require_same_backbones(
        backbones,
        [backbone_fingerprints(backbones), {}, None, backbone_fingerprints({("resnet34", "/w.pth"): OTHER})],
    )
    with pytest.raises(WeightsError, match=r"/w\.pth does not hold the weights"):
        require_same_backbones({("resnet50", "/w.pth"): OTHER}, [backbone_fingerprints(backbones)])


def begun_with(original: OriginalTrial, pretrained: str, *backbones: PretrainedBackbones) -> OriginalTrial:
    """The trial with those pretrained weights, of one launch for each of the backbones."""
    launches = {
        number: {**NOW, **backbone_fingerprints(of_launch)}
        for number, of_launch in enumerate(backbones, start=1)
    }
    settings = dataclasses.replace(original.settings, pretrained=pretrained)
    return dataclasses.replace(original, settings=settings, launches=launches)


def test_changed_pretrained_weights_are_named_and_forbid_equal_figures(original: OriginalTrial) -> None:
    trial = begun_with(original, "/w.pth", {(original.settings.backbone, "/w.pth"): STATE})
    drifted = make_rerun(mAP=1.001, loss=1.001, **{"loss/part1": 1.001})
    same = judge_rerun(trial, dataclasses.replace(drifted, backbone_fingerprint=fingerprint(STATE)), 1.0)
    assert same.result == "different" and not any(change.explains for change in same.changes)
    changed = judge_rerun(trial, dataclasses.replace(drifted, backbone_fingerprint=fingerprint(OTHER)), 1.0)
    assert changed.result == "within tolerance"
    line = f"({fingerprint(STATE)[:12]}, {fingerprint(OTHER)[:12]} now)"
    assert changed.changes[0].line == f"pretrained: /w.pth had other weights then {line}"


def test_a_trial_begins_with_the_weights_of_its_first_launch(original: OriginalTrial) -> None:
    key = original.settings.backbone, "/w.pth"
    trial = begun_with(original, "/w.pth", {key: STATE}, {key: OTHER})
    assert trial_changes(trial, "cpu", fingerprint(STATE)) == []
    assert trial_changes(trial, "cpu", fingerprint(OTHER)) != []
    without_rows = dataclasses.replace(trial, rows=[])
    assert trial_changes(without_rows, "cpu", fingerprint(STATE)) != [], (
        "which launch it began in is not known"
    )


@pytest.mark.parametrize(("pretrained", "explains"), [("/w.pth", True), ("imagenet", False)])
def test_older_launches_noted_no_weights(original: OriginalTrial, pretrained: str, explains: bool) -> None:
    [change] = trial_changes(begun_with(original, pretrained, {}), "cpu", fingerprint(STATE))
    assert (
        change.line == f"pretrained: the hash of the {pretrained} weights used then was not recorded"
        and change.explains == explains
    )
