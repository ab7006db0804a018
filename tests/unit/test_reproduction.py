"""A rerun against a record: what is equal, what is close, what was changed, and what differs since."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_study import make_study
from optuna.trial import TrialState

from sa_study import provenance
from sa_study.checkpoint import FILE_NAME, Checkpoint, save_checkpoint
from sa_study.config import Settings
from sa_study.errors import ConfigError, StudyFolderError
from sa_study.provenance import describe_run
from sa_study.study.comparison import compare, contradictions
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.study.launch_changes import changes_since
from sa_study.study.recorded import BEST, LAST, RAY, SCORES, Recorded, read_recorded
from sa_study.study.records import TrialRecord
from sa_study.study.reproduction import Verdict, entry, failures, judge, keep, read_reproductions
from sa_study.study.rerun import Rerun, compare_weights
from sa_study.study.result_rows import ResultRows, Row

EPOCHS = 4
CHECKPOINT = "session_1/trial_0003/checkpoint_000003"
NOW = {
    "time": "2026-11-25T12:00:00+00:00",
    "command": "run_study.py tune",
    "python": "3.11.7",
    "packages": {"torch": "2.15.0", "numpy": "2.4.6"},
    "git": {"commit": "0123456789abcdef", "dirty": False},
    "sources": "ab" * 32,
    "hardware": {
        "platform": "Linux-6.1",
        "cpu": "EPYC 9654",
        "instruction_set": "AVX512",
        "cpus": 2,
        "gpus": ["H100"],
    },
}


def figures(epoch: int) -> dict[str, float]:
    return {
        "epoch": epoch,
        "progress": 100 * epoch / EPOCHS,
        "loss": 9.0 / epoch,
        "loss/part1": 5.0 / epoch,
        "train_accuracy": 0.2 * epoch,
        "lr": 0.1,
        "rank1": 0.2 * epoch,
        "rank5": 0.21 * epoch,
        "rank10": 0.22 * epoch,
        "mAP": 0.1 * epoch + 1 / 30,
        "seconds": 3.0,
        "latency": 1.0,
        "images_per_second": 100.0,
    }


@pytest.fixture(autouse=True)
def same_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sa_study.study.reproduction.describe_run", lambda: copy.deepcopy(NOW))


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    """A trial of four epochs, of which nothing differs since."""
    from made_study import SPACE

    best = figures(EPOCHS)
    record = TrialRecord(last=best, best=best, best_checkpoint=CHECKPOINT, epochs_run=EPOCHS)
    rows = [Row(1, {**figures(epoch), "accumulate": 1, "hostname": "vm"}) for epoch in range(1, EPOCHS + 1)]
    return Recorded(
        folder=StudyFolder(tmp_path),
        config=StudyConfig(data_dir=Path("/data"), space=SPACE, trials=9, gpus_per_trial=0.0),
        number=3,
        state=TrialState.COMPLETE,
        record=record,
        settings=Settings(pretrained="none", threads=1, device="cpu", epochs=EPOCHS),
        fingerprint="cd" * 32,
        launches={1: copy.deepcopy(NOW)},
        rows=rows,
        sources={
            RAY: {row.epoch: row.values for row in rows},
            SCORES: {epoch: {"mAP": figures(epoch)["mAP"]} for epoch in range(1, EPOCHS + 1)},
            BEST: {EPOCHS: best},
            LAST: {EPOCHS: best},
        },
    )


def again(**changes: Any) -> Rerun:
    """A rerun, slower than the record; changes are factors on a figure of every epoch from the second on."""
    epochs = {epoch: {**figures(epoch), "seconds": 7.0, "latency": 2.0} for epoch in range(1, EPOCHS + 1)}
    for epoch in range(2, EPOCHS + 1):
        epochs[epoch] |= {name: epochs[epoch][name] * factor for name, factor in changes.items()}
    return Rerun(epochs)


def elsewhere(recorded: Recorded, **hardware: Any) -> Recorded:
    """The same trial, recorded on another machine."""
    launch = {**NOW, "hardware": {**NOW["hardware"], "cpu": "Xeon 8480", **hardware}}  # type: ignore[dict-item]
    return dataclasses.replace(recorded, launches={1: launch})


def save_weights(recorded: Recorded, state: dict[str, torch.Tensor], **changes: Any) -> None:
    values: dict[str, Any] = {
        "state_dict": state,
        "settings": recorded.settings.to_dict(),
        "num_classes": 5,
        "epoch": EPOCHS,
        "history": [figures(epoch) for epoch in range(1, EPOCHS + 1)],
    }
    path = recorded.folder.trials / CHECKPOINT / FILE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, Checkpoint(**{**values, **changes}))


def test_equal_figures_are_equal_whatever_time_they_took(recorded: Recorded) -> None:
    verdict = judge(recorded, again(), 1.0)
    assert (verdict.result, verdict.reasons, verdict.differences) == ("equal", [], [])
    [change] = verdict.changes
    assert change.line.startswith("weights: not compared") and not change.decides


@pytest.mark.parametrize("name", ["loss", "loss/part1", "train_accuracy", "lr", "rank1", "rank5", "mAP"])
@pytest.mark.parametrize("epoch", [1, 2, EPOCHS])
def test_a_recorded_value_changed_in_its_last_bit_is_found(recorded: Recorded, name: str, epoch: int) -> None:
    row = recorded.sources[RAY][epoch]
    row[name] = float(np.nextafter(row[name], 2.0))  # type: ignore[index]
    verdict = judge(recorded, again(), 1.0)
    assert verdict.result == "different"
    assert {(d.epoch, d.figure) for d in verdict.differences} == {(epoch, name)}
    assert f"epoch {epoch}: {name} is" in "".join(map(str, verdict.differences))


@pytest.mark.parametrize("source", [SCORES, BEST, LAST])
def test_a_value_changed_in_the_database_alone_is_found(recorded: Recorded, source: str) -> None:
    changed = {EPOCHS: {**recorded.sources[source][EPOCHS], "mAP": 0.9}}
    sources = {**recorded.sources, source: {**recorded.sources[source], **changed}}
    verdict = judge(dataclasses.replace(recorded, sources=sources), again(), 1.0)
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


def test_another_machine_may_differ_within_the_tolerance(recorded: Recorded) -> None:
    drifted = again(loss=1 + 1e-6, mAP=1.01, **{"loss/part1": 1 + 1e-6})
    there = elsewhere(recorded)
    by = 100 * abs(drifted.epochs[EPOCHS]["mAP"] - figures(EPOCHS)["mAP"])
    assert judge(there, drifted, by + 0.001).result == "within tolerance"
    beyond = judge(there, drifted, by - 0.001)
    assert beyond.result == "different" and "points apart" in beyond.reasons[0]
    assert judge(there, again(), 0.0).result == "equal"
    # On the machine of the record the same drift is none that may be.
    here = judge(recorded, drifted, by + 0.001)
    assert here.result == "different" and "had to be equal" in here.reasons[-1]


@pytest.mark.parametrize(
    ("name", "epoch", "factor", "words"),
    [
        ("loss", 2, 1 + 1e-12, "though what was trained after it is equal"),
        ("train_accuracy", 3, 1.1, "though what was trained after it is equal"),
        ("lr", EPOCHS, 1.01, "follows from the settings alone"),
        ("rank1", 2, 1.5, "though the weights are equal"),
    ],
)
def test_what_no_machine_explains_is_no_drift(
    recorded: Recorded, name: str, epoch: int, factor: float, words: str
) -> None:
    recorded.sources[RAY][epoch][name] *= factor  # type: ignore[index]
    verdict = judge(elsewhere(recorded), again(), 1.0)
    assert verdict.result == "different" and words in verdict.reasons[0]


def test_a_drift_that_goes_on_contradicts_nothing() -> None:
    run = again(loss=1.001, mAP=1.2).epochs
    differences = compare("x", {e: figures(e) for e in run}, run, whole=True)
    assert differences and contradictions(differences, list(run), 1.0) == []
    # With the last epoch's weights equal they could not have differed before.
    assert len(contradictions(differences, list(run), 1.0, EPOCHS)) == 6


def test_weights_are_compared_bit_by_bit(recorded: Recorded) -> None:
    state = {"a": torch.ones(3), "b": torch.arange(4)}
    assert compare_weights(recorded, state)[0] == "not compared"
    save_weights(recorded, state)
    assert compare_weights(recorded, {**state}) == ("equal", "")
    assert compare_weights(recorded, {**state, "a": torch.tensor([1, 1, 1 + 1e-7])}) == ("different", "")
    assert compare_weights(recorded, {"a": state["a"]}) == ("different", "")
    assert compare_weights(recorded, {**state, "a": state["a"].double()}) == ("different", "")
    assert "did not come to the best epoch" in compare_weights(recorded, None)[1]
    save_weights(recorded, state, settings={**recorded.settings.to_dict(), "lr": 0.7})
    assert compare_weights(recorded, state)[1].endswith("was made with another lr")
    save_weights(recorded, state, epoch=2, history=[figures(1), figures(2)])
    assert compare_weights(recorded, state)[1].endswith("is of epoch 2")


def test_other_weights_are_no_equal_rerun(recorded: Recorded) -> None:
    save_weights(recorded, {"a": torch.ones(3)})
    other = dataclasses.replace(again(), weights={"a": torch.zeros(3)})
    assert judge(recorded, other, 1.0).result == "different"
    verdict = judge(elsewhere(recorded), other, 1.0)
    assert (verdict.result, verdict.weights) == ("within tolerance", "different")


def test_a_checkpoint_outside_of_the_study_is_not_read(recorded: Recorded) -> None:
    outside = dataclasses.replace(recorded.record, best_checkpoint="../../etc")
    found, why = compare_weights(dataclasses.replace(recorded, record=outside), {})
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
def test_a_failure_must_come_again(recorded: Recorded, was: str, is_now: str, here: str, there: str) -> None:
    record = dataclasses.replace(recorded.record, failure=was)
    failed = dataclasses.replace(recorded, record=record, state=TrialState.FAIL)
    rerun = dataclasses.replace(again(), failure=is_now)
    assert judge(failed, rerun, 1.0).result == here
    assert judge(elsewhere(failed), rerun, 1.0).result == there
    assert bool(failures(was, is_now)) == (here != "equal")


def lines(launch: object, now: dict[str, Any] | None = None, **devices: bool) -> list[str]:
    on_gpu, gpu_now = devices.get("on_gpu", False), devices.get("gpu_now", False)
    found = changes_since({1: launch}, now or NOW, on_gpu=on_gpu, gpu_now=gpu_now)
    return [change.line for change in found]


def test_every_difference_is_named() -> None:
    hardware: dict[str, Any] = NOW["hardware"]  # type: ignore[assignment]
    assert lines(NOW) == []
    then = {
        **NOW,
        "python": "3.12.1",
        "packages": {"torch": "2.14.0", "scipy": "1.17.1"},
        "git": {"commit": "fedcba9876543210", "dirty": True},
        "sources": "00" * 32,
        "hardware": {**hardware, "cpu": "Xeon", "instruction_set": "AVX2", "platform": "Linux-5"},
    }
    assert lines(then) == [
        "torch was 2.14.0, is 2.15.0 now",
        "scipy was 1.17.1, is not there now",
        "numpy was not there, is 2.4.6 now",
        "python was 3.12.1, is 3.11.7 now",
        "code was commit fedcba9876 (changed), is commit 0123456789 now",
        "CPU was Xeon, is EPYC 9654 now",
        "CPU instruction set was AVX2, is AVX512 now",
        "platform was Linux-5, is Linux-6.1 now",
    ]


def test_gpus_are_named_where_they_are_used() -> None:
    hardware: dict[str, Any] = NOW["hardware"]  # type: ignore[assignment]
    other = {**NOW, "hardware": {**hardware, "gpus": ["A100", "A100"]}}
    assert lines(other) == []
    assert lines(other, on_gpu=True, gpu_now=True) == ["device was A100, is H100 now"]
    assert lines(NOW, on_gpu=True, gpu_now=True) == []
    assert lines(NOW, on_gpu=True) == ["device was H100, is the CPU now"]
    assert lines(NOW, gpu_now=True) == ["device was the CPU, is H100 now"]


def test_changed_checkouts_are_told_apart_by_their_files() -> None:
    dirty = {**NOW, "git": {**NOW["git"], "dirty": True}}  # type: ignore[dict-item]
    assert lines(dirty, dirty) == []
    assert lines({**dirty, "sources": "00" * 32}, dirty) == [
        "code was commit 0123456789 (changed) then too, with other changes"
    ]
    [change] = changes_since({1: dirty}, NOW, on_gpu=False, gpu_now=False)
    assert change.line.endswith("with the same program files") and not change.decides
    older = {name: value for name, value in dirty.items() if name != "sources"}
    assert "whether the same changes: not recorded" in lines(older, dirty)[0]
    assert lines({name: value for name, value in NOW.items() if name != "sources"}) == []


def test_what_was_not_recorded_is_said() -> None:
    older = {**NOW, "hardware": {"platform": "Linux-6.1", "cpus": 2, "gpus": []}}
    assert lines(older) == [
        "CPU: not recorded, is EPYC 9654 now",
        "CPU instruction set: not recorded, is AVX512 now",
    ]
    for damaged in (None, [], {"git": 3}, {"packages": [1]}):
        assert lines(damaged) == ["what the study ran with: not recorded"]


def test_all_launches_of_a_trial_are_compared() -> None:
    newer = {**NOW, "python": "3.12.1"}
    found = changes_since({1: newer, 2: NOW, 4: newer}, NOW, on_gpu=False, gpu_now=False)
    assert [change.line for change in found] == ["python was 3.12.1, is 3.11.7 now (launch 1, 4)"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"accumulate": 4}, "accumulate changed on the trial's way"),
        ({"threads": 0}, "threads: left to PyTorch then"),
        ({"pretrained": "/w/resnet.pth"}, "pretrained: what /w/resnet.pth held then: not recorded"),
    ],
)
def test_what_forbids_equal_figures_is_said(recorded: Recorded, change: dict[str, Any], line: str) -> None:
    doubtful = dataclasses.replace(recorded, settings=dataclasses.replace(recorded.settings, **change))
    drifted = again(mAP=1.001, loss=1.001, **{"loss/part1": 1.001})
    verdict = judge(doubtful, drifted, 1.0)
    assert verdict.result == "within tolerance" and verdict.changes[0].line.startswith(line)


def test_a_cluster_and_a_gpu_forbid_them_too(recorded: Recorded) -> None:
    recorded.rows[0].values["hostname"] = "other"
    assert "other, vm of a cluster" in recorded.doubts("cpu")[0].line
    gpu = dataclasses.replace(
        recorded,
        rows=[],
        settings=dataclasses.replace(recorded.settings, device="auto"),
        config=dataclasses.replace(recorded.config, gpus_per_trial=1.0),
    )
    assert gpu.on_gpu and "varying order" in gpu.doubts("cuda")[0].line and not gpu.doubts("cpu")


def test_reproductions_are_added_to(recorded: Recorded) -> None:
    path = recorded.folder.reproduction
    recorded.sources[RAY][2]["loss"] = math.nan  # type: ignore[index]
    verdict = judge(recorded, again(), 1.0)
    keep(path, entry(recorded, again(), verdict, 1.0))
    keep(path, entry(recorded, again(), Verdict("equal", [], [], "equal", [], 0.4), 2.0))
    one, other = read_reproductions(path)
    assert set(one) == {
        "time", "command", "trial", "result", "tolerance", "epochs", "metric", "recorded", "rerun",
        "largest_difference", "weights", "differs",
    }  # fmt: skip
    assert (one["trial"], one["result"], one["epochs"], one["metric"]) == (3, "different", EPOCHS, "mAP")
    assert one["recorded"] == one["rerun"] == figures(EPOCHS)["mAP"]
    assert one["largest_difference"]["loss"] is None and one["largest_difference"]["mAP"] == 0
    assert (other["rerun"], other["tolerance"], other["differs"]) == (0.4, 2.0, [])
    assert [path.name for path in path.parent.iterdir()] == ["reproduction.json"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"reproductions": 3}', "{" * 9999])
def test_a_damaged_file_is_left_as_it_is(tmp_path: Path, content: str) -> None:
    path = tmp_path / "reproduction.json"
    path.write_text(content)
    with pytest.raises(StudyFolderError, match="is damaged; move it away"):
        keep(path, {})
    assert path.read_text() == content


def test_what_cannot_be_run_again_is_refused(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", 3, running=1)
    for number, error, words in (
        (2, StudyFolderError, "trial 2 has not ended"),
        (9, ConfigError, "--trial: 9 is no trial; the study has 0 to 2"),
    ):
        with pytest.raises(error, match=words):
            read_recorded(study, number)
    found = read_recorded(study, None)
    assert found.state == TrialState.COMPLETE and found.settings.depth == 18
    # Without Ray's files there is what the database keeps, of all launches.
    assert found.sources[RAY] == {} and len(found.sources[SCORES]) == found.record.epoch
    assert list(found.launches) == [1] and "not recorded" in found.unread[0]
    with pytest.raises(StudyFolderError, match="no trial is complete yet"):
        read_recorded(make_study(tmp_path / "failed", 2, failed_only=True), None)


def test_of_an_epoch_run_again_the_last_line_counts(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", 1)
    for session, epochs in ((1, (1, 2)), (2, (2, 3))):
        folder = study / "trials" / f"session_{session}" / "trial_0000"
        folder.mkdir(parents=True)
        text = "".join(json.dumps({"epoch": epoch, "loss": session}) + "\n" for epoch in epochs)
        (folder / "result.json").write_text(text + '3\n{"epoch": "x"}\n{"epo')
    found = read_recorded(study, 0)
    assert {epoch: row["loss"] for epoch, row in found.sources[RAY].items()} == {1: 1, 2: 2, 3: 2}
    assert list(found.launches) == [1, 2] and found.launches[2] is None
    assert sum("line 3 is damaged" in line for line in found.unread) == 2
    assert ResultRows(str(study / "trials")).of_trial(7, 0) == []


def test_the_cpu_is_recorded(tmp_path: Path) -> None:
    hardware = describe_run()["hardware"]
    assert hardware["instruction_set"] == torch.backends.cpu.get_cpu_capability()
    assert hardware["cpu"]
    described = tmp_path / "cpuinfo"
    described.write_text("processor\t: 0\nmodel name\t: AMD EPYC 9654  \nmodel name\t: other\n")
    assert provenance._cpu(described) == "AMD EPYC 9654"
    for text in ("", "model name\t:\n", "Hardware: x\n"):
        described.write_text(text)
        assert provenance._cpu(described) == provenance._cpu(tmp_path / "none") != ""


def test_sources_tell_changed_programs_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "sa_study"
    (package / "data").mkdir(parents=True)
    monkeypatch.setattr(provenance, "__file__", str(package / "provenance.py"))
    seen: set[str] = set()
    steps: list[Callable[[], object]] = [
        lambda: (package / "data" / "a.py").write_text("x = 1\n"),
        lambda: (package / "data" / "a.py").write_text("x = 2\n"),
        lambda: (package / "data" / "a.py").rename(package / "a.py"),
    ]
    for step in steps:
        step()
        assert provenance._sources() == provenance._sources() not in seen
        seen.add(provenance._sources())
    (package / "notes.txt").write_text("no program")
    assert provenance._sources() in seen
