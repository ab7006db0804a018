"""A real study on sample data: Ray's workers, Optuna's database, TensorBoard's files, kill -9."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from interrupted_write import kill_during_write
from optuna.trial import TrialState
from study_processes import (
    METRIC,
    TINY,
    Launch,
    deterministic,
    reported,
    run,
    run_here,
    trials_of,
    wait_for_epoch,
)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sa_study.analysis.reproduce.original import read_original
from sa_study.analysis.reproduce.reproduction import judge_rerun, load_images, rerun_trial
from sa_study.data.sample import make_sample_data
from sa_study.metrics import names
from sa_study.settings.run import Settings
from sa_study.settings.yaml_files import read_yaml
from sa_study.training.checkpoint import load_checkpoint
from sa_study.utils.errors import DataError

LRS = [0.02, 1.0e-6, 100.0, 0.03]  # the second learns nothing and falls behind, the third diverges
RUNG, KEPT_SHARE = 75, 0.5
EPOCHS = 4
SPACE = {
    "search": {"lr": {"type": "categorical", "choices": LRS}},
    "fixed": {**TINY, "epochs": EPOCHS},
    "baseline": {"lr": LRS[0]},
    "sampler": "grid",
    "scheduler": {"name": "asha", "grace_period": RUNG, "reduction_factor": 2},
    "trials": 4,
}


SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "HF_TOKEN": "hf_abcdefghijklmnopqrstuvwxyz012345",
    "MY_API_KEY": "0123456789abcdef-of-nobody",
}
"""What a user may have in the environment."""


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample_data(tmp_path_factory.mktemp("data") / "sample", identities=16, images_per_camera=2)


@pytest.fixture(scope="module")
def study(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies")
    (folder / "space.yaml").write_text(yaml.safe_dump(SPACE))
    # Relative paths: Ray's workers run in other folders.
    words = (
        "tune",
        "--data-dir",
        os.path.relpath(sample, folder),
        "--study",
        "study",
        "--space",
        "space.yaml",
    )
    output = run(*words, "--max-concurrent", "1", cwd=folder, env={**os.environ, **SECRETS})
    assert "evaluate --study" in output
    return folder / "study"


def test_the_folder_is_complete(study: Path) -> None:
    written = {path.name for path in study.iterdir()}
    assert {
        "study.yaml",
        "provenance.json",
        "optuna.db",
        "trials",
        "tensorboard",
        "best.yaml",
        "best.pt",
    } <= written
    assert "evaluation.json" not in written, "a study must not open the test set"
    provenance = json.loads((study / "provenance.json").read_text())
    assert len(provenance["data_fingerprint"]) == 64
    assert provenance["launches"][0]["packages"]["ray"] and "tune" in provenance["launches"][0]["command"]


def test_trials_are_complete_pruned_or_failed_as_they_ended(study: Path) -> None:
    trials = trials_of(study)
    assert [trial.params["lr"] for trial in trials] == LRS
    states = [trial.state for trial in trials]
    assert states == expected_states(study)
    assert {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL} == set(states)
    assert "a lower lr usually helps" in trials[2].user_attrs["record"]["failure"]


def expected_states(study: Path) -> list[TrialState]:
    """ASHA at one trial a time: one that is below the kept share of those before it stops at the rung."""
    states, seen = [TrialState.COMPLETE], [at_rung(study, 0)]  # the baseline is never stopped
    for number in range(1, len(LRS)):
        if any(names.FAILURE in result for result in reported(study, number)):
            states.append(TrialState.FAIL)
            continue
        value = at_rung(study, number)
        states.append(TrialState.PRUNED if value < np.quantile(seen, 1 - KEPT_SHARE) else TrialState.COMPLETE)
        seen.append(value)
    return states


def at_rung(study: Path, number: int) -> float:
    return float(next(r[METRIC] for r in reported(study, number) if r[names.PROGRESS] >= RUNG))


def test_optuna_has_every_value_and_the_best_epochs_score(study: Path) -> None:
    for trial in trials_of(study):
        results = [result for result in reported(study, trial.number) if names.FAILURE not in result]
        # Also the value at which ASHA stopped the trial, and steps that compare between schedules.
        assert trial.intermediate_values == {round(10 * r[names.PROGRESS]): r[METRIC] for r in results}
        if trial.state == TrialState.COMPLETE:
            assert trial.value == max(result[METRIC] for result in results)
            assert results[-1][names.PROGRESS] == 100
        if trial.state == TrialState.PRUNED:
            assert trial.value == results[-1][METRIC] and results[-1][names.PROGRESS] < 100


def test_best_is_the_best_epoch_of_the_best_complete_trial(study: Path) -> None:
    complete = [trial for trial in trials_of(study) if trial.state == TrialState.COMPLETE]
    winner = max(complete, key=lambda trial: trial.value or 0)
    best = max(reported(study, winner.number), key=lambda result: (result[METRIC], result[names.EPOCH]))
    checkpoint = load_checkpoint(study / "best.pt")
    assert checkpoint.epoch == best[names.EPOCH]
    assert checkpoint.history[-1][METRIC] == winner.value
    assert checkpoint.settings["lr"] == winner.params["lr"]
    assert Settings.from_mapping(read_yaml(study / "best.yaml")).to_dict() == checkpoint.settings


def test_tensorboards_own_reader_finds_every_curve(study: Path) -> None:
    for trial in trials_of(study):
        if trial.state == TrialState.FAIL:
            continue
        events = EventAccumulator(str(study / "tensorboard" / f"trial_{trial.number:04d}")).Reload()
        curve = [(event.step, event.value) for event in events.Scalars("val/mAP")]
        results = reported(study, trial.number)
        assert curve == [(r[names.EPOCH], pytest.approx(r[METRIC])) for r in results]
        tags = {
            "train/loss",
            "train/loss/part1",
            "train/loss/global",
            "train/loss/stage3",
            "val/rank1",
            "train/lr",
        }
        assert tags <= set(events.Tags()["scalars"])


def test_hparams_hold_the_best_epoch_of_every_trial(study: Path) -> None:
    for trial in trials_of(study):
        events = EventAccumulator(str(study / "tensorboard" / f"trial_{trial.number:04d}")).Reload()
        plugins = events.summary_metadata
        assert "_hparams_/session_start_info" in plugins, f"trial {trial.number}"
        if trial.state != TrialState.FAIL:
            best = trial.user_attrs["record"]["best"]
            assert events.Scalars("best/mAP")[-1].value == pytest.approx(best[METRIC])


def test_best_yaml_reruns_to_the_same_figures(study: Path, sample: Path, tmp_path: Path) -> None:
    run("train", "--config", study / "best.yaml", "--data-dir", sample, "--out", tmp_path / "again")
    again = load_checkpoint(tmp_path / "again" / "last.pt").history
    winner = max(
        (t for t in trials_of(study) if t.state == TrialState.COMPLETE), key=lambda trial: trial.value or 0
    )
    assert [deterministic(f) for f in again] == [deterministic(f) for f in reported(study, winner.number)]
    one, other = load_checkpoint(study / "best.pt"), load_checkpoint(tmp_path / "again" / "best.pt")
    assert all(torch.equal(one.state_dict[name], other.state_dict[name]) for name in one.state_dict)


def test_reproduce_finds_every_trial_equal_and_a_changed_record(
    study: Path, sample: Path, tmp_path: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in study.rglob("*") if path.is_file()}
    winner = json.loads(run_here("reproduce", "--study", study, "--json"))
    assert (winner["result"], winner["weights"], winner["epochs"]) == ("equal", "equal", EPOCHS)
    assert winner["recorded"] == winner["rerun"] and set(winner["largest_difference"].values()) == {0}
    assert winner["differs"] == []
    after = {path: path.stat().st_mtime_ns for path in study.rglob("*") if path.is_file()}
    assert after.keys() - before.keys() == {study / "reproduction.json"}
    assert before.items() <= after.items()
    kept = json.loads((study / "reproduction.json").read_text())["reproductions"]
    assert [{"study": str(study), **of_one} for of_one in kept] == [winner]
    # One that was stopped early ends where it was stopped; one that failed fails again.
    states = [trial.state for trial in trials_of(study)]
    pruned, failed = (read_original(study, states.index(s)) for s in (TrialState.PRUNED, TrialState.FAIL))
    data = load_images(pruned, None, lambda done, total: None)
    for trial in (failed, pruned):
        rerun = rerun_trial(trial, data, lambda figures: None)
        assert judge_rerun(trial, rerun, 1.0).result == "equal"
        assert len(rerun.epochs) == trial.summary.record.epoch < EPOCHS
        assert rerun.failure == trial.failure
    copy = shutil.copytree(study, tmp_path / "study", ignore=shutil.ignore_patterns("checkpoint_*", "*.pt"))
    file = copy / "trials" / "session_1" / f"trial_{pruned.summary.number:04d}" / "result.json"
    first, *rest = map(json.loads, file.read_text().splitlines())
    changed = [{**first, "loss": first["loss"] + 1e-6}, *rest]
    file.write_text("".join(json.dumps(line) + "\n" for line in changed))
    verdict = judge_rerun(read_original(copy, pruned.summary.number), rerun, 1.0)
    assert verdict.result == "different" and "epoch 1: loss is" in str(verdict.differences[0])
    images = shutil.copytree(sample, tmp_path / "data")
    one, other, *_ = sorted((images / "bounding_box_train").glob("*.jpg"))
    shutil.copyfile(other, one)
    with pytest.raises(DataError, match="not those that the study was begun with"):
        load_images(pruned, images, lambda done, total: None)


def test_evaluation_holds_what_it_promises(study: Path) -> None:
    output = run_here("evaluate", "--study", study, "--rerank")
    assert "trapezoid" in output and "95 % interval" in output
    found = json.loads((study / "evaluation.json").read_text())
    figures = {"rank1", "rank5", "rank10", "mAP", "mAP_trapezoid", "mINP", "allshots_rank1", "cmc"}
    figures |= {"intervals", "per_query"}
    about = {
        "queries",
        "queries_without_match",
        "gallery",
        "checkpoint",
        "checkpoint_epoch",
        "settings",
        "seconds",
    }
    assert figures | about | {"reranked"} <= set(found) and set(found["reranked"]) == figures
    assert len(found["cmc"]) == 50 and found["cmc"][0] == found["rank1"]
    assert found["checkpoint_epoch"] == load_checkpoint(study / "best.pt").epoch
    assert set(found["seconds"]) == {"decode", "features", "ranking", "reranking"}


def test_retraining_survives_kill_9_and_is_one_look(study: Path) -> None:
    words = ("evaluate", "--study", study, "--retrain")
    looks = json.loads(run_here("status", "--study", study, "--json"))["test_looks"]
    with Launch(*words) as launch:
        deadline = time.monotonic() + 120
        while not list(study.glob("final/*/seed_*/last.pt")) and time.monotonic() < deadline:
            time.sleep(0.05)
        launch.end(signal.SIGKILL)
    [folder] = study.glob("final/*/seed_*")
    assert not (study / "retrained.json").exists()
    assert json.loads(run_here("status", "--study", study, "--json"))["test_looks"] == looks, "none was begun"
    begun = load_checkpoint(folder / "last.pt")
    times = f"{looks + 1} times" if looks else "once"
    assert f"Test set seen {times}" in " ".join(run_here(*words).split())
    ended = load_checkpoint(folder / "last.pt")
    # It went on: an epoch that is run again would have taken a different time.
    assert ended.history[: begun.epoch] == begun.history and ended.epoch == ended.settings["epochs"]
    [found] = json.loads((study / "retrained.json").read_text())["configurations"]
    assert found["seeds"] == [ended.settings["seed"]] and ended.settings["val_identities"] == 0
    assert found["evaluations"][0]["checkpoint_epoch"] == ended.epoch
    assert json.loads(run_here("status", "--study", study, "--json"))["test_looks"] == looks + 1


def test_status_writes_nothing(study: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in study.rglob("*")}
    output = run("status", "--study", study)
    assert "COMPLETE" in output and "baseline" in output
    assert "trial 2 failed: epoch 1: " in output and "a lower lr usually helps" in output
    assert "\x1b" not in output and max(map(len, output.splitlines())) <= 80
    told = json.loads(run_here("status", "--study", study, "--json"))
    assert [trial["state"] for trial in told["trials"]] == [trial.state.name for trial in trials_of(study)]
    assert run_here("status", "--study", study, "--quiet").count("\n") == 2, (
        "the winner, and whether to trust it"
    )
    assert {path: path.stat().st_mtime_ns for path in study.rglob("*")} == before


def test_confirm_survives_kill_9_and_tells_what_its_runs_scored(study: Path) -> None:
    words = ("confirm", "--study", study, "--top", "1", "--seeds", "2")
    with Launch(*words) as launch:
        wait_for_epoch(study / "confirm", 1)
        launch.end(signal.SIGKILL)
    kill_during_write(study / "confirm" / "optuna.db")
    assert not (study / "confirmation.json").exists()
    found = json.loads(run(*words, "--json"))
    assert found == json.loads((study / "confirmation.json").read_text())
    trials = trials_of(study / "confirm")
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
    baseline, leader = found["configurations"]
    complete = [trial for trial in trials_of(study)[1:] if trial.state == TrialState.COMPLETE]
    best = max(complete, key=lambda trial: trial.values[0])
    assert (baseline["trial"], leader["trial"]) == (0, best.number)
    for row in found["configurations"]:
        mine = [trial for trial in trials if trial.params["lr"] == row["settings"]["lr"]]
        assert sorted((t.params["seed"], t.params["fold"]) for t in mine) == [(1, 1), (2, 1)]
        # Single queries are scored anew, from the checkpoints: their mean is what was recorded.
        assert row["figures"][METRIC]["mean"] == pytest.approx(np.mean([t.value for t in mine]), abs=1e-6)
    assert leader["difference"][METRIC]["low"] < leader["difference"][METRIC]["high"]
    assert found["winner"] in (None, leader["trial"])
    assert "begun with 1" in run_here("confirm", "--study", study, "--top", "2", code=2, error=True)
    assert "no contradictions" in run_here("audit", "--study", study / "confirm")


def test_ablate_tells_what_a_setting_does(sample: Path, tmp_path: Path) -> None:
    space = {
        "search": {"attention": {"type": "categorical", "choices": ["mean", "none"]}},
        "fixed": {**TINY, "epochs": 2},
    }
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(space))
    study = tmp_path / "ablation"
    words = ("ablate", "--data-dir", sample, "--study", study, "--space", tmp_path / "space.yaml")
    found = json.loads(run(*words, "--seeds", "1", "--json"))
    assert [(cell["settings"]["attention"], cell["runs"]) for cell in found["cells"]] == [
        ("mean", 1),
        ("none", 1),
    ]
    [attention, again] = found["effects"]
    values = [trial.values[0] for trial in trials_of(study)]
    assert attention["difference"][METRIC]["mean"] == pytest.approx(values[1] - values[0], abs=1e-6)
    assert again["factor"] == "re-ranking" and again["difference"]
    assert "attention: mean → none" in (study / "ablation.md").read_text()
    assert "begun with" in run_here(*words, "--set", "lr=0.2", code=2, error=True)


def test_a_study_starts_from_anothers_best_and_ends_without_gain(
    study: Path, sample: Path, tmp_path: Path
) -> None:
    """The same configurations are run again, and give the same figures as there; none is copied."""
    space = {**SPACE, "search": {"lr": {"type": "float", "low": 0.01, "high": 0.1}}, "sampler": "random"}
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(space))
    words = ("tune", "--data-dir", sample, "--study", tmp_path / "study", "--space", tmp_path / "space.yaml")
    output = run(*words, "--from", study, "--trials", "30", "--patience", "2", "--max-concurrent", "1")
    told = json.loads(run_here("status", "--study", tmp_path / "study", "--json"))
    taken = told["started_from"]
    assert taken["study"] == str(study) and "first the configurations of" in output
    before, now = trials_of(study), trials_of(tmp_path / "study")
    assert now[0].params == {"lr": LRS[0]}
    [number] = taken["trials"]
    assert now[1].params == before[number].params
    assert now[1].intermediate_values == before[number].intermediate_values
    said = "2 finished trials in a row brought nothing better; go on with"
    assert said in " ".join(output.split()) and f"--study {tmp_path / 'study'} --patience 4" in output
    again = run_here("resume", "--study", tmp_path / "study")
    assert said in " ".join(again.split()) and "decoded" not in again, "it is said at once"
    finished = [trial for trial in now if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    scores = [(trial.value or 0.0) if trial.state == TrialState.COMPLETE else -1.0 for trial in finished]
    best = [max(scores[: count + 1]) for count in range(len(scores))]
    assert best[-3] == best[-1] and all(best[i] > best[i - 2] for i in range(2, len(best) - 1))
    assert len(now) < 30


def test_a_cleaned_study_is_whole(study: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(study, tmp_path / "study"))
    before = json.loads(run_here("status", "--study", copy, "--json"))
    trials = {path.parent.name for path in copy.glob("trials/*/*/checkpoint_*")}
    assert "removed: the checkpoints of" in run_here("clean", "--study", copy, "--keep", "0", "--yes")
    left = {path.parent.name for path in copy.glob("trials/*/*/checkpoint_*")}
    assert {"trial_0000"} <= left < trials
    assert "no contradictions" in run_here("audit", "--study", copy)
    assert json.loads(run_here("status", "--study", copy, "--json"))["trials"] == before["trials"]


def test_no_credential_is_anywhere_in_the_study(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Last, so that evaluation, confirmation and page are there as well."""
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    run_here("report", "--study", study)
    files = [path for path in study.rglob("*") if path.is_file()]
    assert len(files) > 20 and study / "report.html" in files
    for path in files:
        content = path.read_bytes()
        assert not any(secret.encode() in content for secret in SECRETS.values()), path
