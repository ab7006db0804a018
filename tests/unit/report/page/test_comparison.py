"""The page of several studies without a browser: what it compares, what it refuses to compare, and why."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from command_line import CommandLine
from random_study import SPACE, make_study
from synthetic_runs import DATA, evaluation

from sa_study.analysis.compare import compare_evaluations
from sa_study.report.page.comparison import Comparison, distinct_names
from sa_study.report.page.comparison_sentences import comparison_verdict
from sa_study.report.page.comparison_tables import (
    budget_table,
    common_settings,
    cost_table,
    difference_table,
    score_table,
    search_table,
    space_table,
    winner_table,
)
from sa_study.report.page.plot_style import STUDY_COLOURS
from sa_study.report.page.plots_trials import best_so_far
from sa_study.report.page.render import render_comparison
from sa_study.study.config import StudyConfig
from sa_study.study.database import open_storage
from sa_study.study.folder import StudyFolder
from sa_study.study.records import CONFIRMS, STUDY_NAME
from sa_study.utils.errors import StudyFolderError

WIDE = dataclasses.replace(SPACE, baseline={**SPACE.baseline, "lr": 0.02})
SMALL = dataclasses.replace(
    SPACE,
    search={"lr": dataclasses.replace(SPACE.search["lr"], high=0.1), "epochs": SPACE.search["epochs"]},
    fixed={**SPACE.fixed, "dropout": 0.3},
    baseline={"lr": 0.1, "epochs": 20},
)
OTHER = "c" * 64


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three studies of the same data: `wide` of 25 trials, `small` of 15, `short` of 6, of which one runs."""
    root = tmp_path_factory.mktemp("several")
    make_study(root / "wide", 25, space=WIDE)
    make_study(root / "small", 15, space=SMALL)
    make_study(root / "short", 6, running=1)
    return root


@pytest.fixture
def studies(made: Path, tmp_path: Path) -> Path:
    """Copies of them, to be changed."""
    shutil.copytree(made, tmp_path / "studies")
    return tmp_path / "studies"


def compared(root: Path, *names: str) -> Comparison:
    return Comparison.read([root / name for name in names])


def evaluate(root: Path, mean: float, **changes: Any) -> None:
    """Writes an evaluation of the winner with the scores of single queries."""
    [study] = Comparison.read([root]).studies.values()
    assert study.winner
    settings = study.settings(study.winner).to_dict()
    about = {"settings": settings, "checkpoint_epoch": study.winner.best_epoch, **changes}
    (root / "evaluation.json").write_text(json.dumps(evaluation(mean, **about)))


def change_space(root: Path, **fixed: Any) -> None:
    config = StudyConfig.read(root / "study.yaml")
    space = dataclasses.replace(config.space, fixed={**config.space.fixed, **fixed})
    dataclasses.replace(config, space=space).write(root / "study.yaml")


def text_of(page: str) -> str:
    return re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", page, flags=re.S)


def cells(table: Any) -> dict[str, dict[str, str]]:
    """Rows by their first cell, and cells by their heading."""
    return {row[0]: dict(zip(table.headings[1:], map(str, row[1:]), strict=True)) for row in table.rows}


def test_whose_winner_is_best(made: Path) -> None:
    found = compared(made, "short", "wide", "small")
    assert [group.studies for group in found.groups] == [("short", "wide", "small")]
    winners = {name: study.winner for name, study in found.studies.items()}
    scores = {name: winner.score for name, winner in winners.items() if winner and winner.score}
    assert len(scores) == 3
    order = sorted(scores, key=lambda name: -scores[name])
    assert [name for name, _ in found.ranked(found.groups[0])] == order
    said = comparison_verdict(found)
    lead = 100 * (scores[order[0]] - scores[order[1]])
    assert said.headline.startswith(
        f"{order[0]} has the best winner: validation mAP {100 * scores[order[0]]:.1f} %"
    )
    assert f"{lead:+.1f} points over that of {order[1]}" in said.headline
    rows = cells(score_table(found, found.groups[0]))
    for name, winner in winners.items():
        assert winner and rows[name]["mAP"].startswith(f"{100 * scores[name]:.1f}")
        assert rows[name]["trial"] == str(winner.number)


