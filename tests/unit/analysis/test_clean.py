"""`clean` frees what nothing needs, says so beforehand, and leaves a study that audit finds whole."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from command_line import CommandLine
from written_study import Trial, keep_network, make_study

from sa_study.analysis.audit.checks import audit
from sa_study.analysis.clean import clean_study, plan_cleaning
from sa_study.study.lock import driver_lock
from sa_study.study.summary import StudySummary
from sa_study.study.winner import best_checkpoint_file
from sa_study.utils.errors import RunFailed, StudyFolderError
from sa_study.utils.files import format_bytes

TRIALS = (
    Trial(curve=(0.1, 0.2, 0.2, 0.2)),
    Trial(curve=(0.1, 0.3, 0.3, 0.5), lr=0.2),
    Trial(curve=(0.1, 0.3, 0.3, 0.4), lr=0.05),
    Trial(curve=(0.1, 0.3, 0.3, 0.3), lr=0.03),
    Trial("PRUNED", curve=(0.1, 0.2), lr=0.02),
    Trial("RUNNING", curve=(0.1, 0.2), lr=0.25),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = make_study(tmp_path / "study", TRIALS)
    for number, trial in enumerate(TRIALS):
        keep_network(folder, number, trial)
    return folder.root


def checkpoints(root: Path) -> dict[int, int]:
    """Bytes of the checkpoints of each trial."""
    files = root.glob("trials/*/*/checkpoint_*/checkpoint.pt")
    sizes = [(int(path.parts[-3].removeprefix("trial_")), path.stat().st_size) for path in files]
    return {number: sum(size for other, size in sizes if other == number) for number, _ in sizes}


def test_clean_says_what_would_go_and_then_removes_just_that(root: Path, tool: CommandLine) -> None:
    before = checkpoints(root)
    assert before.keys() == {0, 1, 2, 3, 4, 5}
    contents = tool.contents()
    code, said, _ = tool.run("clean", "--study", root, "--keep", "1")
    assert code == 0 and tool.contents() == contents, "nothing is removed unasked"
    assert "keeps the checkpoints of trials 0, 1, 2" in said
    size = format_bytes(before[3] + before[4])
    assert f"would remove the checkpoints of 2 trials, {size}; to do so" in said
    assert f"clean --study {root} --keep 1 --yes" in said
    code, said, _ = tool.run("clean", "--study", root, "--keep", "1", "--yes")
    assert code == 0 and "removed: the checkpoints of 2 trials" in said
    assert checkpoints(root) == {number: before[number] for number in (0, 1, 2, 5)}
    assert StudySummary.read(root).cleaned == {3, 4}
    assert (root / "best.pt").exists()
    code, said, _ = tool.run("clean", "--study", root, "--keep", "1", "--yes")
    assert code == 0 and "nothing to remove" in said


def test_the_study_stays_whole_and_a_missing_checkpoint_is_explained(root: Path) -> None:
    clean_study(root, 0)
    assert not [line for line in audit(root) if "cannot be used" in line]
    study = StudySummary.read(root)
    gone = best_checkpoint_file(study, study.trials[2])
    with pytest.raises(RunFailed, match="'clean' has removed it"), gone:
        pass
    with best_checkpoint_file(study, study.trials[1]) as path:
        assert path.exists(), "the winner's"
    clean_study(root, 3)
    assert StudySummary.read(root).cleaned == {2, 3, 4}, "what is gone stays known"


def test_a_baseline_that_wins_is_kept_once(tmp_path: Path) -> None:
    trials = (Trial(curve=(0.9,) * 4), *TRIALS[1:4])
    folder = make_study(tmp_path / "study", trials)
    for number, trial in enumerate(trials):
        keep_network(folder, number, trial)
    assert plan_cleaning(StudySummary.read(folder.root), 1).kept == (0, 1)
    assert plan_cleaning(StudySummary.read(folder.root), 0).trials == (1, 2, 3)


def test_a_study_that_runs_is_left_alone(root: Path, tool: CommandLine) -> None:
    with driver_lock(root / "driver.lock"):
        tool.refuses("clean", "--study", root, "--yes", naming=["is being run by"])
    tool.refuses("clean", "--study", root, "--keep", "-1", naming=["--keep"])
    tool.refuses("clean", "--study", root / "none", naming=["no such folder"])


def test_another_studys_storage_is_left_alone(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "trials"
    other.parent.mkdir()
    (root / "trials").rename(other)
    text = (root / "study.yaml").read_text()
    (root / "study.yaml").write_text(text.replace("storage_path: null", f"storage_path: {other}"))
    with pytest.raises(StudyFolderError, match="does not hold this study's trials"):
        clean_study(root, 0)
    assert len(list(other.glob("*/*/checkpoint_*"))) == len(TRIALS)


def test_repeats_need_every_checkpoint(root: Path) -> None:
    study = StudySummary.read(root)
    for attribute in ("confirms", "ablates"):
        with pytest.raises(StudyFolderError, match="need every checkpoint"):
            plan_cleaning(dataclasses.replace(study, attributes={attribute: {}}), 0)
