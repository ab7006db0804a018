"""The study page without a browser: what it reads, says, escapes and refuses."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
import itertools
import json
import os
import re
import shlex
import sqlite3
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CommandLine
from PIL import Image
from random_study import HOSTILE, make_study
from summaries import evaluation_of

from sa_study.metrics import names
from sa_study.report.page import plots_space, plots_trials
from sa_study.report.page.album import read_album
from sa_study.report.page.page_study import PageStudy
from sa_study.report.page.plot_style import for_plot, hover_text
from sa_study.report.page.render import quoted, render
from sa_study.report.page.sentences import study_verdict
from sa_study.report.page.tables import commands, rung_table
from sa_study.report.text import short
from sa_study.report.verdict import test_gain
from sa_study.study.lock import driver_lock
from sa_study.study.trial_summary import TrialSummary

test_gain.__test__ = False  # type: ignore[attr-defined]
DATA = {"query": "a" * 64, "gallery": "b" * 64}
FIGURES = names.TEST_FIGURES
SECTIONS = ["verdict", "trust", "leaderboard", "history", "curves", "parallel", "importance"]
SECTIONS += ["slices", "model", "timeline", "pictures", "settings", "provenance", "rerun"]


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> PageStudy:
    return PageStudy.read(make_study(tmp_path_factory.mktemp("page") / "forty", 40, running=2))


class Elements(HTMLParser):
    """Tags and texts of a page, as a parser of HTML sees them."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def evaluate(root: Path, name: str, value: float, **changes: Any) -> None:
    study = PageStudy.read(root)
    trial = study.winner if name == "evaluation.json" else study.baseline
    (root / name).write_text(json.dumps(evaluation_of(study, trial, value, **changes)))


def test_reading_a_study(forty: PageStudy) -> None:
    assert len(forty.trials) == 40 and forty.states["RUNNING"] == 2 and forty.driver is None
    assert forty.baseline is not None and forty.baseline.number == 0
    best = forty.winner
    assert best is not None and best.score == max(t.score or 0 for t in forty.trials if t.complete)
    assert (
        best.epochs == best.params["epochs"] == best.record.epoch
        and best.figures["rank1"] > best.figures["mAP"]
    )
    assert forty.complete[0] is forty.winner
    assert forty.cost.epochs == sum(trial.record.epoch for trial in forty.trials)


def test_reading_writes_nothing(tmp_path: Path) -> None:
    root = make_study(tmp_path / "s", 3)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    render(PageStudy.read(root))
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_the_driver_of_a_running_study_is_named(tmp_path: Path, tool: CommandLine) -> None:
    root = make_study(tmp_path / "s", 3, running=1)
    with driver_lock(root / "driver.lock"):
        assert f"process {os.getpid()}" in str(PageStudy.read(root).driver)
        assert tool("report", "--study", root, "--out", tmp_path / "page.html")[0] == 0
    assert f"running (process {os.getpid()}" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("count", [0, 1, 2, 12])
@pytest.mark.parametrize("failed_only", [False, True])
def test_every_section_is_there(tmp_path: Path, count: int, failed_only: bool) -> None:
    study = PageStudy.read(make_study(tmp_path / "s", count, failed_only=failed_only))
    page = Elements(render(study))
    assert [a["id"] for tag, a in page.tags if tag == "section"] == SECTIONS
    if failed_only and count:
        assert "failed" in study_verdict(study).headline


def test_the_verdict_first(forty: PageStudy) -> None:
    page = render(forty)
    assert page.index(study_verdict(forty).headline.split(",")[0]) < page.index('id="leaderboard"')


def test_test_figures_say_which_average_precision(tmp_path: Path) -> None:
    root = make_study(tmp_path / "s", 12)
    evaluate(root, "evaluation.json", 0.777)
    evaluate(root, "baseline_evaluation.json", 0.555)
    study = PageStudy.read(root)
    gain = test_gain(study)
    assert gain and gain.mean == pytest.approx(0.222) and gain.low is None
    page = Elements(render(study)).text
    assert "mean of k/position over a query's matches, as scikit-learn" in page
    assert "77.7" in page and "55.5" in page and page.count("9 queries, 30 gallery") == 1
    assert "+22.2 points" in page
    evaluate(root, "evaluation.json", 0.777, queries=8, data={**DATA, "query": "c" * 64})
    page = Elements(render(PageStudy.read(root))).text
    assert "+22.2" not in page and "they ranked different query images (8 and 9)" in page
    assert "winner (8 queries, 30 gallery images)" in page
    assert "baseline (9 queries, 30 gallery images)" in page
    evaluate(root, "evaluation.json", 0.777, settings={"lr": -1})
    assert test_gain(PageStudy.read(root)) is None
    assert "of an earlier winner" in render(PageStudy.read(root))


