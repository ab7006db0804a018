"""Every look at the test set is written down, before its figures are known."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from checkout import ROOT
from random_study import make_study

from sa_study.data.store import ImageStore
from sa_study.provenance import utc_now
from sa_study.study.folder import StudyFolder
from sa_study.study.ledger import (
    LedgerSummary,
    _own_images,
    add_ledger_entry,
    ledger_summary,
    study_containing,
)
from sa_study.training.evaluate import EvaluationImages
from sa_study.utils.errors import StudyFolderError

FIGURES = {"best": {"rank1": 0.5, "mAP": 0.4, "rank5": 0.7, "reranked": {"rank1": 0.6, "mAP": 0.5}}}


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return StudyFolder(make_study(tmp_path / "study", 2))


def entries_of(folder: StudyFolder) -> list[dict[str, object]]:
    return list(json.loads(folder.ledger.read_text())["looks"])


def test_a_look_is_there_before_its_figures_and_stays_without_them(folder: StudyFolder) -> None:
    assert ledger_summary(folder) == LedgerSummary() and not folder.ledger.exists(), "reading writes nothing"
    add_ledger_entry(folder, "best")
    assert entries_of(folder)[0]["figures"] is None and ledger_summary(folder).count == 1
    assert add_ledger_entry(folder, "best and baseline", reranked=True).complete(FIGURES).count == 2
    first, second = entries_of(folder)
    assert first["figures"] is None and second["what"] == "best and baseline"
    assert second["figures"] == {"best": {"rank1": 0.5, "mAP": 0.4, "reranked": {"rank1": 0.6, "mAP": 0.5}}}


def images(name: str) -> EvaluationImages:
    """Test images of a data set; what they show does not matter here."""
    store = ImageStore(np.zeros((2, 1, 1, 3), np.uint8), np.ones(2, np.int64), np.arange(2), name * 64)
    return EvaluationImages(Path(name), store, store, 0.0)


def test_looks_are_counted_by_what_was_looked_at(folder: StudyFolder) -> None:
    own, other, third = images("a"), images("b"), images("c")
    assert add_ledger_entry(folder, "best", other, own=False).summary == seen_of(1, own=False)
    assert ledger_summary(folder).count == 0 and _own_images(entries_of(folder)) is None, (
        "the study's own was not looked at"
    )
    assert add_ledger_entry(folder, "best", own, own=True).summary == seen_of(1)
    assert add_ledger_entry(folder, "best", other, own=False).complete(FIGURES) == seen_of(2, own=False)
    assert add_ledger_entry(folder, "best", third, own=False).summary == seen_of(1, own=False)
    assert ledger_summary(folder) == seen_of(1) and _own_images(entries_of(folder)) == own.fingerprints
    assert len(entries_of(folder)) == 4, "all are on record"


def test_an_earlier_versions_ledger_is_read(folder: StudyFolder) -> None:
    """Its entries name no test set as the study's own; the oldest describe no images at all."""
    for one in (images("a"), images("b"), images("a")):
        add_ledger_entry(folder, "best", one)
    entries = entries_of(folder)
    for entry in entries:
        del entry["own"]
    del entries[2]["data"]
    folder.ledger.write_text(json.dumps({"looks": entries}))
    assert ledger_summary(folder).count == 3, "nothing tells which were the study's own"
    add_ledger_entry(folder, "best", images("a"))
    assert ledger_summary(folder).count == 3, "now the look at b is known to be one at other data"


def seen_of(count: int, *, own: bool = True) -> Any:
    """Equal to a summary of this many looks, at any time."""
    times = dict.fromkeys(("first", "last"), mock.ANY)
    return LedgerSummary(count, own=own, **times)


