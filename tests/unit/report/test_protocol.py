"""A study of a list without cameras: wherever its figures are shown, their protocol is stated."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from command_line import CommandLine
from image_lists import listed, without_cameras
from sound_study import copy

from sa_study.data.dataset import ReidDataset
from sa_study.data.store import decode
from sa_study.metrics.protocol import OTHER_CAMERAS, OTHER_IMAGES
from sa_study.provenance import describe_run
from sa_study.report.terminal.repeats import cells_table, confirmation_table, effects_table
from sa_study.report.terminal.study import front_table
from sa_study.report.terminal.tables import comparison_table, seeds_table
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.study.summary import StudySummary
from sa_study.utils.files import write_json

NOTE = "ithout cameras, every other image of an identity is a match"
"""From the second letter on: the first is a capital where the note begins a sentence."""


@pytest.fixture(scope="module")
def study(sound: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sound study as if it had been run on a list without cameras, not yet evaluated."""
    root = tmp_path_factory.mktemp("lists")
    path = without_cameras(listed(sound / "market", root / "list.csv"))
    folder = StudyFolder(copy(sound / "study", root / "study"))
    for file in (*folder.evaluation_files.values(), folder.ledger):
        file.unlink()
    dataclasses.replace(StudyConfig.read(folder.config), data_dir=path).write(folder.config)
    launch = {**describe_run(), "protocol": OTHER_IMAGES}
    images = decode(ReidDataset(path).train)
    write_json(folder.provenance, {"data_fingerprint": images.fingerprint, "launches": [launch]})
    return folder.root


def in_one_line(text: str) -> str:
    return " ".join(text.split())


def test_terminal_page_json_and_exports_state_the_protocol(study: Path, tool: CommandLine) -> None:
    code, text, error = tool.run("evaluate", "--study", study, "--baseline", "--rerank")
    assert code == 0, error
    assert NOTE in in_one_line(text) and "other data than the study's own" not in text
    code, text, _ = tool.run("status", "--study", study)
    assert code == 0 and "without cameras" in text
    assert json.loads(tool.run("status", "--study", study, "--json")[1])["protocol"] == OTHER_IMAGES
    assert json.loads((study / "evaluation.json").read_text())["protocol"] == OTHER_IMAGES
    assert tool("report", "--study", study)[0] == 0
    page = (study / "report.html").read_text()
    assert page.count(NOTE) >= 3, "the trials, the main numbers, the test figures"
    assert tool("export", "--study", study, "--formats", "trials,markdown")[0] == 0
    for name in ("paper/table.md", "paper/table.tex", "trials/README.md"):
        assert NOTE in in_one_line((study / "export" / name).read_text()), name


def test_every_table_of_repeated_trainings_states_the_protocol() -> None:
    found = {
        "metric": "mAP",
        "protocol": OTHER_IMAGES,
        "configurations": [],
        "folds": [0],
        "comparisons": 1,
        "seeds": [1, 2],
        "level": 0.95,
        "cells": [],
        "effects": [],
        "runs": [1, 1],
        "first": "a",
        "second": "b",
    }
    for make in (confirmation_table, cells_table, effects_table, comparison_table):
        assert any(NOTE in note for note in make(found).notes), make
        assert not any(NOTE in note for note in make({**found, "protocol": OTHER_CAMERAS}).notes)
    assert seeds_table({}, 2, ["a note"]).notes == ["a note"]


def test_the_pareto_front_states_the_protocol(study: Path) -> None:
    summary = StudySummary.read(study)
    config = dataclasses.replace(
        summary.config,
        minimize="cost",
        space=dataclasses.replace(
            summary.config.space, scheduler=dataclasses.replace(summary.config.space.scheduler, name="none")
        ),
    )
    assert any(
        NOTE in note for note in front_table(dataclasses.replace(summary, config=config, trials=())).notes
    )


def test_a_study_of_an_earlier_version_was_across_cameras(sound: Path) -> None:
    assert StudySummary.read(sound / "study").protocol == OTHER_CAMERAS