def test_the_best_so_far_and_what_it_had_cost(made: Path) -> None:
    """Against a plain sum over the trials."""
    for study in compared(made, "wide", "short").studies.values():
        assert study.winner and study.leaders[-1].trial == study.winner.number
        scores = [leader.score for leader in study.leaders]
        assert scores == sorted(set(scores)) and study.leaders[-1].hours <= study.hours
        ended = {trial.number: trial.end for trial in study.trials}
        for leader in study.leaders:
            epochs = hours = 0.0
            now = ended[leader.trial]
            assert now
            for trial in study.trials:
                assert trial.start
                length = ((trial.end or now) - trial.start).total_seconds()
                if trial.end is None:
                    length = trial.record.seconds
                share = min(max((now - trial.start).total_seconds() / length, 0.0), 1.0)
                epochs += share * trial.record.epochs_run
                hours += share * trial.record.gpu_seconds / 3600
            assert (leader.epochs, leader.hours) == pytest.approx((epochs, hours))
            earlier = [t.score or 0 for t in study.complete if t.end and t.end < now]
            assert leader.score > max(earlier, default=0.0)


def test_scores_at_the_same_cost(made: Path) -> None:
    found = compared(made, "wide", "small", "short")
    table = budget_table(found, found.groups[0])
    assert table
    least = found.studies["short"].cost.epochs
    assert table.headings[-1] == f"{least:,} epochs" and len(table.headings) == 5
    for name, row in cells(table).items():
        study = found.studies[name]
        for heading, value in row.items():
            epochs = int(heading.split()[0].replace(",", ""))
            known = [leader.score for leader in study.leaders if leader.epochs <= epochs]
            assert value == (f"{100 * max(known):.1f}" if known else "–")


def test_curves_have_the_values_and_a_colour_each(made: Path) -> None:
    found = compared(made, "wide", "small")
    figure: Any = best_so_far(found, ["wide", "small"], "epochs")
    for trace, study in zip(figure.data, found.studies.values(), strict=True):
        assert list(trace.y[:-1]) == pytest.approx([100 * one.score for one in study.leaders], abs=1e-3)
        assert trace.x[-1] == study.cost.epochs and trace.y[-1] == trace.y[-2]
    assert len({trace.line.color for trace in figure.data}) == 2
    assert best_so_far(found, ["wide", "small"], "GPU-hours") is not None
    assert best_so_far(found, ["wide", "small"], "CPU-hours") is None, "both had GPUs"


def test_hours_of_cpus_are_not_drawn_over_those_of_gpus(studies: Path) -> None:
    without_gpus(studies / "small")
    found = compared(studies, "wide", "small")
    table = cells(cost_table(found))
    seconds = found.studies["small"].cost.seconds
    assert table["small"]["CPU-hours"] == f"{seconds / 3600:.2f}" and table["small"]["GPU-hours"] == "–"
    assert table["wide"]["CPU-hours"] == "–"
    for unit, name in (("GPU-hours", "wide"), ("CPU-hours", "small")):
        figure: Any = best_so_far(found, ["wide", "small"], unit)
        assert [trace.name for trace in figure.data] == [name]
    page = text_of(render_comparison(found))
    assert "over GPU-hours" in page and "over CPU-hours" in page


def without_gpus(root: Path) -> None:
    with closing(sqlite3.connect(root / "optuna.db")) as database, database:
        database.execute(
            "UPDATE trial_user_attributes SET value_json = json_set(value_json, '$.gpu_seconds', 0.0) "
            "WHERE key = 'record'"
        )


def test_which_settings_differ(made: Path) -> None:
    found = compared(made, "wide", "small")
    rows = cells(space_table(found))
    assert rows == {
        "attention": {"wide": "mean | softmax | none", "small": "mean (fixed)"},
        "dropout": {"wide": "0 … 0.8, step 0.1", "small": "0.3 (fixed)"},
        "lr": {"wide": "0.003 … 0.3, log", "small": "0.003 … 0.1, log"},
    }
    alike = dict(common_settings(found))
    assert alike["epochs"] == "10 … 20" and alike["backbone"] == "resnet18 (fixed)"
    assert not rows.keys() & alike.keys()
    winners = winner_table(found)
    assert winners
    for name, study in found.studies.items():
        assert study.winner and cells(winners)["lr"][name] == f"{study.winner.params['lr']:.4g}"
    assert cells(winners)["dropout"]["small"] == "0.3"
    assert "momentum" not in cells(winners), "the same in both, and not searched"
    about = cells(search_table(found))
    assert about["trials asked for"] == {"wide": "25", "small": "15"}


