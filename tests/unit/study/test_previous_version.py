"""A study that an earlier version made can still be opened, resumed, reported, audited, exported, rerun."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from checkout import ROOT
from command_line import CommandLine
from sound_study import copy
from study_processes import run

from sa_study.analysis.reproduce.original import DATABASE_SCORES, read_original
from sa_study.data.sample import make_sample_data
from sa_study.report.json_document import study_document
from sa_study.study.summary import StudySummary

ARCHIVE = ROOT / "tests" / "data" / "previous_study" / "study.tar.xz"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The study and, beside it, its data."""
    root = tmp_path_factory.mktemp("previous")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(root, filter="data")
    make_sample_data(root / "data", identities=12, images_per_camera=2)
    yield root
    shutil.rmtree(root)


@pytest.fixture
def study(folder: Path, tmp_path: Path) -> Path:
    return copy(folder / "study", tmp_path / "study")


def test_an_earlier_versions_study_is_read_whole(study: Path) -> None:
    summary = StudySummary.read(study)
    summary.require_whole()
    assert [(trial.state, trial.epochs, trial.best_epoch) for trial in summary.trials] == [
        ("COMPLETE", 1, 1),
        ("COMPLETE", 1, 1),
    ]
    assert summary.winner is summary.baseline and summary.winner
    assert summary.winner.score == pytest.approx(0.63995, abs=1e-5) and summary.winner.interval
    assert list(summary.current_evaluations) == ["best", "baseline"] and summary.ledger.count == 1
    assert summary.cost.epochs == 2 and len(summary.provenance["launches"]) == 1


def test_an_earlier_versions_study_is_shown_audited_and_exported(
    study: Path, tmp_path: Path, tool: CommandLine
) -> None:
    def show(*words: object) -> str:
        code, said, error = tool.run(*words, "--study", study)
        assert code == 0, said + error
        return " ".join(said.split())

    assert "The baseline won: validation mAP 64.0 %" in show("status")
    document = json.loads(show("status", "--json"))
    assert (document["winner"], document["test_looks"], len(document["trials"])) == (0, 1, 2)
    assert show("audit") == "no contradictions"
    assert "The baseline won" in show("report", "--out", tmp_path / "page.html")
    twin = copy(study, tmp_path / "twin")
    assert tool.run("report", study, twin, "--out", tmp_path / "both.html")[0] == 0
    assert "study and twin have equally good winners" in (tmp_path / "both.html").read_text()
    show("export", "--formats", "trials,markdown", "--out", tmp_path / "export")
    assert "best = baseline (trial 0) | 54.5 | 64.0 | 21.1 | 26.8" in (
        (tmp_path / "export" / "paper" / "table.md").read_text().replace("**", "")
    )


def test_its_figures_are_reproduced(folder: Path, study: Path, tool: CommandLine) -> None:
    words = ("reproduce", "--study", study, "--trial", 1, "--data-dir", folder / "data", "--json")
    code, said, error = tool.run(*words)
    found = json.loads(said)
    assert (code, found["weights"]) == (1, "different"), f"the archive's weights are zero: {error}"
    assert found["rerun"] == pytest.approx(found["recorded"], abs=0.05), "other machines sum otherwise"


def test_a_score_that_was_made_no_number_is_read_as_it_is(study: Path) -> None:
    """`reproduce` and the JSON document see the edit; what is drawn leaves it out."""
    with closing(sqlite3.connect(study / "optuna.db")) as database, database:
        database.execute(
            "UPDATE trial_intermediate_values SET intermediate_value = NULL, intermediate_value_type = 'NAN'"
        )
    original = read_original(study, 1)
    assert math.isnan(original.sources[DATABASE_SCORES][1]["mAP"])
    assert study_document(original.study)["trials"][1]["curve"] == [None]
    assert original.summary.finite_curve == []


def test_an_earlier_versions_study_is_extended_by_a_trial(folder: Path, study: Path) -> None:
    said = run("resume", "--study", study, "--trials", "3", "--data-dir", folder / "data", "--json")
    assert [trial["state"] for trial in json.loads(said)["trials"]] == ["COMPLETE"] * 3
