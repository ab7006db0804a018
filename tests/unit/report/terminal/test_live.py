"""The view of a study: at any width, of any study, whatever its strings hold."""

from __future__ import annotations

import dataclasses
import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from sa_study.report.terminal.console import can_redraw, make_console, phases
from sa_study.report.terminal.launch_display import LaunchDisplay
from sa_study.report.terminal.study import remaining_seconds
from sa_study.report.terminal.study_panel import StudyPanel, leader, paused
from sa_study.settings.space import Parameter
from sa_study.settings.space_file import load_space
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.study.records import TrialEvent, TrialRecord
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import TrialSummary

WIDTHS = [60, 80, 200]
HOSTILE = "[red]x[/] \x1b[2J\x1b]0;title\x07\nnext\r\u202eback [link=http://x]"


@pytest.fixture
def config(tmp_path: Path) -> StudyConfig:
    return StudyConfig(data_dir=tmp_path, space=load_space(Path("default")), trials=40)


def figures(epoch: int, value: float, epochs: int = 10) -> dict[str, float]:
    shown = {"epoch": float(epoch), "progress": 100 * epoch / epochs, "mAP": value, "rank1": value + 0.1}
    return {**shown, "loss": 3.0, "seconds": 6.0}


def summary(
    number: int,
    state: str,
    params: dict[str, Any],
    record: TrialRecord,
    curve: tuple[tuple[float, float], ...] = (),
) -> TrialSummary:
    return TrialSummary(number, state, params, "mAP", 10, record, curve)


def row(
    number: int, state: str = "COMPLETE", value: float | None = 0.5, epoch: int = 10, **params: Any
) -> TrialSummary:
    params = params or {"lr": 0.1, "dropout": 0.5, "epochs": 10}
    if value is None:
        return summary(number, state, params, TrialRecord(failure="died" if state == "FAIL" else ""))
    best = figures(epoch, value)
    record = TrialRecord(last=best, best=best, epochs_run=epoch, seconds=6.0 * epoch, gpu_seconds=3.0)
    if state == "FAIL":
        record = dataclasses.replace(record, failure="epoch 3: loss is nan; a lower lr usually helps")
    curve = tuple((10.0 * (n + 1), value * (n + 1) / epoch) for n in range(epoch))
    return summary(number, state, params, record, curve)


def some_rows(count: int) -> list[TrialSummary]:
    states = ["COMPLETE", "PRUNED", "FAIL", "COMPLETE", "RUNNING"]
    return [
        row(n, states[n % 5], None if n % 10 == 2 else 0.1 + 0.8 * (n * 37 % count) / count, 1 + n % 10)
        for n in range(count)
    ]


def lines(content: Any, width: int, **options: Any) -> list[str]:
    console = Console(record=True, width=width, file=io.StringIO(), **options)
    console.print(content)
    return console.export_text().splitlines()


def panel(
    config: StudyConfig,
    rows: list[TrialSummary],
    slots: int | None = 2,
    elapsed: float | None = 60.0,
    name: str = "s",
    **options: Any,
) -> StudyPanel:
    study = StudySummary(StudyFolder(Path("s")), config, tuple(rows))
    return StudyPanel(study, name, slots, elapsed, **options)


STUDIES: dict[str, list[TrialSummary]] = {
    "0": [],
    "1": [row(0)],
    "40": some_rows(40),
    "500": some_rows(500),
    "failed only": [row(n, "FAIL", None) for n in range(5)],
    "not one epoch": [row(0, "RUNNING", None), row(1, "RUNNING", None)],
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", list(STUDIES))
def test_no_line_is_broken(config: StudyConfig, name: str, width: int) -> None:
    """As many lines at any width: a table's row is one, whatever is left out of it."""
    rows = STUDIES[name]
    shown = lines(panel(config, rows, limit=20), width)
    assert max(map(cell_len, shown)) <= width
    assert sum(
        bool(re.match(r"^ *(\d+|baseline) +(COMPLETE|PRUNED|FAIL|RUNNING)", line)) for line in shown
    ) == min(20, len(rows))
    if len(rows) > 20:
        assert f"{len(rows) - 20} more not shown" in "\n".join(shown)


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_in_a_study_is_markup_or_reaches_the_terminal(config: StudyConfig, width: int) -> None:
    search = {"pretrained": Parameter("categorical", choices=(HOSTILE, "none"))}
    hostile = dataclasses.replace(config, space=dataclasses.replace(config.space, search=search))
    failed = dataclasses.replace(row(1, "FAIL", None).record, failure=HOSTILE)
    rows = [row(0, pretrained=HOSTILE), summary(1, "FAIL", {"pretrained": HOSTILE}, failed)]
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system="truecolor")
    console.print(panel(hostile, rows, name=HOSTILE, phase=(HOSTILE, 1, 2)))
    console.print(panel(hostile, [], trials_only=True))
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[red]" in written, "it is shown as it is"
    without_colours = re.sub(r"\x1b\[[\d;]*m", "", written)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", without_colours)
    assert all(cell_len(line) <= width for line in without_colours.splitlines())


