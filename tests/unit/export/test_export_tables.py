"""The tables of trials and epochs, read back by pandas, pyarrow and the csv module."""

from __future__ import annotations

import csv
import dataclasses
import math
import shutil
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from written_study import SPACE, START, Trial, figures_of, make_study

from sa_study.export.tables import Column, epoch_table, make_table, trial_columns, write_csv, write_tables
from sa_study.settings.space import Parameter
from sa_study.settings.space_file import parse_space
from sa_study.study.database import read_trials
from sa_study.study.summary import StudySummary
from sa_study.utils.errors import StudyFolderError

TRIALS = [
    Trial(),
    Trial("PRUNED", (0.15, 0.05), lr=0.2, attention="softmax"),
    Trial("COMPLETE", (0.1, 0.3, 0.5, 0.5), lr=0.03),
    Trial("FAIL", (), failure='=HYPERLINK("http://x";"loss is nan")', notes=("-1 GPU", "\x1b[31mred")),
    Trial("RUNNING", (0.2,), attention="none"),
]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudySummary:
    """A study that no test changes."""
    return StudySummary.read(make_study(tmp_path_factory.mktemp("made") / "study", TRIALS).root)


@pytest.fixture
def copied(study: StudySummary, tmp_path: Path) -> StudySummary:
    """The same for a test to change."""
    return StudySummary.read(shutil.copytree(study.folder.root, tmp_path / "copied"))


def written(study: StudySummary, tmp_path: Path) -> Path:
    """The folder of a study's tables."""
    folder = tmp_path / "tables"
    shutil.rmtree(folder, ignore_errors=True)
    assert not write_tables(study, folder)
    return folder


def trials_of(study: StudySummary, tmp_path: Path) -> pd.DataFrame:
    return pd.read_parquet(written(study, tmp_path) / "trials.parquet")


def test_a_row_says_everything_of_its_trial(study: StudySummary, tmp_path: Path) -> None:
    table = trials_of(study, tmp_path)
    assert table["trial"].tolist() == [0, 1, 2, 3, 4]
    assert table["state"].tolist() == [trial.state for trial in TRIALS]
    assert table["is_baseline"].tolist() == [True] + 4 * [False]
    assert table["is_best"].tolist() == [False, False, True, False, False]
    assert table["on_front"].isna().all()
    assert table["param_lr"].tolist() == [trial.lr for trial in TRIALS]
    assert table["param_attention"].tolist() == [trial.attention for trial in TRIALS]
    assert table["best_epoch"].fillna(0).tolist() == [3, 1, 4, 0, 1], "the later of equals is the best"
    assert table["mAP"].fillna(-1).tolist() == [0.4, 0.15, 0.5, -1, 0.2]
    assert table["rank1"].fillna(-1).tolist() == [0.5, 0.25, 0.6, -1, pytest.approx(0.3)]
    assert table["epochs"].tolist() == 5 * [4] and table["epochs_completed"].tolist() == [4, 2, 4, 0, 1]
    assert table["epochs_run"].tolist() == [4, 2, 4, 0, 1]
    assert table["seconds"].tolist() == [6, 3, 6, 0, 1.5] and table["gpu_seconds"].tolist() == [
        3,
        1.5,
        3,
        0,
        0.75,
    ]
    assert table["stopped_early"].tolist() == [False, True, False, False, False]
    assert table["failure"].tolist()[3] == TRIALS[3].failure, "Parquet holds text as it is"
    assert table["notes"].tolist()[3] == "-1 GPU; \x1b[31mred"
    assert table["started"].tolist()[0] == START and table["ended"].isna().tolist() == 4 * [False] + [True]


def test_reordered_columns_keep_their_cells(study: StudySummary, tmp_path: Path) -> None:
    columns = trial_columns(study)
    for name, ordered in (("a", columns), ("b", columns[::-1])):
        write_csv(make_table(ordered, study.trials), tmp_path / f"{name}.csv")
    one, other = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("a", "b"))
    assert list(one) == list(other)[::-1]
    pd.testing.assert_frame_equal(one, other[list(one)])


def test_csv_and_parquet_agree(study: StudySummary, tmp_path: Path) -> None:
    other = trials_of(study, tmp_path)
    one = pd.read_csv(tmp_path / "tables" / "trials.csv", parse_dates=["started", "ended"])
    assert list(one) == list(other)
    for name in one:
        if name not in ("failure", "notes", "on_front"):
            pd.testing.assert_series_equal(one[name], other[name], check_dtype=False)


def test_the_types_do_not_depend_on_what_stands_there(study: StudySummary, tmp_path: Path) -> None:
    full = pq.read_schema(written(study, tmp_path) / "trials.parquet")
    for name, trials in (("empty", []), ("failed", [TRIALS[3]])):
        other = StudySummary.read(make_study(tmp_path / name, trials).root)
        assert make_table(trial_columns(other), other.trials).schema.equals(full)
    assert full.field("mAP").metadata[b"description"].startswith(b"validation mAP")


