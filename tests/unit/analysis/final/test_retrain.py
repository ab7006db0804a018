"""Which configuration is trained on all identities, and what is kept of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine
from damage import change_json
from random_study import SPACE, make_study
from rich.console import Console
from synthetic_runs import evaluation
from untrained_study import SMALL

from sa_study.analysis.final.retrain import load_retraining_data, plan_retraining, write_retrained
from sa_study.data.dataset import ReidDataset
from sa_study.data.store import load_training_data
from sa_study.report.terminal.repeats import retrained_tables
from sa_study.settings.run import Settings
from sa_study.settings.yaml_files import write_yaml
from sa_study.study.folder import StudyFolder
from sa_study.study.lock import driver_lock
from sa_study.study.summary import StudySummary
from sa_study.training.run import RunFolder
from sa_study.utils.errors import RunFailed, StudyFolderError


@pytest.fixture
def folder(tmp_path: Path, make_market: Callable[..., Path]) -> StudyFolder:
    return StudyFolder(make_study(tmp_path / "study", 60, data_dir=make_market()))


def confirmed(folder: StudyFolder, winner: Any, tried: Sequence[int] | None = None) -> None:
    rows = [{"trial": number} for number in (range(60) if tried is None else tried)]
    about = {"metric": "mAP", "seeds": [1], "folds": [1], "comparisons": 1, "verdict": "", "curse": None}
    folder.confirmation.write_text(json.dumps({**about, "winner": winner, "configurations": rows}))


def test_the_studys_winner_is_trained_on_all_identities_with_seeds_of_its_own(folder: StudyFolder) -> None:
    study = StudySummary.read(folder.root)
    config, winner = study.config, study.winner
    assert winner and winner.number
    plan = plan_retraining(folder.root, None, seeds=3, baseline=True)
    best, baseline = plan.choices
    assert (best.name, best.trial, baseline.name, baseline.trial) == ("best", winner.number, "baseline", 0)
    for choice in plan.choices:
        assert [run.seed for run in choice.folders] == [0, 1, 2]
        assert {run.val_identities for run in choice.folders} == {0}
        places = [place.root for place in choice.folders.values()]
        assert places == [folder.final / choice.name / f"seed_{seed}" for seed in (0, 1, 2)]
    run = next(iter(best.folders))
    assert {name: getattr(run, name) for name in winner.params} == winner.params
    assert plan.data_dir == config.data_dir and not folder.final.exists()


@pytest.mark.parametrize("winner", [3, 0, None])
def test_a_confirmation_decides(folder: StudyFolder, winner: int | None) -> None:
    confirmed(folder, winner)
    plan = plan_retraining(folder.root, None, seeds=1, baseline=False)
    [choice] = plan.choices
    assert (choice.name, choice.trial) == (("best", 3) if winner else ("baseline", 0))
    assert "confirm found" in plan.reason and "did not try" not in plan.reason


@pytest.mark.parametrize("winner", [3, None])
def test_a_confirmation_before_the_studys_winner_says_so(folder: StudyFolder, winner: int | None) -> None:
    confirmed(folder, winner, tried=[0, 3])
    assert "but did not try trial" in plan_retraining(folder.root, None, seeds=1, baseline=False).reason


@pytest.mark.parametrize("winner", [99, -1, "3", True, 1.0])
def test_a_confirmation_of_another_study(folder: StudyFolder, winner: Any) -> None:
    confirmed(folder, winner)
    with pytest.raises(StudyFolderError, match="confirm again"):
        plan_retraining(folder.root, None, seeds=1, baseline=False)


def test_without_a_complete_trial(tmp_path: Path) -> None:
    root = make_study(tmp_path / "study", 3, failed_only=True)
    with pytest.raises(RunFailed, match="no trial is complete"):
        plan_retraining(root, None, seeds=1, baseline=False)


def test_another_configurations_training_is_not_gone_on_with(folder: StudyFolder) -> None:
    first = plan_retraining(folder.root, None, seeds=1, baseline=False).choices[0]
    [(run, place)] = first.folders.items()
    place.root.mkdir(parents=True)
    write_yaml(place.config, run.to_dict())
    plan_retraining(folder.root, None, seeds=1, baseline=False)  # its own is
    confirmed(folder, 1 if first.trial != 1 else 2)
    with pytest.raises(StudyFolderError, match=r"final/best: holds the training of another .*move it away"):
        plan_retraining(folder.root, None, seeds=1, baseline=False)


@pytest.mark.parametrize("seeds", [1, 3])
def test_what_is_kept_and_shown(folder: StudyFolder, seeds: int) -> None:
    plan = plan_retraining(folder.root, None, seeds=seeds, baseline=True)
    evaluations = {
        name: {f"seed {seed}": evaluation(mean, seed) for seed in range(seeds)}
        for name, mean in (("best", 0.6), ("baseline", 0.5))
    }
    found = write_retrained(plan, evaluations, count=2)
    assert json.loads(folder.retrained.read_text()) == json.loads(json.dumps(found))
    best, baseline = found["configurations"]
    difference = found["difference"]["mAP"]
    assert difference["mean"] == pytest.approx(
        best["summary"]["mAP"]["mean"] - baseline["summary"]["mAP"]["mean"], abs=1e-12
    )
    assert difference["low"] < 0.1 < difference["high"] and found["looks"] == 2
    console = Console(width=80)
    named = {f"{name}, {seed}": one for name, of in evaluations.items() for seed, one in of.items()}
    with console.capture() as captured:
        for table in retrained_tables(found, named, "Test set seen 2 times."):
            console.print(table)
    text = captured.get()
    assert "Test set seen 2 times." in text and "best − baseline" in text
    assert ("identities and seeds" in text) == (seeds > 1) and max(map(len, text.splitlines())) <= 80


@pytest.fixture
def small(make_market: Callable[..., Path], tmp_path: Path) -> StudyFolder:
    """A study of two trials on drawn data, of settings that train in a second."""
    data = make_market()
    space = dataclasses.replace(
        SPACE,
        search={"lr": SPACE.search["lr"]},
        fixed={**SMALL, "epochs": 2, "threads": 1, "device": "cpu"},
        baseline={"lr": 0.1},
    )
    folder = StudyFolder(make_study(tmp_path / "study", 2, space=space, data_dir=data))
    images = load_training_data(ReidDataset(data), space.settings({})).store.fingerprint
    change_json(folder.provenance, data_fingerprint=images)
    return folder


def test_the_command_trains_evaluates_in_one_look_and_goes_on(
    small: StudyFolder, tmp_path: Path, tool: CommandLine
) -> None:
    confirmed(small, None)
    words = ("evaluate", "--study", small.root, "--retrain", "--seeds", "2", "--json")
    code, said, _ = tool.run(*words)
    found = json.loads(said)
    assert code == 0 and found["test_looks"] == found["looks"] == 1
    [only] = found["configurations"]
    assert (only["name"], only["trial"], only["seeds"]) == ("baseline", 0, [0, 1])
    assert "no configuration that beats the baseline" in found["reason"]
    for seed, evaluated in enumerate(only["evaluations"]):
        settings = evaluated["settings"]
        assert (settings["val_identities"], settings["seed"], evaluated["checkpoint_epoch"]) == (0, seed, 2)
    mean = sum(evaluated["mAP"] for evaluated in only["evaluations"]) / 2
    assert only["summary"]["mAP"]["mean"] == pytest.approx(mean)
    [look] = json.loads(small.ledger.read_text())["looks"]
    assert sorted(look["figures"]) == ["baseline, seed 0", "baseline, seed 1"]
    trained = {path: path.stat().st_mtime_ns for path in small.final.rglob("*.pt")}
    assert len(trained) == 4 and not list(small.final.glob("*.lock"))
    code, said, _ = tool.run(*words)
    assert code == 0 and json.loads(said)["test_looks"] == 2, "another look"
    assert {path: path.stat().st_mtime_ns for path in small.final.rglob("*.pt")} == trained, "trained once"
    code, said, _ = tool.run(
        "evaluate", "--weights", next(iter(trained)), "--data-dir", tmp_path / "market", "--json"
    )
    assert code == 0 and json.loads(said)["test_looks"] == 3


def test_what_retraining_refuses(small: StudyFolder, tmp_path: Path, tool: CommandLine) -> None:
    words = ("evaluate", "--study", small.root)
    tool.refuses(*words, "--seeds", "2", naming=["--retrain"])
    small.final.mkdir()
    with driver_lock(small.final / "driver.lock"):
        tool.refuses(*words, "--retrain", naming=["final", "is being run by process"])
    winner = plan_retraining(small.root, None, seeds=1, baseline=False).choices[0].name
    place = small.final / winner / "seed_0"
    place.mkdir(parents=True)
    (place / "notes.txt").write_text("mine")
    tool.refuses(*words, "--retrain", naming=["holds something, but no run; move it away"])
    (place / "notes.txt").unlink()
    image = next((tmp_path / "market" / "query").iterdir())
    content = image.read_bytes()
    image.write_bytes(b"damaged")
    tool.refuses(*words, "--retrain", naming=[image.name])
    image.write_bytes(content)
    next((tmp_path / "market" / "bounding_box_train").iterdir()).unlink()
    tool.refuses(*words, "--retrain", naming=["not those that", "was begun with"])
    assert not small.ledger.exists(), "no look was begun"


def test_what_a_kill_amid_the_first_file_leaves_is_no_run(tmp_path: Path) -> None:
    (tmp_path / ".config.yaml.123.tmp").write_text("half")
    RunFolder(tmp_path).check(Settings(), resume=True)
    (tmp_path / ".config.yaml.124.tmp").mkdir()
    with pytest.raises(StudyFolderError, match="holds something"):
        RunFolder(tmp_path).check(Settings(), resume=True)


def test_images_are_decoded_once_where_both_take_the_same(small: StudyFolder) -> None:
    confirmed(small, 1)
    plan = plan_retraining(small.root, None, seeds=1, baseline=True)
    data = load_retraining_data(plan, ReidDataset(plan.data_dir), lambda done, total: None)
    assert data["best"] is data["baseline"] and not len(data["best"].query)
    assert data["best"].num_classes == 10, "nobody is held out"
