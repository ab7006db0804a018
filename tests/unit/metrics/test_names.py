"""The table of figures: every figure is in it once, and tables made from it cannot be mislabelled."""

from __future__ import annotations

from dataclasses import fields

import pytest

from sa_study.metrics import names
from sa_study.metrics.ranking import RankingMetrics


def test_every_figure_has_a_heading_of_its_own() -> None:
    reported = {*names.TEST_FIGURES, *names.STUDY_METRICS, *names.SECOND_OBJECTIVES, *names.INTERVALS}
    assert reported <= set(names.FIGURES)
    assert len({figure.label for figure in names.FIGURES.values()}) == len(names.FIGURES)


def test_figures_of_an_evaluation_are_a_rankings() -> None:
    known = {field.name for field in fields(RankingMetrics)} | {names.ALLSHOTS_RANK1}
    assert set(names.TEST_FIGURES) <= known


@pytest.mark.parametrize(
    ("expected", "split", "reranked"),
    [("mAP", "", False), ("test mAP", names.TEST, False), ("test mAP, re-ranked", names.TEST, True)],
)
def test_headings(expected: str, split: str, reranked: bool) -> None:
    assert names.heading(names.MAP, split, reranked=reranked) == expected


def test_what_a_study_maximises_and_minimises_has_that_direction() -> None:
    directions = {name: figure.direction for name, figure in names.FIGURES.items()}
    assert {directions[name] for name in names.STUDY_METRICS} == {"maximize"}
    assert {directions[name] for name in names.SECOND_OBJECTIVES} == {"minimize"}