def test_a_spreadsheet_computes_no_text_and_keeps_numbers(tmp_path: Path) -> None:
    kinds = {"text": "text", "number": "number", "whole": "integer"}
    columns = [Column(name, kind, "", itemgetter(i)) for i, (name, kind) in enumerate(kinds.items())]
    rows: list[list[Any]] = [["=1+1", -0.1, -3], ['@a"b;=1', 1e-300, None], [None, 0.1 + 0.2, 2**53]]
    write_csv(make_table(columns, rows), tmp_path / "t.csv")
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[1] == '"\'=1+1",-0.1,-3', "a negative number is no formula, and is not quoted"
    with (tmp_path / "t.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert read[1]["text"] == "'@a\"b;=1" and read[1]["whole"] == ""
    assert [float(row["number"]) for row in read] == [row[1] for row in rows]
    assert make_table(columns, [["\ud800", math.nan, 1]])["text"].to_pylist() == ["\\ud800"]


def test_every_epoch_has_its_figures(study: StudySummary, tmp_path: Path) -> None:
    table = pd.read_parquet(written(study, tmp_path) / "epochs.parquet")
    wide = table.pivot(index=["trial", "epoch"], columns="figure", values="value")
    assert len(wide) == 4 + 2 + 4 + 1
    for (number, epoch), figures in wide.iterrows():
        wanted = figures_of(TRIALS[number], epoch)
        assert figures.to_dict() == {k: v for k, v in wanted.items() if k not in ("epoch", "progress")}
    assert table["progress"].tolist() == (100 * table["epoch"] / table["epochs"]).tolist()


def test_of_an_epoch_that_was_run_twice_the_later_counts(copied: StudySummary) -> None:
    later = copied.folder.trials / "session_10" / "trial_0000"
    later.mkdir(parents=True)
    (copied.folder.trials / "session_2" / "trial_0000").mkdir(parents=True)
    (copied.folder.trials / "session_2" / "trial_0000" / "result.json").write_text(
        '{"epoch": 4, "mAP": 0.1}\n'
    )
    line = '{"epoch": 4, "mAP": 0.9, "rank1": "high", "pid": 3}\n{"epoch": 5, "mAP": 0.7}\n{"epo'
    (later / "result.json").write_text(line)
    epochs, _ = epoch_table(copied)
    rows = [row for row in epochs.to_pylist() if row["trial"] == 0 and row["epoch"] >= 4]
    assert [[*row.values()][1:] for row in rows] == [[4, 4, 100.0, "mAP", 0.9]], (
        "an epoch that the database does not know does not count yet"
    )


def test_without_rays_files_the_scores_are_still_there(copied: StudySummary) -> None:
    shutil.rmtree(copied.folder.trials)
    epochs, missing = epoch_table(copied)
    assert "holds no results" in missing
    rows = epochs.to_pylist()
    scores = {(row["trial"], row["epoch"]): row["value"] for row in rows if row["figure"] == "mAP"}
    assert scores == {(n, e + 1): value for n, t in enumerate(TRIALS) for e, value in enumerate(t.curve)}
    known = sum(row["figure"] == "rank1" for row in rows)
    assert known == 6, "of the best and the last epochs all is known"


@pytest.mark.parametrize(
    ("choices", "kind"),
    [([True, False], "boolean"), ([18, 34], "integer"), ([0.5, 1], "number"), ([True, 1, "x"], "text")],
)
def test_a_settings_column_has_one_type(study: StudySummary, choices: list[Any], kind: str) -> None:
    search = {"depth": Parameter("categorical", choices=tuple(choices))}
    space = dataclasses.replace(study.config.space, search=search)
    changed = dataclasses.replace(study, config=dataclasses.replace(study.config, space=space))
    kinds = {column.name: column.kind for column in trial_columns(changed)}
    assert kinds["param_depth"] == kind


def test_two_objectives_mark_the_front(tmp_path: Path) -> None:
    space = parse_space({**SPACE, "scheduler": {"name": "none"}}, "space")
    trials = [Trial(), Trial(curve=(0.1, 0.2, 0.3, 0.3)), Trial(curve=(0.5, 0.5, 0.5, 0.5)), Trial("PRUNED")]
    study = StudySummary.read(make_study(tmp_path / "study", trials, space=space, minimize="cost").root)
    table = trials_of(study, tmp_path)
    assert table["on_front"].tolist() == [False, False, True, False], "all cost the same"
    assert table["cost_seconds"].tolist() == 4 * [6.0]


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda trial: trial.user_attrs.update(record={"best": {"mAP": "<b>"}}), "best mAP is no number"),
        (lambda trial: trial.user_attrs.update(record={"strange": 1}), "has the unknown field 'strange'"),
        (lambda trial: trial.user_attrs.update(record=[1]), "is of type list"),
        (lambda trial: trial._params.update(batch_size=8), "'batch_size' is not searched"),
    ],
)
def test_trials_of_another_study_are_named(
    study: StudySummary, monkeypatch: pytest.MonkeyPatch, harm: Callable[[Any], None], words: str
) -> None:
    folder, trials = study.folder, read_trials(study.folder)
    harm(trials[0])
    monkeypatch.setattr("sa_study.study.summary.trials_in", lambda *_: trials)
    with pytest.raises(StudyFolderError, match=words) as error:
        StudySummary.read(folder.root).require_whole()
    assert "trial 0" in str(error.value) and "\n" not in str(error.value)