def test_headings_follow_the_table_of_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reordered and renamed, each figure still stands below its own heading, in both tables."""
    root = make_study(tmp_path / "s", 12)
    evaluate(root, "evaluation.json", 0.5, **{name: n / 100 for n, name in enumerate(FIGURES)})
    figures = {name: dataclasses.replace(names.FIGURES[name], label=f"<{name}>") for name in names.FIGURES}
    monkeypatch.setattr(names, "FIGURES", figures)
    monkeypatch.setattr(names, "TEST_FIGURES", names.TEST_FIGURES[::-1])
    monkeypatch.setattr(names, "STUDY_METRICS", names.STUDY_METRICS[::-1])
    study = PageStudy.read(root)
    page = render(study)
    tables = [
        html.unescape(re.sub("<[^>]*>", "|", table)) for table in re.findall("<table.*?</table>", page, re.S)
    ]
    cells = [[cell.strip() for cell in re.split(r"[|\n]+", table) if cell.strip()] for table in tables]
    test = next(row for row in cells if "<mINP>" in row)
    assert test[1:] == [
        *(f"<{name}>" for name in FIGURES[::-1]),
        "winner",
        *(f"{n}.0" for n in reversed(range(len(FIGURES)))),
    ]
    board = next(row for row in cells if "best epoch" in row)
    assert board[2:4] == ["<mAP>", "<rank1>"]
    best = study.winner
    assert best and board[board.index("complete") + 1 :][:2] == [
        f"{100 * best.figures[name]:.1f}" for name in ("mAP", "rank1")
    ]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"mAP": "<b>"}', '{"mAP": NaN}', "[" * 9999])
def test_what_lies_beside_may_be_damaged(tmp_path: Path, content: str) -> None:
    root = make_study(tmp_path / "s", 3)
    for name in ("evaluation.json", "provenance.json"):
        (root / name).write_text(content)
    assert "evaluation.json is left out" in render(PageStudy.read(root))


def test_rungs_and_what_became_of_trials_there(forty: PageStudy) -> None:
    shares, *counts = zip(*rung_table(forty).rows, strict=True)
    assert shares == ("20 %", "40 %", "80 %")
    reached, stopped, continued = ([int(str(count)) for count in column] for column in counts)
    assert [a - b for a, b in zip(reached, stopped, strict=True)] == continued
    assert sum(stopped) == forty.states["PRUNED"]
    assert reached[0] >= reached[1] >= reached[2] >= len(forty.complete)


def test_no_two_trials_share_a_slot_at_a_time(forty: PageStudy) -> None:
    lanes = plots_trials.slots_of_trials(forty)
    assert len(lanes) == 40 and max(lanes.values()) + 1 == 4
    by_lane: dict[int, list[TrialSummary]] = {}
    for item in forty.trials:
        by_lane.setdefault(lanes[item.number], []).append(item)
    for items in by_lane.values():
        for one, other in itertools.pairwise(items):
            assert one.end is None or (other.start or one.end) >= one.end


def test_figures_hold_the_studys_values(forty: PageStudy) -> None:
    history: Any = plots_trials.history(forty)
    shown = {x: y for t in history.data if t.mode == "markers" for x, y in zip(t.x, t.y, strict=True)}
    for item in forty.trials:
        if item.score is not None:
            assert shown[item.number] == pytest.approx(100 * item.score, abs=1e-3)
    assert tuple(next(t for t in history.data if t.name == "winner").x) == (
        forty.winner and forty.winner.number,
    )
    curves: Any = plots_trials.curves(forty)
    drawn = sum(value is not None for t in curves.data if "lines" in t.mode for value in t.y)
    assert drawn == sum(len(item.curve) for item in forty.trials)
    assert [shape.x0 for shape in curves.layout.shapes] == [20, 40, 80]
    parallel: Any = plots_space.parallel(forty)
    numbers = {n for t in parallel.data for n in t.customdata if n is not None}
    assert numbers == {item.number for item in forty.trials if item.score is not None}


def test_two_objectives(tmp_path: Path) -> None:
    study = PageStudy.read(make_study(tmp_path / "s", 20, minimize="cost"))
    front: Any = plots_trials.front(study)
    assert study.front and front.data[0].name == "Pareto front"
    assert "Both objectives" in render(study)


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    root = make_study(tmp_path / "s<img src=x>'\"&", 10, hostile=HOSTILE)
    page = render(PageStudy.read(root))
    elements = Elements(page)
    nonces = {a["nonce"] for tag, a in elements.tags if tag == "script" and "nonce" in a}
    assert len(nonces) == 1 and f"script-src 'nonce-{nonces.pop()}'" in page
    for tag, attributes in elements.tags:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        if tag == "script":
            assert "nonce" in attributes or attributes["type"] in ("application/json", "text/plain")
    assert not any(tag == "img" and a.get("src") == "x" for tag, a in elements.tags)
    assert "window.hacked=1" in elements.text and "{{7*7}}" in elements.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", page)


def test_labels_of_figures_are_escaped(tmp_path: Path) -> None:
    study = PageStudy.read(make_study(tmp_path / "s", 10, hostile="<b>x</b>&lt;"))
    text = hover_text(study, study.trials[0])
    assert "&lt;b&gt;x&lt;/b&gt;&amp;lt;" in text and "<b>x" not in text
    assert for_plot("a<br>\nb") == r"a&lt;br&gt;\nb"


def test_text() -> None:
    assert short("x" * 999, 10) == "xxxxxxxxx…"
    nasty = {"</script><!--": "&\u2028"}
    text = quoted(json.dumps(nasty))
    assert "<" not in text and json.loads(text) == nasty


def test_commands_survive_a_shell(tmp_path: Path) -> None:
    root = make_study(tmp_path / "my $(study); rm 'x'", 12)
    found = dict(commands(PageStudy.read(root)))
    words = shlex.split(found["Write this page again"])
    assert words == ["python", "run_study.py", "report", "--study", str(root)]
    assert shlex.split(found["Train the winner once more, without Ray"])[4] == str(root / "best.yaml")


class TestPictures:
    """What becomes of a study's pictures."""

    def test_groups_and_sizes(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        for name in ("ranked_best", "ranked_worst", "attention_stage1", "cmc", "zebra-1"):
            Image.fromarray(rng.integers(0, 256, (300, 450, 3), dtype=np.uint8)).save(
                tmp_path / f"{name}.png"
            )
        (tmp_path / "broken.png").write_bytes(b"\x89PNG no")
        (tmp_path / "text.txt").write_text("no picture")
        album = read_album(tmp_path)
        assert list(album.groups) == ["Ranked galleries", "Attention maps", "CMC curve", "Zebra"]
        ranked = album.groups["Ranked galleries"]
        assert [picture.caption for picture in ranked] == ["ranked best", "ranked worst"]
        assert album.notices == ["broken.png is left out: it is no picture that can be read"]
        picture = ranked[0]
        content = base64.b64decode(picture.uri.split(",")[1])
        assert Image.open(io.BytesIO(content)).size == (picture.width, picture.height) == (450, 300)

    def test_pictures_are_reduced_until_they_fit(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        for index in range(6):
            noise = rng.integers(0, 256, (700, 700, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / f"p_{index}.png")
        album = read_album(tmp_path, max_bytes=1_500_000)
        [pictures] = album.groups.values()
        assert (
            len(pictures) == 6 and sum(len(p.uri) for p in pictures) <= 1_500_000 and pictures[0].width < 700
        )
        few = read_album(tmp_path, max_bytes=300_000)
        assert len(few.groups["P"]) < 6 and "pictures are left out" in few.notices[0]

    def test_in_the_page(self, tmp_path: Path) -> None:
        root = make_study(tmp_path / "s", 2)
        assert "There are no pictures yet" in render(PageStudy.read(root))
        (root / "pictures").mkdir()
        Image.new("RGB", (30, 20), "red").save(root / "pictures" / "ranked_<i>best.png")
        page = render(PageStudy.read(root))
        assert "data:image/webp;base64," in page and "&lt;i&gt;best" in page and "<i>best" not in page


class TestBadInput:
    """One line, exit code 2, and nothing written."""

    def test_no_study(self, tmp_path: Path, tool: CommandLine) -> None:
        (tmp_path / "empty").mkdir()
        (tmp_path / "foreign").mkdir()
        (tmp_path / "foreign" / "study.yaml").write_text("a: 1")
        (tmp_path / "foreign" / "optuna.db").write_text("")
        tool.refuses("report", "--study", tmp_path / "gone", naming=["no such folder"])
        tool.refuses("report", "--study", tmp_path / "empty", naming=["is not a study folder"])
        tool.refuses("report", "--study", tmp_path / "foreign", naming=["is no study description"])

    def test_damage(self, tmp_path: Path, tool: CommandLine) -> None:
        root = make_study(tmp_path / "s", 2)
        with closing(sqlite3.connect(root / "optuna.db")) as database, database:
            database.execute("UPDATE trial_user_attributes SET value_json = '{\"theirs\": 1}'")
        tool.refuses("report", "--study", root, naming=["holds records that this version cannot read"])
        (root / "optuna.db").write_bytes(b"x" * 5000)
        tool.refuses("report", "--study", root, naming=["optuna.db"])

    def test_where_nothing_can_be_written(
        self, tmp_path: Path, tool: CommandLine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root = make_study(tmp_path / "s", 1)
        report = ("report", "--study", root)
        tool.refuses(*report, "--out", tmp_path, naming=["is a folder"])
        tool.refuses(*report, "--out", tmp_path / "no" / "a.html", naming=["no folder"])
        tool.refuses(*report, "--out", root / "study.yaml" / "a.html", naming=["study.yaml"])

        def denied(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied", str(root / "report.html"))

        monkeypatch.setattr("sa_study.report.page.render.write_text", denied)  # tests may run as root
        line = "report.html: cannot be written (Permission denied); give another file with --out"
        tool.refuses(*report, naming=[line])


def test_the_command_says_where_and_what(tmp_path: Path, tool: CommandLine) -> None:
    root = make_study(tmp_path / "s", 12)
    code, said, _ = tool.run("report", "--study", root)
    lines = said.splitlines()
    assert code == 0 and len(lines) == 2
    assert "validation mAP" in lines[0] and str(root / "report.html") in lines[1]
    assert 1e6 < (root / "report.html").stat().st_size < 8e6
    assert {path.name for path in root.iterdir()} == {
        *("optuna.db", "provenance.json", "report.html", "study.yaml")
    }