def test_test_figures_are_subtracted_as_compare_does(studies: Path) -> None:
    evaluate(studies / "wide", 0.7)
    evaluate(studies / "small", 0.6)
    found = compared(studies, "wide", "small", "short")
    table = difference_table(found, found.test_groups[0])
    assert table and [row[0] for row in table.rows] == ["small − wide"]
    stated = compare_evaluations(studies / "wide", studies / "small")["plain"]["mAP"]
    ends = " to ".join(f"{100 * stated[end]:+.1f}" for end in ("low", "high"))
    assert cells(table)["small − wide"]["mAP"] == f"{100 * stated['difference']:+.1f} ({ends})"
    page = text_of(render_comparison(found))
    assert "short: its winner was not evaluated." in page and "9 queries" not in page
    assert "compare" in page and f"compare {studies}/wide {studies}/small" in page


APART: dict[str, tuple[Callable[[Path], object], str]] = {
    "images": (
        lambda root: (root / "provenance.json").write_text(
            json.dumps({"data_fingerprint": "cd" * 32, "launches": []})
        ),
        "they have different training images",
    ),
    "unknown images": (
        lambda root: (root / "provenance.json").unlink(),
        "which training images were used is not recorded for both",
    ),
    "split": (
        lambda root: change_space(root, val_identities=50),
        "they were scored on different held-out identities (val_identities is 100 and 50)",
    ),
}


@pytest.mark.parametrize("name", APART)
def test_other_data_or_protocols_are_not_ranked(studies: Path, name: str) -> None:
    change, reason = APART[name]
    change(studies / "small")
    found = compared(studies, "wide", "small", "short")
    page = text_of(render_comparison(found))
    assert [group.studies for group in found.groups] == [("wide", "short"), ("small",)]
    said = comparison_verdict(found)
    assert said.headline == "The winners of these 3 studies cannot all be compared."
    assert f"small cannot be compared with wide and short: {reason}." in said.reasons
    assert f"Not comparable with wide and short: {reason}." in page
    assert not re.search(r"points over that of small|small has the best", page)
    figure: Any = best_so_far(found, found.groups[0].studies, "epochs")
    assert [trace.name for trace in figure.data] == ["wide", "short"]


def test_studies_of_different_figures_are_not_ranked(studies: Path) -> None:
    config = StudyConfig.read(studies / "small" / "study.yaml")
    dataclasses.replace(config, metric="rank1").write(studies / "small" / "study.yaml")
    found = compared(studies, "wide", "small")
    assert found.groups[1].reason == "they are scored by different figures (mAP and rank-1)"
    assert score_table(found, found.groups[1]).headings[3] == "rank-1"


def test_test_figures_of_other_images_are_not_subtracted(studies: Path) -> None:
    evaluate(studies / "wide", 0.7)
    evaluate(studies / "small", 0.6, data={**DATA, "query": OTHER})
    found = compared(studies, "wide", "small")
    assert [group.studies for group in found.test_groups] == [("wide",), ("small",)]
    assert found.test_difference("wide", "small", "mAP") is None
    page = text_of(render_comparison(found))
    assert "Not comparable with wide: they ranked different query images (180 and 180)." in page
    assert "small − wide" not in page and "compare " + str(studies) not in page


def test_an_evaluation_of_an_earlier_winner_is_left_out(studies: Path) -> None:
    evaluate(studies / "wide", 0.7, checkpoint_epoch=99)
    evaluate(studies / "small", 0.6)
    page = text_of(render_comparison(compared(studies, "wide", "small")))
    assert "wide: its test figures are of an earlier winner: run evaluate again." in page


def test_what_can_be_believed(studies: Path) -> None:
    found = compared(studies, "wide", "short")
    assert "chose from" in " ".join(comparison_verdict(found).reasons)
    shutil.copytree(studies / "wide", studies / "twin")
    twins = comparison_verdict(compared(studies, "wide", "twin"))
    assert twins.headline.startswith("wide and twin have equally good winners") and twins.tone == "unknown"


def test_studies_that_have_found_nothing_yet(made: Path, tmp_path: Path) -> None:
    kinds: dict[str, dict[str, Any]] = {
        "none": {"count": 0},
        "begun": {"count": 1, "running": 1},
        "failed": {"count": 3, "failed_only": True},
    }
    empty = [make_study(tmp_path / name, **more) for name, more in kinds.items()]
    found = Comparison.read([made / "wide", *empty])
    assert comparison_verdict(found).headline.startswith("Only wide has a winner: validation mAP ")
    assert render_comparison(found)
    nothing = Comparison.read(empty)
    assert comparison_verdict(nothing).headline == "No trial of none, begun and failed is complete yet."
    assert "Nothing to draw yet" in render_comparison(nothing)


