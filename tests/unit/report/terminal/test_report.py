"""What the terminal says: which AP a number is, and the winner beside the baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from summaries import study_summary, trial_summary

from sa_study.cli.options import parse_duration
from sa_study.metrics import names
from sa_study.report.terminal.launch_display import LaunchDisplay
from sa_study.report.terminal.study import summary_line
from sa_study.report.terminal.study_panel import StudyPanel
from sa_study.report.terminal.tables import evaluation_table
from sa_study.report.text import clock, duration, percent
from sa_study.report.verdict import headline
from sa_study.settings.space_file import load_space
from sa_study.study.config import StudyConfig
from sa_study.study.records import TrialEvent, TrialRecord
from sa_study.study.trial_summary import TrialSummary

FIGURES = names.TEST_FIGURES


@pytest.fixture
def config(tmp_path: Path) -> StudyConfig:
    return StudyConfig(data_dir=tmp_path, space=load_space(Path("default")), trials=40)


def printed(content: Any, width: int) -> str:
    console = Console(record=True, width=width, color_system=None)
    console.print(content)
    return console.export_text()


def test_the_evaluation_table_says_which_average_precision_it_is() -> None:
    evaluation: dict[str, Any] = {name: 0.1 * index for index, name in enumerate(FIGURES)}
    evaluation |= {
        "reranked": None,
        "queries": 9,
        "queries_without_match": 1,
        "gallery": 20,
        "seconds": {"decode": 2.0},
    }
    again = {name: 0.9 for name in FIGURES}
    text = printed(evaluation_table({"best": {**evaluation, "reranked": again}}), 120)
    assert "scikit-learn" in text and "trapezoid" in text and "re-ranked" in text
    assert "9 queries (1 without a match, left out), 20 gallery images" in text
    assert "30.0" in text and "40.0" in text and "90.0" in text


def test_no_heading_is_cut_in_80_columns() -> None:
    rates: dict[str, Any] = {name: 0.999 for name in FIGURES}
    rates["intervals"] = {name: (0.501, 0.999) for name in ("rank1", "mAP")}
    evaluation = {**rates, "reranked": rates, "queries": 9, "gallery": 20, "seconds": {}}
    lines = printed(evaluation_table({"best": evaluation, "baseline": evaluation}), 80).splitlines()
    assert "…" not in "".join(lines) and max(map(len, lines)) <= 80
    for name in FIGURES:
        assert all(any(word in line for line in lines) for word in names.heading(name).split())


@pytest.mark.parametrize("width", [80, 200])
def test_the_trials_table_fits(config: StudyConfig, width: int) -> None:
    trials = [
        trial_summary(0, "COMPLETE", {"lr": 0.1, "dropout": 0.5, "epochs": 100}, 0.5),
        trial_summary(1, "PRUNED", {"lr": 0.123456789, "dropout": 0.1, "epochs": 40}, 0.7),
        trial_summary(2, "FAIL", {"lr": 0.3, "dropout": 0.0, "epochs": 40}),
        trial_summary(3, "WAITING"),
    ]
    lines = printed(StudyPanel.of(study_summary(config, trials), trials_only=True), width).splitlines()
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert text.index("COMPLETE") < text.index("PRUNED") < text.index("FAIL"), "a complete trial comes first"
    assert "baseline" in text and "0.1235" in text
    assert "1 COMPLETE, 1 PRUNED, 1 FAIL, 1 WAITING of 40" in summary_line(study_summary(config, trials))


def test_the_winner_is_complete_and_the_earlier_of_equals(config: StudyConfig) -> None:
    trials = [
        trial_summary(0, "COMPLETE", score=0.5),
        trial_summary(1, "PRUNED", score=0.9),
        trial_summary(2, "COMPLETE", score=0.6),
        trial_summary(3, "COMPLETE", score=0.6),
    ]
    assert study_summary(config, trials).winner is trials[2]
    assert study_summary(config, trials[1:2]).winner is None


@pytest.mark.parametrize(
    ("trials", "words"),
    [
        ([], ["No trial has begun"]),
        ([trial_summary(0, "COMPLETE", score=0.5)], ["baseline won", "50.0"]),
        (
            [trial_summary(0, "COMPLETE", score=0.5), trial_summary(1, "COMPLETE", score=0.62)],
            ["Trial 1 won", "50.0", "+12.0"],
        ),
        (
            [trial_summary(0, "FAIL"), trial_summary(1, "COMPLETE", score=0.6)],
            ["Trial 1 won", "baseline has no score"],
        ),
    ],
)
def test_the_verdict_names_winner_and_baseline(
    config: StudyConfig, trials: list[TrialSummary], words: list[str]
) -> None:
    text = headline(study_summary(config, trials))
    assert all(word in text for word in words), text


def test_a_launch_is_told_in_lines_where_there_is_no_terminal(config: StudyConfig) -> None:
    console = Console(record=True, width=100, color_system=None, force_terminal=False)
    figures = {"epoch": 4.0, "mAP": 0.5, "rank1": 0.6, "progress": 100.0}
    whole = TrialRecord(last=figures, best=figures, seconds=75.0)
    with LaunchDisplay(console, config) as live:
        live.decoded(5, 10)
        live.decoded(10, 10)
        live.announce(TrialEvent(0, "epoch", {"lr": 0.1}, whole))
        live.announce(TrialEvent(0, "COMPLETE", {"lr": 0.1}, whole))
        live.announce(TrialEvent(1, "FAIL", {"lr": 100.0}, TrialRecord(failure="epoch 1: loss is nan")))
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert lines == [
        "decoded 10 images",
        "trial 0 (baseline) epoch 4/100 mAP 50.0 % rank-1 60.0 %",
        "trial 0 (baseline) COMPLETE mAP 50.0 % at epoch 4 of 4 run, 1 min 15 s lr=0.1",
        "trial 1 FAIL epoch 1: loss is nan lr=100",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.42, "0.4 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (7322, "2 h 2 min"), (93600, "1 d 2 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("45m", 2700), ("2h", 7200), ("1h30m", 5400), ("0.5h", 1800)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


def test_small_things() -> None:
    assert [clock(seconds) for seconds in (4.4, 819, 3723)] == ["0:04", "13:39", "1:02:03"]
    assert percent(0.12345) == "12.3" and percent(None) == "–"
    assert (
        names.tag_of("mAP") == "val/mAP"
        and names.tag_of("loss/part1") == "train/loss/part1"
        and names.tag_of("time_total_s") is None
    )