def test_the_sentence_counts() -> None:
    assert LedgerSummary(1, "2026-03-01", own=False).sentence == "Another test set seen once, on 2026-03-01."
    assert len(LedgerSummary(99, "2026-03-01", own=False).sentence) <= 80
    assert LedgerSummary().sentence == ""
    assert (
        LedgerSummary(1, "2026-03-01T09:00:00", "2026-03-01T09:00:00").sentence
        == "Test set seen once, on 2026-03-01."
    )
    assert LedgerSummary(3, "2026-03-01", "2026-03-04").sentence.startswith(
        "Test set seen 3 times since 2026-03-01"
    )
    assert len(LedgerSummary(99, "2026-03-01", "2026-03-04").sentence) <= 80


def test_no_look_is_lost_where_processes_look_at_once(folder: StudyFolder) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from sa_study.study.folder import StudyFolder\n"
        "from sa_study.study.ledger import add_ledger_entry\n"
        "folder = StudyFolder(Path(sys.argv[1]))\n"
        f"for _ in range(20): add_ledger_entry(folder, 'best').complete({FIGURES!r})\n"
    )
    command = [sys.executable, "-c", code, str(folder.root)]
    running = [subprocess.Popen(command, cwd=ROOT) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert len(entries_of(folder)) == 60 and all(entry["figures"] for entry in entries_of(folder))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"looks": 3}', '{"looks": [3]}', "{}"])
def test_a_damaged_ledger_is_named_and_never_replaced(folder: StudyFolder, content: str) -> None:
    folder.ledger.write_text(content)
    for action in (lambda: ledger_summary(folder), lambda: add_ledger_entry(folder, "best")):
        with pytest.raises(StudyFolderError, match=r"test_ledger\.json: is damaged"):
            action()
    assert folder.ledger.read_text() == content


def test_an_evaluation_of_before_there_was_a_ledger_is_a_look(folder: StudyFolder) -> None:
    folder.evaluation.write_text("{}")
    assert ledger_summary(folder).count == 1
    add_ledger_entry(folder, "best")
    assert ledger_summary(folder).count == 2 and "before there was a ledger" in str(
        entries_of(folder)[0]["what"]
    )


def test_weights_inside_a_studys_folder_are_the_studys(folder: StudyFolder, tmp_path: Path) -> None:
    inner = folder.root / "trials" / "session_1" / "checkpoint.pt"
    found = study_containing(inner)
    assert found and found.root == folder.root
    repeats = make_study(folder.root / "confirm", 1)
    found = study_containing(repeats / "best.pt")
    assert found and found.root == folder.root, "repeats are of the study that they confirm"
    assert study_containing(tmp_path / "elsewhere.pt") is None
    (tmp_path / "link.pt").symlink_to(inner)
    found = study_containing(tmp_path / "link.pt")
    assert found and found.root == folder.root


@pytest.mark.parametrize(
    "time", [None, 3, "", "yesterday", "\x1b[2J", "[bold]", "2026-03-01", "2026-03-01\x1b09:00:00", "\n\n[/]"]
)
def test_a_time_that_is_none_never_comes_into_a_table(folder: StudyFolder, time: object) -> None:
    folder.ledger.write_text(json.dumps({"looks": [{"time": time, "figures": None}]}))
    with pytest.raises(StudyFolderError, match="is damaged"):
        ledger_summary(folder)


@pytest.mark.parametrize("changed", [-1e9, 4e11])
def test_an_old_evaluations_file_may_claim_any_time(folder: StudyFolder, changed: float) -> None:
    folder.evaluation.write_text("{}")
    os.utime(folder.evaluation, (changed, changed))
    assert "1970" <= ledger_summary(folder).first <= utc_now()


def test_a_kill_between_the_two_writings_hides_nothing(folder: StudyFolder) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from sa_study.study.folder import StudyFolder\n"
        "from sa_study.study.ledger import add_ledger_entry\n"
        "add_ledger_entry(StudyFolder(Path(sys.argv[1])), 'best'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder.root)], cwd=ROOT, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert add_ledger_entry(folder, "best").complete(FIGURES).count == 2, "nor does the dead one hold a lock"
    assert [bool(entry["figures"]) for entry in entries_of(folder)] == [False, True]
