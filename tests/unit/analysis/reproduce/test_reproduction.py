"""A rerun against a record: what is equal, what is close, and what was changed."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from original_trial import CHECKPOINT, EPOCHS, elsewhere, figures, make_rerun, on_gpu, with_record

from sa_study.analysis.reproduce.compare_epochs import compare, contradictions
from sa_study.analysis.reproduce.original import (
    DATABASE_BEST,
    DATABASE_LAST,
    DATABASE_SCORES,
    RAY_RESULTS,
    OriginalTrial,
    trial_changes,
)
from sa_study.analysis.reproduce.reproduction import compare_weights, failure_difference, judge_rerun
from sa_study.training.checkpoint import FILE_NAME, Checkpoint, save_checkpoint

pytestmark = pytest.mark.usefixtures("same_machine")


def save_weights(original: OriginalTrial, state: dict[str, torch.Tensor], **changes: Any) -> None:
    values: dict[str, Any] = {
        "state_dict": state,
        "settings": original.settings.to_dict(),
        "num_classes": 5,
        "epoch": EPOCHS,
        "history": [figures(epoch) for epoch in range(1, EPOCHS + 1)],
    }
    path = original.study.folder.trials / CHECKPOINT / FILE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, Checkpoint(**{**values, **changes}))


def test_equal_figures_are_equal_whatever_time_they_took(original: OriginalTrial) -> None:
    verdict = judge_rerun(original, make_rerun(), 1.0)
    assert (verdict.result, verdict.reasons, verdict.differences) == ("equal", [], [])
    [change] = verdict.changes
    assert change.line.startswith("weights: not compared") and not change.explains


@pytest.mark.parametrize("name", ["loss", "loss/part1", "train_accuracy", "lr", "rank1", "rank5", "mAP"])
@pytest.mark.parametrize("epoch", [1, 2, EPOCHS])
def test_a_recorded_value_changed_in_its_last_bit_is_found(
    original: OriginalTrial, name: str, epoch: int
) -> None:
    row = original.sources[RAY_RESULTS][epoch]
    row[name] = float(np.nextafter(row[name], 2.0))  # type: ignore[index]
    verdict = judge_rerun(original, make_rerun(), 1.0)
    assert verdict.result == "different"
    assert {(d.epoch, d.figure) for d in verdict.differences} == {(epoch, name)}
    assert f"epoch {epoch}: {name} is" in "".join(map(str, verdict.differences))


@pytest.mark.parametrize("source", [DATABASE_SCORES, DATABASE_BEST, DATABASE_LAST])
def test_a_value_changed_in_the_database_alone_is_found(original: OriginalTrial, source: str) -> None:
    changed = {EPOCHS: {**original.sources[source][EPOCHS], "mAP": 0.9}}
    sources = {**original.sources, source: {**original.sources[source], **changed}}
    verdict = judge_rerun(dataclasses.replace(original, sources=sources), make_rerun(), 1.0)
    assert verdict.result == "different" and verdict.differences[0].source == source


def test_figures_that_were_taken_away_or_added_are_found() -> None:
    whole = {1: figures(1)}
    less = {1: {name: value for name, value in figures(1).items() if name != "loss/part1"}}
    [missing] = compare("x", less, whole, whole=True)
    [more] = compare("x", whole, less, whole=True)
    assert (missing.recorded, missing.rerun, missing.size) == (None, 5.0, None)
    assert (more.recorded, more.rerun) == (5.0, None)
    assert compare("x", {1: {"mAP": figures(1)["mAP"]}}, whole, whole=False) == []
    assert len(compare("x", whole, {}, whole=True)) == 10, "an epoch to which the rerun did not come"


def test_another_machine_may_differ_within_the_tolerance(original: OriginalTrial) -> None:
    drifted = make_rerun(loss=1 + 1e-6, mAP=1.01, **{"loss/part1": 1 + 1e-6})
    there = elsewhere(original)
    by = 100 * abs(drifted.epochs[EPOCHS]["mAP"] - figures(EPOCHS)["mAP"])
    assert judge_rerun(there, drifted, by + 0.001).result == "within tolerance"
    beyond = judge_rerun(there, drifted, by - 0.001)
    assert beyond.result == "different" and "points apart" in beyond.reasons[0]
    assert judge_rerun(there, make_rerun(), 0.0).result == "equal"
    # On the machine of the record the same drift is none that may be.
    here = judge_rerun(original, drifted, by + 0.001)
    assert here.result == "different" and "though nothing that figures depend on" in here.reasons[-1]


@pytest.mark.parametrize(
    ("name", "epoch", "factor", "words"),
    [
        ("loss", 2, 1 + 1e-12, "though all later training is equal"),
        ("train_accuracy", 3, 1.1, "though all later training is equal"),
        ("lr", 2, 1.01, "follows from the settings alone"),
        ("rank1", 2, 1.0001, "though the mAP, and so the order, is equal"),
        ("mAP", 2, 1.0001, "in optuna.db: the record was changed"),
        ("rank5", EPOCHS, 1.0001, "in optuna.db (best epoch): the record was changed"),
    ],
)
def test_what_no_machine_explains_is_no_drift(
    original: OriginalTrial, name: str, epoch: int, factor: float, words: str
) -> None:
    original.sources[RAY_RESULTS][epoch][name] *= factor  # type: ignore[index]
    verdict = judge_rerun(elsewhere(original), make_rerun(), 1.0)
    assert verdict.result == "different" and words in verdict.reasons[0]


def test_equal_weights_rank_alike() -> None:
    run = {epoch: figures(epoch) for epoch in (1, 2)}
    was = {**run, 1: {**run[1], "mAP": run[1]["mAP"] + 0.01}}
    differences = compare("x", was, run, whole=True)
    assert contradictions(differences, [1, 2], 1.1) == []
    [line] = contradictions(differences, [1, 2], 0.9)
    assert line.endswith("though the weights are equal")


def test_a_drift_that_goes_on_contradicts_nothing() -> None:
    run = make_rerun(loss=1.001, mAP=1.2).epochs
    differences = compare("x", {e: figures(e) for e in run}, run, whole=True)
    assert differences and contradictions(differences, list(run), 1.0) == []
    # With the last epoch's weights equal they could not have differed before.
    assert len(contradictions(differences, list(run), 1.0, EPOCHS)) == 6


def test_weights_are_compared_bit_by_bit(original: OriginalTrial) -> None:
    state = {"a": torch.ones(3), "b": torch.arange(4)}
    assert compare_weights(original, state)[0] == "not compared"
    save_weights(original, state)
    assert compare_weights(original, {**state}) == ("equal", "")
    assert compare_weights(original, {**state, "a": torch.tensor([1, 1, 1 + 1e-7])}) == ("different", "")
    assert compare_weights(original, {"a": state["a"]}) == ("different", "")
    assert compare_weights(original, {**state, "a": state["a"].double()}) == ("different", "")
    assert "did not reach the best epoch" in compare_weights(original, None)[1]
    save_weights(original, state, settings={**original.settings.to_dict(), "lr": 0.7})
    assert compare_weights(original, state)[1].endswith("was made with another lr")
    save_weights(original, state, epoch=2, history=[figures(1), figures(2)])
    assert compare_weights(original, state)[1].endswith("is of epoch 2, not 4")


def test_other_weights_are_no_equal_rerun(original: OriginalTrial) -> None:
    save_weights(original, {"a": torch.ones(3)})
    other = dataclasses.replace(make_rerun(), weights={"a": torch.zeros(3)})
    assert judge_rerun(original, other, 1.0).result == "different"
    verdict = judge_rerun(elsewhere(original), other, 1.0)
    assert verdict.result == "different" and verdict.reasons[0].endswith("the checkpoint was changed")
    drift = {"loss": 1.001, "loss/part1": 1.001, "mAP": 1.001}
    drifted = dataclasses.replace(make_rerun(**drift), weights={"a": torch.zeros(3)})
    verdict = judge_rerun(elsewhere(original), drifted, 1.0)
    assert (verdict.result, verdict.weights) == ("within tolerance", "different")


def test_a_checkpoint_outside_of_the_study_is_not_read(original: OriginalTrial) -> None:
    found, why = compare_weights(with_record(original, best_checkpoint="../../etc"), {})
    assert found == "not compared" and "outside" in why


NAN = "epoch 5: loss is nan; a lower lr usually helps"
INF = "epoch 5: loss is inf; a lower lr usually helps"
DIED = "its process raised or died; see /x"


@pytest.mark.parametrize(
    ("was", "is_now", "here", "there"),
    [
        (NAN, NAN, "equal", "equal"),
        (NAN, INF, "different", "within tolerance"),
        (NAN, NAN.replace("5", "4"), "different", "different"),
        (NAN, "", "different", "different"),
        ("", NAN, "different", "different"),
        (DIED, "epoch 5: boom", "equal", "equal"),
        (DIED, "", "different", "different"),
    ],
)
def test_a_failure_must_be_reproduced(
    original: OriginalTrial, was: str, is_now: str, here: str, there: str
) -> None:
    failed = with_record(original, "FAIL", failure=was)
    rerun = dataclasses.replace(make_rerun(), failure=is_now)
    assert judge_rerun(failed, rerun, 1.0).result == here
    assert judge_rerun(elsewhere(failed), rerun, 1.0).result == there
    assert bool(failure_difference(was, is_now)) == (here != "equal")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"accumulate": 4}, "accumulate changed while the trial ran"),
        ({"threads": 0}, "threads: left to PyTorch then"),
        (
            {"pretrained": "/w/resnet.pth"},
            "pretrained: the hash of the /w/resnet.pth weights used then was not recorded",
        ),
    ],
)
def test_what_forbids_equal_figures_is_said(
    original: OriginalTrial, change: dict[str, Any], line: str
) -> None:
    doubtful = dataclasses.replace(original, settings=dataclasses.replace(original.settings, **change))
    drifted = make_rerun(mAP=1.001, loss=1.001, **{"loss/part1": 1.001})
    verdict = judge_rerun(doubtful, drifted, 1.0)
    assert verdict.result == "within tolerance" and verdict.changes[0].line.startswith(line)


def test_a_cluster_and_a_gpu_forbid_them_too(original: OriginalTrial) -> None:
    original.rows[0].values.update(hostname="other", accumulate=["hostile"])
    assert "other, vm of a cluster" in trial_changes(original, "cpu", "")[0].line
    gpu = dataclasses.replace(on_gpu(original), rows=[])
    assert gpu.on_gpu and not trial_changes(gpu, "cpu", "")
    assert "varying order" in trial_changes(gpu, "cuda", "")[0].line


def test_an_epoch_run_again_on_a_gpu_may_be_recorded_with_both_figures(original: OriginalTrial) -> None:
    gpu = on_gpu(original)
    gpu.sources[RAY_RESULTS][2]["mAP"] += 1e-4  # type: ignore[index]
    assert judge_rerun(gpu, make_rerun(), 1.0).result == "different"
    twice = dataclasses.replace(gpu, rows=[*gpu.rows, gpu.rows[1]])
    assert twice.varying_epochs == [2] and judge_rerun(twice, make_rerun(), 1.0).result == "within tolerance"