def test_wide_terminals_show_more(config: StudyConfig) -> None:
    heads = {}
    for width in WIDTHS:
        shown = lines(panel(config, STUDIES["40"]), width)
        [heads[width]] = [line.split() for line in shown if line.lstrip().startswith("trial  state")]
    assert {"epoch", "mAP", "lr", "dropout", "epochs"} <= set(heads[60])
    assert set(heads[60]) < set(heads[80]) < set(heads[200])
    assert {"rung", "rank-1", "best", "time", "why"} <= set(heads[200])


def test_settings_that_do_not_fit_are_one_column(config: StudyConfig) -> None:
    params: dict[str, Any] = {f"setting_{n}": 0.123456 for n in range(12)}
    search = {name: Parameter("float", 0.0, 1.0) for name in params}
    wide = dataclasses.replace(config, space=dataclasses.replace(config.space, search=search))
    shown = lines(panel(wide, [row(0, **params)]), 80)
    assert any("setting_0=0.1235" in line and line.rstrip().endswith("…") for line in shown)


def test_the_leader_stands_above_the_baseline(config: StudyConfig) -> None:
    rows = [row(0, value=0.5), row(1, "PRUNED", 0.9, 3), row(2, "RUNNING", 0.7, 4), row(3, value=0.6)]
    shown = lines(panel(config, rows), 80)
    start = next(i for i, line in enumerate(shown) if line.startswith("leader"))
    assert shown[start].split()[:6] == ["leader", "2", "70.0", "80.0", "+20.0", "/"]
    assert shown[start + 1].split()[:4] == ["baseline", "0", "50.0", "60.0"]
    assert "the baseline" in "\n".join(lines(panel(config, rows[:1]), 80))


def test_a_leader_can_win(config: StudyConfig) -> None:
    stopped = [row(0, "FAIL", 0.9), row(1, "PRUNED", 0.8)]
    assert leader(stopped) is None
    assert "no trial has a score yet" in "\n".join(lines(panel(config, stopped), 80))


def test_the_head_tells_states_slots_time_and_cost(config: StudyConfig) -> None:
    rows = [row(0), row(1, "PRUNED", 0.4, 3), row(2, "FAIL", None), row(3, "RUNNING", 0.3, 2)]
    text = " ".join(" ".join(lines(panel(config, rows, elapsed=75.0, name="runs/a"), 200)).split())
    for words in (
        "study runs/a maximising validation mAP, multifidelity with asha",
        "3 of 40 trials 1 COMPLETE 1 PRUNED 1 FAIL 1 RUNNING",
        "elapsed 1:15",
        "1 of 2 slots",
        "15 epochs 1 min 30 s of training",
    ):
        assert words in text, text
    assert "loss is nan" not in text and "died" in text


def test_a_panel_is_no_higher_than_its_terminal(config: StudyConfig) -> None:
    rows = [row(n, "RUNNING" if n < 64 else "COMPLETE", n / 500) for n in range(500)]
    for height in (16, 30, 60):
        shown = lines(panel(config, rows, 64, height=height), 80)
        assert len(shown) <= height and "more not shown" in "\n".join(shown)


def test_a_terminal_without_unicode_gets_no_curves(config: StudyConfig) -> None:
    class Ascii(io.StringIO):
        encoding = "ascii"

    console = Console(file=Ascii(), width=80, record=True)
    console.print(panel(config, STUDIES["40"], limit=5))
    assert not set("▁▂▃▄▅▆▇█━") & set(console.export_text())


@pytest.mark.parametrize(
    ("rows", "seconds"),
    [
        ([], None),
        ([row(0, "RUNNING", None)], None),
        ([row(0, "RUNNING", 0.1, 5)], (39 * 60 + 30) / 2),  # 39 like it to come, and its own half
        ([row(0), row(1, "PRUNED", 0.1, 2)], 38 * 36 / 2),
        ([row(n) for n in range(40)], 0),
    ],
)
def test_what_is_left_is_estimated(
    config: StudyConfig, rows: list[TrialSummary], seconds: float | None
) -> None:
    assert remaining_seconds(panel(config, rows).study, 2, 10.0) == seconds
    shown = " ".join(lines(panel(config, rows, elapsed=None), 80))
    assert " left" not in shown, "without a launch there is nothing to wait for"


