"""How far the page says its numbers can be trusted: what it reads, shows, and leaves out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from random_study import HOSTILE, make_study
from summaries import evaluation_of
from synthetic_runs import run

from sa_study.analysis.repeats.confirm import conclude_confirmation, plan_confirmation
from sa_study.report.page.page_study import PageStudy
from sa_study.report.page.plots_effects import forest_plot
from sa_study.report.page.render import render
from sa_study.report.page.sentences import study_verdict, trust_table
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.study.ledger import add_ledger_entry

RATES = {name: 0.5 for name in ("rank1", "rank5", "rank10", "mAP", "mAP_trapezoid", "mINP", "allshots_rank1")}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_study(tmp_path_factory.mktemp("made") / "study", 60)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> StudyFolder:
    return StudyFolder(Path(shutil.copytree(made, tmp_path / "study")))


def confirmed(folder: StudyFolder, gain: float) -> dict[str, Any]:
    """What `confirm` would write if every leader were better by so much."""
    config = StudyConfig.read(folder.config)
    plan = plan_confirmation(PageStudy.read(folder.root), top=2, seeds=3, folds=1)
    runs = [
        run(candidate.point, 0.5 + gain * bool(candidate.trial), seed)
        for seed in plan.seeds
        for candidate in plan.candidates
    ]
    return conclude_confirmation(plan, runs, config.metric)


def retrained(reason: str = "trial 3 won the study") -> dict[str, Any]:
    summary = {name: {"mean": 0.5, "std": 0.01} for name in RATES}
    one = {**RATES, "intervals": {"rank1": [0.4, 0.6], "mAP": None}}
    choice = {"name": "best", "trial": 3, "seeds": [0, 1], "evaluations": [one, RATES], "summary": summary}
    return {"reason": reason, "configurations": [choice], "difference": None, "looks": 1}


def reproduced(**changes: Any) -> dict[str, Any]:
    one = {
        "time": "2026-03-01T10:00:00+00:00",
        "trial": 3,
        "epochs": 20,
        "result": "equal",
        "metric": "mAP",
        "recorded": 0.75,
        "rerun": 0.75,
        "differs": [],
    }
    return {"reproductions": [{**one, **changes}]}


def write(path: Path, content: Any) -> None:
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def evaluate(folder: StudyFolder, **changes: Any) -> None:
    study = PageStudy.read(folder.root)
    write(folder.evaluation, evaluation_of(study, study.winner, 0.5, **changes))


def trust_rows(study: PageStudy) -> list[dict[str, Any]]:
    table = trust_table(study)
    return [dict(zip(table.headings, row, strict=True)) for row in table.rows]


def test_nothing_is_claimed_of_a_study_that_was_only_run(folder: StudyFolder) -> None:
    study = PageStudy.read(folder.root)
    assert study.confirmation is None and not study.notices
    assert [row["95 % interval"] for row in trust_rows(study)] == ["not recorded", "not computed"]
    page = render(study)
    for command in ("confirm --study", "--retrain --seeds 3", "reproduce --study"):
        assert command in page
    assert study.trust.confirmation is None and forest_plot([], "points") is None and "Ablation" not in page


@pytest.mark.parametrize(("gain", "tone"), [(0.2, "good"), (0.0, "poor")])
def test_a_confirmation_is_the_verdict(folder: StudyFolder, gain: float, tone: str) -> None:
    found = confirmed(folder, gain)
    write(folder.confirmation, found)
    study = PageStudy.read(folder.root)
    verdict = study_verdict(study)
    assert verdict.tone == tone and found["verdict"].rstrip(".") in verdict.judgement
    lead = study.trust.lead
    assert lead and lead.mean == pytest.approx(100 * found["curse"]["lead"])
    assert any(row["the interval covers"] == "other identities and other seeds" for row in trust_rows(study))
    assert study.trust.confirmation
    figure = forest_plot(study.trust.confirmation.differences, "points")
    assert figure and sorted(x for trace in figure.data for x in trace.x) == pytest.approx(
        sorted(100 * row["difference"]["mAP"]["mean"] for row in found["configurations"][1:]), abs=1e-3
    )
    page = render(study)
    assert "Winner&#39;s curse" in page and "Single runs" in page


def test_intervals_stand_beside_what_has_them_and_nowhere_else(folder: StudyFolder) -> None:
    evaluate(folder, intervals={"rank1": [0.4, 0.6], "mAP": [0.45, 0.55]})
    study = PageStudy.read(folder.root)
    damaged = {"rank1": "wide", "mAP": [0.1]}
    write(folder.baseline_evaluation, evaluation_of(study, study.baseline, 0.5, intervals=damaged))
    add_ledger_entry(folder, "best")
    add_ledger_entry(folder, "best")
    study = PageStudy.read(folder.root)
    rows = {row["number"]: row for row in trust_rows(study)}
    assert rows["test mAP of the winner"]["95 % interval"] == "45.0–55.0"
    assert rows["test mAP of the baseline"]["95 % interval"] == "not recorded: evaluate again"
    assert rows["test mAP of the winner"]["what biases it"] == "test set seen 3 times", (
        "the file tells of one"
    )
    page = render(study)
    assert "50.0 (40.0–60.0)" in page and page.count("Test set seen 3 times") >= 2


def test_the_final_answer_and_reproductions_are_shown(folder: StudyFolder) -> None:
    write(folder.retrained, retrained())
    write(folder.reproduction, reproduced())
    page = render(PageStudy.read(folder.root))
    assert "best, mean ± std of 2" in page and "50.0 ± 1.0" in page and "50.0 (40.0–60.0)" in page
    assert "trial 3 was rerun over 20 epochs: equal" in page


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        "{}",
        '{"metric": "mAP"}',
        '{"configurations": 3, "reproductions": {}}',
        '{"reason": NaN}',
    ],
)
def test_what_is_damaged_is_left_out_and_named(folder: StudyFolder, content: str) -> None:
    def named(study: PageStudy, path: Path) -> bool:
        return any(line.startswith(f"{path.name} is left out") for line in study.notices)

    files = [folder.confirmation, folder.ablation, folder.retrained, folder.reproduction]
    for path in files:
        path.write_text(content)
        assert named(PageStudy.read(folder.root), path), path.name
        path.unlink()
    for path in files:
        path.write_text(content)
    study = PageStudy.read(folder.root)
    page = render(study)
    for path in files:
        assert path.name in page and named(study, path), path.name


def test_a_damaged_ledger_is_named(folder: StudyFolder) -> None:
    folder.ledger.write_text("{")
    study = PageStudy.read(folder.root)
    assert any("nothing tells how often the test set was seen" in line for line in study.notices)


def test_half_a_confirmation_is_none(folder: StudyFolder) -> None:
    """Every key that is missing, or has another type, leaves the whole out: nothing is half trusted."""
    whole = json.loads(json.dumps(confirmed(folder, 0.2)))
    for key in ("metric", "configurations", "verdict", "winner", "curse", "seeds", "folds", "comparisons"):
        for changed in ({k: v for k, v in whole.items() if k != key}, {**whole, key: object_of(key)}):
            write(folder.confirmation, changed)
            study = PageStudy.read(folder.root)
            if study.trust.confirmation is None:
                assert study.confirmation is None and study.notices
            else:
                render(study)
    write(folder.confirmation, {})
    render(PageStudy.read(folder.root))


def object_of(key: str) -> Any:
    return {"strange": [HOSTILE]} if key != "configurations" else [{"name": HOSTILE}]


def test_hostile_text_stays_text(folder: StudyFolder) -> None:
    found = confirmed(folder, 0.2)
    found["configurations"][1]["name"] = HOSTILE
    found["verdict"] = HOSTILE
    write(folder.confirmation, found)
    write(folder.retrained, retrained(HOSTILE))
    write(folder.reproduction, reproduced(result=HOSTILE, differs=[HOSTILE]))
    study = PageStudy.read(folder.root)
    assert study.trust.confirmation and study.trust.retrained and study.trust.reproduced
    page = render(study)
    assert "<script>window.hacked" not in page and "<img src=x" not in page and "\x1b" not in page


def test_a_confirmation_of_other_trials_says_nothing_of_a_later_winner(folder: StudyFolder) -> None:
    found = confirmed(folder, 0.2)
    winner = PageStudy.read(folder.root).winner
    assert winner
    for row in found["configurations"]:
        if row["trial"] == winner.number:
            row.update(trial=9999, name="trial 9999")
    found["curse"]["trial"] = 9999
    write(folder.confirmation, found)
    study = PageStudy.read(folder.root)
    verdict = study_verdict(study)
    assert verdict.tone == "poor" and verdict.judgement.startswith(f"Trial {winner.number} is not confirmed")
    assert "confirmed: +" not in render(study), "the tile is of the winner of now"
    assert trust_rows(study)[0]["what would tell more"] == "confirm"


def test_half_the_runs_confirm_nothing_yet(folder: StudyFolder) -> None:
    write(folder.confirmation, {**confirmed(folder, 0.2), "complete": False})
    verdict = study_verdict(PageStudy.read(folder.root))
    assert verdict.tone == "fair" and "have not all ended" in verdict.judgement


def test_a_final_answer_alone_is_a_look_at_the_test_set(folder: StudyFolder) -> None:
    assert "The test set has not been opened" in render(PageStudy.read(folder.root))
    write(folder.retrained, retrained())
    add_ledger_entry(folder, "best, retrained")
    study = PageStudy.read(folder.root)
    page = render(study)
    for claim in ("The test set has not been opened", "no figure on this page comes from the test set"):
        assert claim not in page
    row = next(row for row in trust_rows(study) if row["number"] == "test mAP of best, retrained")
    assert (row["value"], row["the interval covers"]) == ("50.0 ± 1.0 %", "other seeds (2 were run)")
    assert row["95 % interval"] == "not computed over seeds"


def test_a_test_figure_of_an_earlier_winner_is_called_that(folder: StudyFolder) -> None:
    evaluate(folder, settings={"lr": 123.0})
    study = PageStudy.read(folder.root)
    assert "test mAP of an earlier winner" in [row["number"] for row in trust_rows(study)]


def test_a_damaged_ledger_does_not_clear_a_figure(folder: StudyFolder) -> None:
    evaluate(folder)
    folder.ledger.write_text("{")
    [*_, last] = trust_rows(PageStudy.read(folder.root))
    assert last["what biases it"] == "unknown: the ledger is damaged"


def test_a_forest_plot_shows_its_line_of_no_difference(folder: StudyFolder) -> None:
    write(folder.confirmation, confirmed(folder, 0.2))
    confirmation = PageStudy.read(folder.root).trust.confirmation
    assert confirmation
    figure = forest_plot(confirmation.differences, "points")
    assert figure
    low, high = figure.layout.xaxis.range
    assert low < 0 < high
    ends = [x + d for trace in figure.data for x, d in zip(trace.x, trace.error_x.array, strict=True)]
    assert high > max(ends)


def test_a_ledger_with_a_hostile_time_is_damaged_and_the_page_says_so(folder: StudyFolder) -> None:
    write(folder.ledger, {"looks": [{"time": "\x1b[31m\u202e"}]})
    evaluate(folder)
    page = render(PageStudy.read(folder.root))
    assert "its ledger is damaged" in page and "\x1b" not in page and "\u202e" not in page
