"""Whether a gain can be trusted: one judgement for page, terminal and JSON, and never more than is known."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from random_study import make_study
from synthetic_runs import DATA, evaluation

from sa_study.metrics import names
from sa_study.report.json_document import study_document
from sa_study.report.page.view import StudyView, TrialView, read_view
from sa_study.report.page.words import give_verdict
from sa_study.report.terminal.study import judgement_line, verdict
from sa_study.report.verdict import epoch_noise, judge, test_gain, validation_lead
from sa_study.settings.space import Parameter
from sa_study.study.database import open_readonly, read_about, trials_in
from sa_study.study.folder import StudyFolder
from sa_study.study.records import choose_winner

test_gain.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> StudyView:
    return read_view(make_study(tmp_path_factory.mktemp("verdict") / "forty", 40, running=2))


def trial(number: int, score: float, *late: float, **figures: float) -> TrialView:
    curve = tuple((70.0 + 10 * index, value) for index, value in enumerate(late))
    params = {"lr": 0.1 + number}
    return TrialView(number, "COMPLETE", params, score=score, best_epoch=9, curve=curve, figures=figures)


STEADY = [trial(number, 0.5 + 0.001 * number, 0.5, 0.51, 0.5, 0.51) for number in range(6)]
SILENT = [trial(number, 0.5 + 0.001 * number, 0.5) for number in range(6)]
CLEAR = trial(6, 0.8, 0.79, 0.8, 0.79, 0.8)


def study(forty: StudyView, trials: list[TrialView], winner: int | None = 6, **more: Any) -> StudyView:
    return StudyView(forty.root, forty.config, tuple(trials), winner, **more)


@pytest.mark.parametrize(
    ("trials", "winner", "tone", "words"),
    [
        ([*STEADY, CLEAR], 6, "fair", "clear on validation; the test set has not been asked"),
        ([*STEADY, trial(6, 0.507, 0.5, 0.507)], 6, "poor", "may be luck"),
        ([*STEADY, trial(6, 0.527, 0.5, 0.51)], 6, "fair", "more than chance would give, but not by much"),
        ([*STEADY[:2], CLEAR], 6, "fair", "rests on few complete trials"),
        ([trial(0, 0.9, 0.9)], 0, "fair", "nothing better"),
        ([TrialView(0, "FAIL", {}), CLEAR], 6, "unknown", "cannot be judged: the baseline has no score"),
        ([*SILENT, trial(6, 0.9, 0.9)], 6, "unknown", "cannot be judged: how far scores move by chance"),
        ([STEADY[0], trial(6, 0.52)], 6, "unknown", "cannot be judged: it is small, and few trials"),
        ([TrialView(0, "PRUNED", {}, score=0.5), CLEAR], 6, "unknown", "cannot be judged: how far scores"),
        ([], None, "unknown", "nothing to trust yet"),
    ],
)
def test_what_is_not_known_is_not_judged(
    forty: StudyView, trials: list[TrialView], winner: int | None, tone: str, words: str
) -> None:
    found = judge(study(forty, trials, winner))
    assert found.tone == tone and words in found.text
    assert "real" not in found.text and len(found.text) < 80, "it fits a terminal's line"


@pytest.mark.parametrize(
    ("winner", "baseline", "apart"),
    [((0.45, 0.95), None, False), (None, (0.2, 0.81), False), ((0.6, 0.9), (0.3, 0.7), True)],
)
def test_intervals_that_overlap_widely_never_stand_beside_a_clear_gain(
    forty: StudyView, winner: Any, baseline: Any, apart: bool
) -> None:
    def with_ends(one: TrialView, ends: tuple[float, float] | None) -> TrialView:
        figures = dict(zip(names.INTERVALS["mAP"], ends, strict=True)) if ends else {}
        return dataclasses.replace(one, figures=figures)

    trials = [with_ends(STEADY[0], baseline), *STEADY[1:], with_ends(CLEAR, winner)]
    found = judge(study(forty, trials))
    assert ("clear" in found.text) == apart and (found.tone == "unknown") == (not apart)
    assert apart or "overlap widely" in found.text


def test_the_test_set_confirms_only_with_an_interval_above_zero(forty: StudyView) -> None:
    best, baseline = evaluation(0.6, settings={"lr": 6.1}), evaluation(0.5, settings={})

    def of(best: dict[str, Any], baseline: dict[str, Any]) -> StudyView:
        return study(forty, [*STEADY, CLEAR], evaluations={"best": best, "baseline": baseline})

    confirmed = of(best, baseline)
    assert "the test set confirms it" in judge(confirmed).text and judge(confirmed).tone == "good"
    gain = test_gain(confirmed)
    assert gain and gain.low and gain.high and gain.low < gain.mean < gain.high
    assert "95 % interval +" in give_verdict(confirmed).reasons[-1]
    assert (
        "does not settle it"
        in judge(of(evaluation(0.505, settings={"lr": 6.1}), evaluation(0.504, settings={}))).text
    )
    older = {name: value for name, value in best.items() if name != "per_query"}
    close = of(evaluation(0.505, settings={"lr": 6.1}), evaluation(0.504))
    assert "does not settle it" in judge(close).text
    older = {name: value for name, value in best.items() if name != "per_query"}
    assert "does not settle it" in judge(of(older, baseline)).text, "no interval is known"
    assert "does not confirm" in judge(of(best, evaluation(0.7, settings={}))).text
    for changes in ({"data": {**DATA, "gallery": "c"}}, {"data": None}, {"gallery": 31}):
        found = of({**best, **changes}, evaluation(0.7, settings={}))
        assert test_gain(found) is None and "has not been asked" not in give_verdict(found).reasons[-1]
        assert "No difference to the baseline on the test set is stated" in give_verdict(found).reasons[-1]


def test_scores_on_other_identities_are_not_subtracted(forty: StudyView) -> None:
    space = dataclasses.replace(
        forty.config.space,
        search={**forty.config.space.search, "fold": Parameter("categorical", choices=(0, 1))},
    )
    config = dataclasses.replace(forty.config, space=space)
    other = dataclasses.replace(CLEAR, params={"lr": 6.1, "fold": 1})
    found = StudyView(forty.root, config, (*STEADY, other), 6)
    assert validation_lead(found) is None and judge(found).tone == "unknown"
    assert "other identities" in give_verdict(found).headline and "+30" not in give_verdict(found).headline
    same = dataclasses.replace(CLEAR, params={"lr": 6.1, "fold": 0})
    assert validation_lead(StudyView(forty.root, config, (*STEADY, same), 6)) == pytest.approx(0.3)


@pytest.mark.parametrize("count", [0, 1, 3, 40])
def test_page_terminal_and_json_give_one_judgement(tmp_path: Path, count: int) -> None:
    folder = StudyFolder(make_study(tmp_path / "study", count))
    view, database = read_view(folder.root), open_readonly(folder)
    trials, about = trials_in(database, folder), read_about(database, folder)
    document = json.loads(json.dumps(study_document(folder.root, view.config, trials, about)))
    expected = judge(view)
    assert (document["judgement"], document["trust"]) == (expected.text, expected.tone)
    assert document["difference"] == validation_lead(view)
    assert give_verdict(view).judgement == expected.text
    line = judgement_line(folder, view.config, trials, about)
    assert line == (f"{expected.text}." if view.best else "")
    winner = choose_winner(trials, view.config.metric)
    assert ("won" in verdict(trials, winner, view.config)) == bool(line)


def test_chance_late_in_the_schedule(forty: StudyView) -> None:
    noise = epoch_noise(forty)
    assert noise is not None and 0.004 < noise < 0.02, "the made studies' deviation is 0.008"
