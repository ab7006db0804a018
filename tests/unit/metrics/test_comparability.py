"""Figures of different images, or of another protocol, are nowhere subtracted, and it is said why."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from random_study import SPACE
from rich.console import Console
from summaries import study_summary, trial_summary
from synthetic_runs import DATA, evaluation
from written_study import Trial, evaluate, make_study

from sa_study.analysis.compare import compare_evaluations
from sa_study.analysis.final.retrain import RetrainChoice, RetrainPlan, write_retrained
from sa_study.export.documents import render
from sa_study.export.paper import describe
from sa_study.metrics.comparability import (
    ScoredOn,
    image_counts,
    why_not_comparable,
    why_scores_not_comparable,
)
from sa_study.metrics.protocol import OTHER_CAMERAS, OTHER_IMAGES
from sa_study.report.page.page_study import read_trust
from sa_study.report.page.sentences import study_verdict
from sa_study.report.page.tables import test_table as table_of_test_figures
from sa_study.report.terminal.repeats import retrained_tables
from sa_study.report.terminal.tables import evaluation_table
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.study.summary import StudySummary
from sa_study.utils.errors import DataError

OTHER = "c" * 64
APART: dict[str, tuple[dict[str, Any], str]] = {
    "other queries": ({"data": {**DATA, "query": OTHER}}, "they ranked different query images"),
    "other gallery": ({"data": {**DATA, "gallery": OTHER}}, "they ranked different gallery images"),
    "unknown images": ({"data": None}, "which query images were ranked is not recorded for both"),
    "hostile images": ({"data": {"query": ["<b>"], "gallery": 3}}, "is not recorded for both"),
    "other counts": ({"gallery": 31}, "they counted the same images differently"),
    "other precision": ({"feature_precision": "bf16"}, "their features were computed in"),
    "other settings": (
        {"settings": {"precision": "tf32", "eval_precision": "fp16"}},
        "their features were computed in",
    ),
}
FP32: dict[str, Any] = {"feature_precision": "fp32"}
Stated = tuple[bool, str]
"""Whether a place states a difference, and all that it says."""


def on_page(folder: Path, best: dict[str, Any], baseline: dict[str, Any]) -> Stated:
    config = StudyConfig(data_dir=folder, space=SPACE, trials=2)
    trials = [trial_summary(0, score=0.4), trial_summary(1, score=0.5)]
    study = study_summary(config, trials, {"best": best, "baseline": baseline})
    labels = [row[0] for row in table_of_test_figures(study).rows]
    said = f"{study_verdict(study).reasons[-1]} {labels}"
    return "the winner’s mAP differs from the baseline’s by +" in said, said


def in_exports(folder: Path, best: dict[str, Any], baseline: dict[str, Any]) -> Stated:
    trials = [Trial(), Trial(curve=(0.1, 0.3, 0.5, 0.5), lr=0.03)]
    study = StudyFolder(folder / "study")
    if not study.root.exists():
        make_study(study.root, trials)
    for number, path, content in ((1, study.evaluation, best), (0, study.baseline_evaluation, baseline)):
        names = ("data", "queries", "gallery", "feature_precision")
        changes = {name: content[name] for name in names if name in content}
        evaluate(study, path, number, trials, **changes)
        if settings := content["settings"]:
            written = json.loads(path.read_text())
            path.write_text(json.dumps({**written, "settings": {**written["settings"], **settings}}))
    paper = describe(StudySummary.read(study.root))
    tests = paper["results"][-1][3:]
    assert set(tests) == {"–"} or "–" not in tests[:3]
    assert render("table.tex.j2", **paper)
    return tests[0] != "–", render("table.md.j2", **paper)


def in_compare(folder: Path, best: dict[str, Any], baseline: dict[str, Any]) -> Stated:
    for name, content in (("best", best), ("baseline", baseline)):
        (folder / name).write_text(json.dumps(content))
    try:
        found = compare_evaluations(folder / "baseline", folder / "best")
    except DataError as error:
        return False, str(error)
    return True, str(found)


def after_retraining(folder: Path, best: dict[str, Any], baseline: dict[str, Any]) -> Stated:
    study = StudyFolder(folder)
    choices = tuple(RetrainChoice(name, number, {}, {}) for number, name in enumerate(("baseline", "best")))
    plan = RetrainPlan(study, Path("data"), choices, "reason")
    evaluations = {"baseline": {"seed 0": baseline}, "best": {"seed 0": best}}
    found = write_retrained(plan, evaluations, count=1)
    named = {name: of["seed 0"] for name, of in evaluations.items()}
    console = Console(width=200)
    with console.capture() as captured:
        for table in retrained_tables(found, named, ""):
            console.print(table)
    on_file = json.loads(study.retrained.read_text())
    stored = {**on_file, "configurations": [{**one, "seeds": [0]} for one in on_file["configurations"]]}
    study.retrained.write_text(json.dumps(stored))
    page = read_trust(study).retrained
    assert page is not None
    said, [shown] = captured.get(), page.tables
    stated = any("best − baseline" in row[0] for row in shown.rows)
    assert stated == (found["difference"] is not None) == ("best − baseline" in said)
    assert stated or f"No difference is stated: {found['not_compared']}." in shown.notes
    return stated, " ".join(said.split())


PLACES: list[Callable[[Path, dict[str, Any], dict[str, Any]], Stated]] = [
    on_page,
    in_exports,
    in_compare,
    after_retraining,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("places")


@pytest.mark.parametrize("place", PLACES)
def test_figures_that_can_be_compared_are(place: Any, folder: Path) -> None:
    assert place(folder, evaluation(0.6, **FP32), evaluation(0.5, feature_precision="tf32"))[0]


@pytest.mark.parametrize(
    ("place", "name"),
    # An export leaves out an evaluation with other settings, which is not of the trial.
    [(place, name) for place in PLACES for name in APART if (place, name) != (in_exports, "other settings")],
)
def test_figures_that_must_not_be_compared_are_not(place: Any, name: str, folder: Path) -> None:
    changes, reason = APART[name]
    about = {"settings": {"precision": "tf32"}} if "settings" in changes else FP32
    stated, said = place(folder, evaluation(0.6, **{**about, **changes}), evaluation(0.5, **about))
    assert not stated and reason in said
    if name == "other counts" and place is on_page:
        assert "winner (180 queries" in said and "31 gallery images" in said and "30 gallery images" in said


def test_an_earlier_versions_evaluations_of_one_study_compare() -> None:
    """They recorded the fingerprints and the settings, but not the precision by itself."""
    settings = {"precision": "auto", "eval_precision": "same"}
    best, baseline = evaluation(0.6, settings=settings), evaluation(0.5, settings=settings)
    assert why_not_comparable(best, baseline) == ""
    assert why_not_comparable({**best, **FP32}, baseline) == "", "what auto was then depends on the device"
    older = {name: value for name, value in best.items() if name != "per_query"}
    assert why_not_comparable(older, baseline) == "", "the fingerprints tell the queries"
    assert "same queries" in why_not_comparable({**best, "per_query": {"pid": [1]}}, baseline)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"metric": "rank1"}, "they are scored by different figures (mAP and rank-1)"),
        ({"images": OTHER}, "they have different training images"),
        ({"images": ""}, "which training images were used is not recorded for both"),
        ({"protocol": OTHER_IMAGES}, "they counted matches by different protocols (one of them: without cam"),
        ({"settings": {"fold": 1}}, "different held-out identities (fold is None and 1)"),
        ({"settings": {"precision": "bf16"}}, "their features were computed in fp32 and in bf16"),
        ({"settings": {"precision": "auto"}}, ""),
        ({"settings": {"precision": "bf16", "eval_precision": "tf32"}}, ""),
    ],
)
def test_validation_scores_of_two_studies(changes: dict[str, Any], reason: str) -> None:
    one = ScoredOn("mAP", "a" * 64, OTHER_CAMERAS, {"precision": "fp32", "eval_precision": "same"})
    other = dataclasses.replace(one, **{"settings": one.settings, **changes})
    said = why_scores_not_comparable(one, other)
    assert reason in said and bool(said) is bool(reason)


def test_every_row_has_its_own_counts_where_they_differ() -> None:
    same = {"best": evaluation(0.6), "baseline": evaluation(0.5)}
    assert image_counts(same) == "180 queries, 30 gallery images"
    same["best"]["data"] = {**DATA, "gallery": OTHER}
    assert image_counts(same).count("180 queries") == 2, "as many images, but others"
    same["best"].update(queries="<b>", gallery=17)
    console = Console(width=120)
    with console.capture() as captured:
        console.print(evaluation_table(same))
    said = " ".join(captured.get().split())
    assert "best: ? queries, 17 gallery images; baseline: 180 queries" in said
