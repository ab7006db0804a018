"""Whether a gain can be trusted: one judgement for page, terminal and JSON, and never more than is known."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from random_study import make_study
from summaries import study_summary, trial_summary
from synthetic_runs import DATA, evaluation

from sa_study.metrics import names
from sa_study.report.json_document import study_document
from sa_study.report.page.page_study import PageStudy
from sa_study.report.page.sentences import study_verdict
from sa_study.report.terminal.study import judgement_line
from sa_study.report.verdict import epoch_noise, headline, judge, test_gain, validation_lead
from sa_study.settings.space import Parameter
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import TrialSummary

test_gain.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> PageStudy:
    return PageStudy.read(make_study(tmp_path_factory.mktemp("verdict") / "forty", 40, running=2))


def trial(number: int, score: float, *late: float, **figures: float) -> TrialSummary:
    curve = tuple((70.0 + 10 * index, value) for index, value in enumerate(late))
    params = {"lr": 0.1 + number}
    return trial_summary(number, "COMPLETE", params, score, curve=curve, **figures)


STEADY = [trial(number, 0.5 + 0.001 * number, 0.5, 0.51, 0.5, 0.51) for number in range(6)]
SILENT = [trial(number, 0.5 + 0.001 * number, 0.5) for number in range(6)]
CLEAR = trial(6, 0.8, 0.79, 0.8, 0.79, 0.8)


def study(forty: PageStudy, trials: list[TrialSummary], **evaluations: dict[str, Any]) -> PageStudy:
    return study_summary(forty.config, trials, evaluations, forty.folder.root)


@pytest.mark.parametrize(
    ("trials", "tone", "words"),
    [
        ([*STEADY, CLEAR], "fair", "clear on validation; the test set has not been asked"),
        ([*STEADY, trial(6, 0.507, 0.5, 0.507)], "poor", "may be luck"),
        ([*STEADY, trial(6, 0.527, 0.5, 0.51)], "fair", "more than chance would give, but not by much"),
        ([*STEADY[:2], CLEAR], "fair", "rests on few complete trials"),
        ([trial(0, 0.9, 0.9)], "fair", "nothing better"),
        ([trial_summary(0, "FAIL"), CLEAR], "unknown", "cannot be judged: the baseline has no score"),
        ([*SILENT, trial(6, 0.9, 0.9)], "unknown", "cannot be judged: how far scores move by chance"),
        ([STEADY[0], trial(6, 0.52)], "unknown", "cannot be judged: it is small, and few trials"),
        ([trial_summary(0, "PRUNED", score=0.5), CLEAR], "unknown", "cannot be judged: how far scores"),
        ([], "unknown", "nothing to trust yet"),
    ],
)
def test_what_is_not_known_is_not_judged(
    forty: PageStudy, trials: list[TrialSummary], tone: str, words: str
) -> None:
    found = judge(study(forty, trials))
    assert found.tone == tone and words in found.text
    assert "real" not in found.text and len(found.text) < 80, "it fits a terminal's line"


@pytest.mark.parametrize(
    ("winner", "baseline", "apart"),
    [((0.45, 0.95), None, False), (None, (0.2, 0.81), False), ((0.6, 0.9), (0.3, 0.7), True)],
)
def test_intervals_that_overlap_widely_never_stand_beside_a_clear_gain(
    forty: PageStudy, winner: Any, baseline: Any, apart: bool
) -> None:
    def with_ends(one: TrialSummary, ends: tuple[float, float] | None) -> TrialSummary:
        best = {**one.record.best, **(dict(zip(names.INTERVALS["mAP"], ends, strict=True)) if ends else {})}
        return dataclasses.replace(one, record=dataclasses.replace(one.record, best=best))

    trials = [with_ends(STEADY[0], baseline), *STEADY[1:], with_ends(CLEAR, winner)]
    found = judge(study(forty, trials))
    assert ("clear" in found.text) == apart and (found.tone == "unknown") == (not apart)
    assert apart or "overlap widely" in found.text


def test_the_test_set_confirms_only_with_an_interval_above_zero(forty: PageStudy) -> None:
    best, baseline = evaluation(0.6), evaluation(0.5)

    def of(best: dict[str, Any], baseline: dict[str, Any]) -> PageStudy:
        return study(forty, [*STEADY, CLEAR], best=best, baseline=baseline)

    confirmed = of(best, baseline)
    assert "the test set confirms it" in judge(confirmed).text and judge(confirmed).tone == "good"
    gain = test_gain(confirmed)
    assert gain and gain.low and gain.high and gain.low < gain.mean < gain.high
    assert "95 % interval +" in study_verdict(confirmed).reasons[-1]
    assert "does not settle it" in judge(of(evaluation(0.505), evaluation(0.504))).text
    older = {name: value for name, value in best.items() if name != "per_query"}
    assert "does not settle it" in judge(of(older, baseline)).text, "no interval is known"
    assert "does not confirm" in judge(of(best, evaluation(0.7))).text
    for changes in ({"data": {**DATA, "gallery": "c"}}, {"data": None}, {"gallery": 31}):
        found = of({**best, **changes}, evaluation(0.7))
        assert test_gain(found) is None and "has not been asked" not in study_verdict(found).reasons[-1]
        assert "No difference to the baseline on the test set is stated" in study_verdict(found).reasons[-1]


def test_scores_on_other_identities_are_not_subtracted(forty: PageStudy) -> None:
    space = dataclasses.replace(
        forty.config.space,
        search={**forty.config.space.search, "fold": Parameter("categorical", choices=(0, 1))},
    )
    config = dataclasses.replace(forty.config, space=space)
    other = dataclasses.replace(CLEAR, params={"lr": 6.1, "fold": 1})
    found = study_summary(config, [*STEADY, other])
    assert validation_lead(found) is None and judge(found).tone == "unknown"
    assert "other identities" in study_verdict(found).headline and "+30" not in study_verdict(found).headline
    same = dataclasses.replace(CLEAR, params={"lr": 6.1, "fold": 0})
    assert validation_lead(study_summary(config, [*STEADY, same])) == pytest.approx(0.3)


@pytest.mark.parametrize("count", [0, 1, 3, 40])
def test_page_terminal_and_json_give_one_judgement(tmp_path: Path, count: int) -> None:
    study = PageStudy.read(make_study(tmp_path / "study", count))
    summary = StudySummary.read(study.folder.root)
    document, expected = json.loads(json.dumps(study_document(summary))), judge(study)
    assert (document["judgement"], document["trust"]) == (expected.text, expected.tone)
    assert document["difference"] == validation_lead(study)
    found = study_verdict(study)
    assert (found.headline, found.judgement) == (headline(summary), expected.text)
    assert judgement_line(summary) == (f"{expected.text}." if study.winner else "")
    assert ("won" in found.headline) == bool(study.winner)


def test_chance_late_in_the_schedule(forty: PageStudy) -> None:
    noise = epoch_noise(forty)
    assert noise is not None and 0.004 < noise < 0.02, "the made studies' deviation is 0.008"