@pytest.mark.parametrize(
    ("budget", "seconds"),
    [({"time_budget": 100.0}, 90), ({"epoch_budget": 12}, 2 * 6 / 2), ({"gpu_hours": 0.01}, (36 - 3) / 2)],
)
def test_budgets_end_it_earlier(config: StudyConfig, budget: dict[str, Any], seconds: float) -> None:
    limited = dataclasses.replace(config, gpus_per_trial=1.0, **budget)
    assert remaining_seconds(panel(limited, [row(0)]).study, 2, 10.0) == pytest.approx(seconds)


def record_of(epoch: int, value: float, **changes: Any) -> TrialRecord:
    return dataclasses.replace(row(0, value=value, epoch=epoch).record, **changes)


def follow(live: LaunchDisplay, config: StudyConfig) -> None:
    suggested = {"lr": 0.1, "epochs": 10}
    live.begin(config, [], 2)
    live.announce(TrialEvent(0, "start", suggested, TrialRecord()))
    live.announce(TrialEvent(0, "epoch", suggested, record_of(1, 0.2)))
    live.announce(TrialEvent(0, "epoch", suggested, record_of(2, 0.3)))
    live.announce(TrialEvent(0, "note", suggested, record_of(2, 0.3), "its process died"))
    live.announce(TrialEvent(0, "epoch", suggested, record_of(2, 0.3)))


def test_the_panel_follows_the_events(config: StudyConfig) -> None:
    live = LaunchDisplay(Console(quiet=True), config)
    follow(live, config)
    assert live.panel().slots == 2
    [one] = live.panel().study.trials
    assert (one.state, one.epochs, one.curve) == ("RUNNING", 10, ((10.0, 0.2), (20.0, 0.3))), (
        "an epoch run again counts once"
    )
    live.announce(TrialEvent(0, "paused", {"lr": 0.1}, record_of(2, 0.3)))
    assert live.panel().study.states == {"PAUSED": 1}


def test_a_terminal_shows_the_panel_and_clears_it(config: StudyConfig) -> None:
    file = io.StringIO()
    console = Console(file=file, width=80, height=30, force_terminal=True)
    with LaunchDisplay(console, config, "runs/a") as live:
        follow(live, config)
        console.print(live.panel())
        print("(raylet) A worker died or was killed while executing a task")
        print("something else")
    written = file.getvalue()
    assert "runs/a" in written and "Running" in written and "its process died" in written
    assert "raylet" not in written and "something else" in written
    assert written.rstrip().endswith(("\x1b[?25h", "\x1b[2K")), "the cursor is back"


@pytest.mark.parametrize("width", WIDTHS)
def test_every_phase_of_an_evaluation_has_a_bar(width: int) -> None:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=True, color_system=None)
    with phases(console) as report:
        for phase in ("decode", "query features", "gallery features"):
            report(phase, 12_000, 15_913)
        report("re-ranking", 0, 1)
        report("[red]\x1b[2J", 0, 1)
        report("decode", 15_913, 15_913)
    drawn = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", file.getvalue().rsplit("\x1b[2K", 9)[0])
    for words in ("query features", "gallery features", "12,000 of 15,913", "re-ranking", "[red]\\x1b[2J"):
        assert words in drawn
    assert all(cell_len(line) <= width for part in drawn.split("\n") for line in part.split("\r"))
    with phases(Console(file=(plain := io.StringIO()), width=width)) as report:
        report("decode", 1, 2)
    assert not plain.getvalue().strip()


@pytest.mark.parametrize("name", ["NO_COLOR", "TERM"])
def test_without_colour_or_on_a_dumb_terminal_there_are_lines(
    config: StudyConfig, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    file = Terminal()
    monkeypatch.setattr("sys.stdout", file)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert can_redraw(make_console())
    monkeypatch.setenv(name, "1" if name == "NO_COLOR" else "dumb")
    console = make_console()
    assert not can_redraw(console)
    with LaunchDisplay(console, config) as live:
        follow(live, config)
    assert "\x1b" not in file.getvalue() and "epoch 2/10" in file.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_trials_of_a_study_without_a_driver_are_paused() -> None:
    assert [one.state for one in paused([row(0), row(1, "RUNNING")])] == ["COMPLETE", "PAUSED"]
