"""Which configuration is trained on all identities, and what is kept of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from made_study import make_study
from repeat_runs import scores
from rich.console import Console

from sa_study import keys
from sa_study.errors import RunFailed, StudyFolderError
from sa_study.report.retrained import retrained_tables
from sa_study.study.config import StudyConfig
from sa_study.study.database import read_trials
from sa_study.study.folder import StudyFolder
from sa_study.study.records import choose_winner
from sa_study.study.retraining import choose_final, keep_final


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return StudyFolder(make_study(tmp_path / "study", 60))


def confirmed(folder: StudyFolder, winner: Any) -> None:
    folder.confirmation.write_text(json.dumps({"winner": winner}))


def test_the_studys_winner_is_trained_on_all_identities_with_seeds_of_its_own(folder: StudyFolder) -> None:
    config, trials = StudyConfig.read(folder.config), read_trials(folder)
    winner = choose_winner(trials, config.metric)
    assert winner and winner.number
    final = choose_final(folder.root, None, seeds=3, baseline=True)
    best, baseline = final.choices
    assert (best.name, best.trial, baseline.name, baseline.trial) == ("best", winner.number, "baseline", 0)
    for choice in final.choices:
        assert [run.seed for run in choice.folders] == [0, 1, 2]
        assert {run.val_identities for run in choice.folders} == {0}
        places = [place.root for place in choice.folders.values()]
        assert places == [folder.final / choice.name / f"seed_{seed}" for seed in (0, 1, 2)]
    run = next(iter(best.folders))
    assert {name: getattr(run, name) for name in winner.params} == winner.params
    assert final.data_dir == config.data_dir and not folder.final.exists()


@pytest.mark.parametrize("winner", [3, 0, None])
def test_a_confirmation_decides(folder: StudyFolder, winner: int | None) -> None:
    confirmed(folder, winner)
    final = choose_final(folder.root, None, seeds=1, baseline=False)
    [choice] = final.choices
    assert (choice.name, choice.trial) == (("best", 3) if winner else ("baseline", 0))
    assert "confirm found" in final.reason


@pytest.mark.parametrize("winner", [99, -1, "3", True, 1.0])
def test_a_confirmation_of_another_study(folder: StudyFolder, winner: Any) -> None:
    confirmed(folder, winner)
    with pytest.raises(StudyFolderError, match="confirm again"):
        choose_final(folder.root, None, seeds=1, baseline=False)


def test_without_a_complete_trial(tmp_path: Path) -> None:
    root = make_study(tmp_path / "study", 3, failed_only=True)
    with pytest.raises(RunFailed, match="no trial is complete"):
        choose_final(root, None, seeds=1, baseline=False)


def test_another_configurations_training_is_not_gone_on_with(folder: StudyFolder) -> None:
    first = choose_final(folder.root, None, seeds=1, baseline=False).choices[0]
    [(run, place)] = first.folders.items()
    place.root.mkdir(parents=True)
    from sa_study.yaml_files import write_yaml

    write_yaml(place.config, run.to_dict())
    choose_final(folder.root, None, seeds=1, baseline=False)  # its own is
    confirmed(folder, 1 if first.trial != 1 else 2)
    with pytest.raises(StudyFolderError, match=r"final/best: holds the training of another .*move it away"):
        choose_final(folder.root, None, seeds=1, baseline=False)


def evaluation(mean: float, seed: int) -> dict[str, Any]:
    found = scores(mean, seed, fold=0)
    rates: Mapping[str, float] = {name: 0.5 for name in keys.TEST_FIGURES}
    rates = {**rates, "mAP": float(found.of("mAP").mean()), "rank1": float(found.of("rank1").mean())}
    more = {
        "reranked": None,
        "queries": 9,
        "queries_without_match": 0,
        "gallery": 9,
        "seconds": {"features": 1.0},
    }
    return {**rates, **more, "per_query": found.to_dict()}


@pytest.mark.parametrize("seeds", [1, 3])
def test_what_is_kept_and_shown(folder: StudyFolder, seeds: int) -> None:
    final = choose_final(folder.root, None, seeds=seeds, baseline=True)
    evaluations = {
        name: {f"seed {seed}": evaluation(mean, seed) for seed in range(seeds)}
        for name, mean in (("best", 0.6), ("baseline", 0.5))
    }
    found = keep_final(final, evaluations, looks=2)
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
    assert "Test set seen 2 times." in text and "difference" in text
    assert ("identities and seeds" in text) == (seeds > 1) and max(map(len, text.splitlines())) <= 80
