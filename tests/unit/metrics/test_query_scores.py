"""What single queries scored, kept and read again."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from ranking_reference import random_case

from sa_study.metrics.query_scores import QueryScores
from sa_study.metrics.ranking import ranking_metrics
from sa_study.utils.errors import DataError


def scores() -> QueryScores:
    return QueryScores(np.array([1, 1, 2, 3]), np.array([1.0, 0.5, np.nan, 0.25]), np.array([1, 2, 0, 7]))


@pytest.mark.parametrize("seed", range(4))
def test_the_figures_of_a_ranking_are_the_means_of_its_queries(seed: int) -> None:
    found = ranking_metrics(*random_case(seed))
    for name in ("rank1", "rank5", "rank10", "mAP"):
        assert found.queries.of(name).mean() == pytest.approx(getattr(found, name), abs=1e-12)
    assert found.queries.valid.sum() == found.num_valid_queries
    assert found.queries.pids.size == found.num_valid_queries + found.num_queries_without_match


def test_a_query_without_a_match_counts_in_nothing() -> None:
    assert scores().of("mAP").tolist() == [1.0, 0.5, 0.25]
    assert scores().of("rank1").tolist() == [1.0, 0.0, 0.0]
    assert scores().of("rank5").tolist() == [1.0, 1.0, 0.0]


def test_scores_come_back_from_json_as_they_were() -> None:
    kept = scores().to_dict()
    assert kept["average_precision"][2] is None and kept["first_match"][2] is None
    again = QueryScores.from_dict(json.loads(json.dumps(kept, allow_nan=False)), "x")
    for name in ("pids", "average_precision", "first_match"):
        np.testing.assert_array_equal(getattr(again, name), getattr(scores(), name))


@pytest.mark.parametrize(
    "change",
    [
        {"pid": None},
        {"pid": [1, 1, 2]},
        {"pid": "1123"},
        {"pid": [1, 1, 2, "x"]},
        {"pid": [1, 1, 2, 2**70]},
        {"pid": [1, 1, 2, 3.5]},
        {"pid": [[1, 1, 2, 3]]},
        {"average_precision": [1.0, 0.5, None, 1.5]},
        {"average_precision": [1.0, 0.5, None, 0.0]},
        {"average_precision": [1.0, 0.5, None, float("nan")]},
        {"average_precision": [1.0, None, None, 0.25]},
        {"average_precision": {}},
        {"average_precision": [1.0, 0.5, None]},
        {"average_precision": [[1.0], 0.5, None, 0.25]},
        {"average_precision": [[1.0, 0.5, None, 0.25]]},
        {"first_match": [1, 2, None, -7]},
        {"first_match": [1]},
        {"first_match": [1, 2, None, 7.5]},
        {"first_match": [1, 2, None, True]},
        {"first_match": 4},
        {"first_match": ["1", 2, None, 7]},
    ],
)
def test_damaged_scores_are_refused_in_one_line(change: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"here\.json: its scores of single queries are damaged") as caught:
        QueryScores.from_dict({**scores().to_dict(), **change}, "here.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("values", [None, [], "text", 3])
def test_what_is_no_object_is_refused(values: Any) -> None:
    with pytest.raises(DataError, match="damaged"):
        QueryScores.from_dict(values, "here.json")
