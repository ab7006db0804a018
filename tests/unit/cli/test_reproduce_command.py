"""The command `reproduce`: what it reads, tells and keeps, and when it refuses."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from command_line import CommandLine
from original_trial import EPOCHS, elsewhere, figures, make_rerun, with_record
from random_study import make_study

from sa_study.analysis.reproduce.original import DATABASE_SCORES, RAY_RESULTS, OriginalTrial, read_original
from sa_study.analysis.reproduce.reproduction import (
    Rerun,
    add_reproduction,
    judge_rerun,
    read_reproductions,
    rerun_trial,
)
from sa_study.metrics import names
from sa_study.metrics.protocol import OTHER_CAMERAS
from sa_study.settings.run import Settings
from sa_study.study.result_files import ResultFiles
from sa_study.utils.errors import ConfigError, Diverged, StudyFolderError

pytestmark = pytest.mark.usefixtures("same_machine")


@pytest.fixture
def tool(
    original: OriginalTrial,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> CommandLine:
    """The command line, which reads the original trial whatever the study, and runs it again at once."""
    store = SimpleNamespace(protocol=OTHER_CAMERAS)
    images = SimpleNamespace(store=store, train=[1, 2], query=[1], gallery=[1], num_classes=2)
    monkeypatch.setattr("sa_study.analysis.reproduce.original.read_original", lambda *words: original)
    monkeypatch.setattr("sa_study.analysis.reproduce.reproduction.load_images", lambda *words: images)
    rerun_to(monkeypatch, make_rerun())
    return CommandLine(tmp_path, monkeypatch, capsys)


def rerun_to(monkeypatch: pytest.MonkeyPatch, rerun: Rerun | BaseException) -> None:
    def run(original: OriginalTrial, data: object, on_epoch: Any) -> Rerun:
        for of_epoch in make_rerun().epochs.values():
            on_epoch(of_epoch)
        if isinstance(rerun, BaseException):
            raise rerun
        return rerun

    monkeypatch.setattr("sa_study.analysis.reproduce.reproduction.rerun_trial", run)


def test_an_equal_rerun_ends_with_0(tool: CommandLine, original: OriginalTrial) -> None:
    code, said, _ = tool.run("reproduce", "--study", "s", "--trial", "3")
    assert code == 0 and said.count("\nepoch ") == EPOCHS
    assert "EQUAL: every recorded figure of 4 epochs is the same to the last bit" in said
    assert "trial 3 of s, complete in launch 1: 4 of 4 epochs are rerun" in said
    code, said, _ = tool.run("reproduce", "--study", "s", "--quiet")
    assert code == 0 and "epoch 1/" not in said and "EQUAL" in said
    code, said, _ = tool.run("reproduce", "--study", "s", "--json")
    told = json.loads(said)
    assert told.pop("study") == str(Path("s").absolute())
    assert told == read_reproductions(original.study.folder.reproduction)[-1] and told["result"] == "equal"
    assert len(read_reproductions(original.study.folder.reproduction)) == 3


def test_a_different_rerun_ends_with_1_and_is_kept(
    tool: CommandLine, original: OriginalTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    rerun_to(monkeypatch, make_rerun(mAP=1.1, loss=1.1, rank1=1.1, rank5=1.1))
    code, said, _ = tool.run("reproduce", "--study", "s", "--quiet")
    assert code == 1 and "DIFFERENT: epoch 4: mAP is 0.43333333333333335 in result.json" in said
    assert "  and 3 more\n" in said and "+4.3" in said
    [kept] = read_reproductions(original.study.folder.reproduction)
    assert kept["largest_difference"]["mAP"] == pytest.approx(0.0433333333)
    assert json.loads(tool.run("reproduce", "--study", "s", "--json")[1])["result"] == "different"


def test_a_close_rerun_elsewhere_ends_with_0(
    tool: CommandLine, original: OriginalTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    rerun_to(monkeypatch, make_rerun(mAP=1.01, loss=1.01))
    monkeypatch.setattr(
        "sa_study.analysis.reproduce.original.read_original", lambda *words: elsewhere(original)
    )
    code, said, _ = tool.run("reproduce", "--study", "s")
    assert code == 0 and "WITHIN TOLERANCE: mAP at the best epoch is within 1 points" in said
    assert "CPU was Xeon 8480, is EPYC 9654 now" in said
    assert tool.run("reproduce", "--study", "s", "--tolerance", "0.1")[0] == 1


def test_ctrl_c_writes_nothing(
    tool: CommandLine, original: OriginalTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    rerun_to(monkeypatch, KeyboardInterrupt())
    code, said, _ = tool.run("reproduce", "--study", "s")
    assert code == 130 and "interrupted; nothing was written" in said
    assert not original.study.folder.reproduction.exists()


@pytest.mark.parametrize("tolerance", ["nan", "inf", "-1", "x"])
def test_a_tolerance_is_a_number(tool: CommandLine, tolerance: str) -> None:
    tool.refuses("reproduce", "--study", "s", "--tolerance", tolerance, naming=["--tolerance"])


def test_a_place_that_cannot_be_written_is_named_before_training(
    tool: CommandLine, original: OriginalTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    original.study.folder.reproduction.write_text("{}")
    rerun_to(monkeypatch, AssertionError("it was run"))
    tool.refuses("reproduce", "--study", "s", naming=["reproduction.json: is damaged"])


class FakeTrainer:
    """Trains nothing, and fails in the fourth epoch."""

    error: Exception = RuntimeError("a worker's\nend")

    def __init__(self, settings: Settings, *words: object):
        assert settings.device in ("auto", "cpu"), "a trial of a GPU is run again where there is none, too"
        self.device, self.epoch = torch.device("cpu"), 0

    def run_epoch(self) -> dict[str, float]:
        if self.epoch == EPOCHS - 1:
            raise self.error
        self.epoch += 1
        return figures(self.epoch)

    def checkpoint(self) -> SimpleNamespace:
        return SimpleNamespace(state_dict={"a": torch.tensor(self.epoch)})


def test_a_failed_trial_is_run_until_it_fails(
    original: OriginalTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sa_study.analysis.reproduce.reproduction.Trainer", FakeTrainer)
    last = figures(EPOCHS - 1)
    failed = with_record(original, "FAIL", last=last, best=figures(2), failure="its process died")
    seen: list[float] = []
    rerun = rerun_trial(failed, SimpleNamespace(), lambda of_epoch: seen.append(of_epoch[names.EPOCH]))  # type: ignore[arg-type]
    assert rerun.failure == "epoch 4: a worker's end" and seen == list(rerun.epochs) == [1, 2, 3]
    assert rerun.weights == {"a": torch.tensor(2)}, "the best epoch's, not the last one's"
    # What a trial that did not fail raises is a fault of this program, unless it diverges.
    with pytest.raises(RuntimeError, match="end"):
        rerun_trial(original, SimpleNamespace(), lambda of_epoch: None)  # type: ignore[arg-type]
    cuda = dataclasses.replace(original.settings, device="cuda")
    assert rerun_trial(dataclasses.replace(failed, settings=cuda), SimpleNamespace(), print).failure  # type: ignore[arg-type]
    monkeypatch.setattr(FakeTrainer, "error", Diverged("epoch 4: loss is nan"))
    assert rerun_trial(original, SimpleNamespace(), lambda of_epoch: None).failure == "epoch 4: loss is nan"  # type: ignore[arg-type]


def test_reproductions_are_added_to(original: OriginalTrial) -> None:
    path = original.study.folder.reproduction
    original.sources[RAY_RESULTS][2]["loss"] = math.nan  # type: ignore[index]
    found = judge_rerun(original, make_rerun(), 1.0)
    add_reproduction(path, found.to_dict())
    add_reproduction(path, dataclasses.replace(found, changes=[], tolerance=2.0).to_dict())
    one, other = read_reproductions(path)
    assert set(one) == {
        "time", "command", "trial", "result", "tolerance", "epochs", "metric", "recorded", "rerun",
        "largest_difference", "weights", "differs",
    }  # fmt: skip
    assert (one["trial"], one["result"], one["epochs"], one["metric"]) == (3, "different", EPOCHS, "mAP")
    assert one["recorded"] == one["rerun"] == figures(EPOCHS)["mAP"]
    assert one["largest_difference"]["loss"] is None and one["largest_difference"]["mAP"] == 0
    assert (other["tolerance"], other["differs"]) == (2.0, [])
    assert [path.name for path in path.parent.iterdir()] == ["reproduction.json"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"reproductions": 3}', "{" * 9999])
def test_a_damaged_file_is_left_as_it_is(tmp_path: Path, content: str) -> None:
    path = tmp_path / "reproduction.json"
    path.write_text(content)
    with pytest.raises(StudyFolderError, match="is damaged; move it away"):
        add_reproduction(path, {})
    assert path.read_text() == content


def test_what_cannot_be_rerun_is_refused(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", 3, running=1)
    for number, error, words in (
        (2, StudyFolderError, "trial 2 has not ended"),
        (9, ConfigError, "--trial: 9 is no trial; the study has 0 to 2"),
    ):
        with pytest.raises(error, match=words):
            read_original(study, number)
    found = read_original(study, None)
    assert found.summary.complete and found.settings.backbone == "resnet18"
    # Without Ray's files there is what the database keeps, of all launches.
    assert found.sources[RAY_RESULTS] == {}
    assert len(found.sources[DATABASE_SCORES]) == found.summary.record.epoch
    assert list(found.launches) == [1] and "only the score is recorded" in found.unreadable[0]
    with pytest.raises(StudyFolderError, match="no trial is complete yet"):
        read_original(make_study(tmp_path / "failed", 2, failed_only=True), None)


def test_of_an_epoch_run_again_the_last_line_counts(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", 1)
    for session, epochs in ((1, (1, 2)), (2, (2, 3))):
        folder = study / "trials" / f"session_{session}" / "trial_0000"
        folder.mkdir(parents=True)
        text = "".join(json.dumps({"epoch": epoch, "loss": session}) + "\n" for epoch in epochs)
        (folder / "result.json").write_text(text + '3\n{"epoch": "x"}\n{"epo')
    found = read_original(study, 0)
    assert {epoch: row["loss"] for epoch, row in found.sources[RAY_RESULTS].items()} == {1: 1, 2: 2, 3: 2}
    assert list(found.launches) == [1, 2] and found.launches[2] is None
    assert sum("line 3 is damaged" in line for line in found.unreadable) == 2
    assert ResultFiles(str(study / "trials")).rows(7, 0) == []