def test_names_tell_studies_apart(tmp_path: Path) -> None:
    paths = [Path("/runs/a/study"), Path("/runs/b/study"), Path("/runs/b/other")]
    assert distinct_names(paths) == ["a/study", "b/study", "b/other"]
    assert distinct_names(paths[1:]) == ["study", "other"] and distinct_names([Path("/")]) == ["/"]


def test_many_studies_have_lines_of_their_own(tmp_path: Path) -> None:
    names = [str(number) for number in range(len(STUDY_COLOURS) + 1)]
    roots = [make_study(tmp_path / names[0], 3)]
    roots += [Path(shutil.copytree(roots[0], tmp_path / name)) for name in names[1:]]
    figure: Any = best_so_far(Comparison.read(roots), names, "epochs")
    assert len({(trace.line.color, trace.line.dash) for trace in figure.data}) == len(names)


def test_names_of_folders_stay_text(tmp_path: Path) -> None:
    roots = [make_study(tmp_path / f"{index}<img src=x>'\"&{{{{7*7}}}}\u202e", 8) for index in range(2)]
    page = render_comparison(Comparison.read(roots))
    assert "<img" not in page and "\u202e" not in page and "&lt;img src=x&gt;" in page and "{{7*7}}" in page


class TestCommand:
    """`report A B C`."""

    def test_one_page_in_the_working_folder(
        self, studies: Path, tool: CommandLine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(studies)
        before = {path: path.stat().st_mtime_ns for path in studies.rglob("*/*")}
        for _ in range(2):  # its own page is written anew
            code, said, error = tool.run("report", "wide", "small", "short")
            assert code == 0, error
        verdict, written = said.splitlines()[0], said.splitlines()[-1]
        assert "has the best winner: validation mAP" in verdict and "written: comparison.html" in written
        assert {path: path.stat().st_mtime_ns for path in studies.rglob("*/*")} == before
        page = (studies / "comparison.html").read_text()
        assert re.findall(r'<section id="(\w+)"', page) == [
            *("verdict", "winners", "progress", "test", "spaces", "provenance", "rerun")
        ]
        assert "report.html" not in {path.name for path in studies.rglob("*")}

    def test_one_study_by_its_folder(
        self, studies: Path, tool: CommandLine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = Path(shutil.copytree(studies / "short", studies / "other"))
        monkeypatch.setenv("SA_STUDY_STUDY", str(other))
        assert tool.run("report", studies / "short")[0] == 0
        assert (studies / "short" / "report.html").is_file() and not (other / "report.html").exists()
        assert tool.run("report")[0] == 0 and (other / "report.html").is_file()

    def test_what_it_refuses(self, studies: Path, tool: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(studies)
        monkeypatch.delenv("SA_STUDY_STUDY", raising=False)
        (studies / "link").symlink_to("wide")
        (studies / "empty").mkdir()
        (studies / "notes.txt").write_text("mine")
        shutil.copytree("small", "damaged")
        (studies / "damaged" / "optuna.db").write_bytes(b"x" * 5000)
        tool.refuses("report", naming=["--study"])
        tool.refuses("report", "wide", "--study", "small", naming=["--study"])
        tool.refuses("report", "wide", "small", "wide", naming=["wide: is given twice"])
        tool.refuses("report", "wide", "link", naming=["link", "twice"])
        tool.refuses("report", "wide", "short/../wide", naming=["short/../wide", "twice"])
        tool.refuses("report", "wide", "gone", naming=["gone: no such folder"])
        tool.refuses("report", "wide", "empty", naming=["empty: is not a study folder"])
        tool.refuses("report", "wide", "notes.txt", naming=["notes.txt"])
        tool.refuses("report", "wide", "damaged", "small", naming=["damaged/optuna.db"])
        tool.refuses("report", "wide", "small", "--out", "empty", naming=["--out empty: is a folder"])
        tool.refuses("report", "wide", "small", "--out", "no/a.html", naming=["there is no folder no"])
        tool.refuses("report", "wide", "small", "--out", "notes.txt", naming=["notes.txt", "no HTML page"])
        tool.refuses("report", "--study", "wide", "--out", "small/study.yaml", naming=["no HTML page"])


def test_studies_of_repeats_have_no_winner_to_compare(studies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = open_storage(StudyFolder(studies / "small"))
    optuna.load_study(study_name=STUDY_NAME, storage=storage).set_user_attr(CONFIRMS, {})
    with pytest.raises(StudyFolderError, match="small: was made by confirm or ablate"):
        compared(studies, "wide", "small")
