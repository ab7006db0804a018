from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike
from ranking_reference import Case, assert_figures, plain_figures, random_case
from sklearn.metrics import average_precision_score

from sa_study.metrics import match_ranks
from sa_study.metrics.ranking import RankingAccumulator, ranking_metrics
from sa_study.utils.errors import ConfigError, DataError

SCALARS = ("rank1", "rank5", "rank10", "mAP", "mAP_trapezoid", "mINP")


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64"])
@pytest.mark.parametrize(("seed", "levels"), [(0, None), (1, 20), (2, 4), (3, 1)])
@pytest.mark.parametrize("topk", [1, 7, 200])
def test_equals_plain_loop(seed: int, levels: int | None, dtype: str, topk: int) -> None:
    case = random_case(seed, levels=levels, dtype=dtype)
    expected = plain_figures(*case, topk)
    assert expected["num_queries_without_match"] > 0
    metrics = ranking_metrics(*case, topk=topk)
    assert_figures(metrics, expected)
    assert metrics.cmc.shape == metrics.allshots.shape == (topk,)
    assert metrics.cmc.dtype == metrics.allshots.dtype == np.float64
    assert metrics.allshots_rank1 == metrics.allshots[0]


@pytest.mark.parametrize("seed", range(3))
def test_map_is_that_of_scikit_learn(seed: int) -> None:
    distances, query_pids, gallery_pids, query_camids, gallery_camids = random_case(seed)
    scores = []
    for row, pid, camid in zip(distances, query_pids, query_camids, strict=True):
        counts = (gallery_pids >= 0) & ~((gallery_pids == pid) & (gallery_camids == camid))
        hits = gallery_pids[counts] == pid
        if hits.any():
            scores.append(average_precision_score(hits, -row[counts]))
    metrics = ranking_metrics(distances, query_pids, gallery_pids, query_camids, gallery_camids)
    assert metrics.mAP == pytest.approx(np.mean(scores), abs=1e-12)
    assert metrics.num_valid_queries == len(scores)


def test_hand_computed_query() -> None:
    # Matches at ranks 1, 3 and 6 of 7.
    pids = [5, 9, 5, 9, 9, 5, 9]
    metrics = ranking_metrics(np.arange(7.0)[None], [5], pids, [0], [1] * 7, topk=5)
    assert metrics.mAP == pytest.approx((1 + 2 / 3 + 3 / 6) / 3)
    assert metrics.mAP_trapezoid == pytest.approx(
        ((1 + 1) / 2 + (2 / 3 + 1 / 2) / 2 + (3 / 6 + 2 / 5) / 2) / 3
    )
    assert metrics.mINP == pytest.approx(3 / 6)
    np.testing.assert_allclose(metrics.allshots, [1 / 3, 2 / 3, 2 / 3, 1, 1])
    np.testing.assert_array_equal(metrics.cmc, np.ones(5))


@pytest.mark.parametrize(
    ("gallery_pids", "gallery_camids", "first"),
    [
        pytest.param([9, 5], [1, 1], 2, id="another identity counts"),
        pytest.param([0, 5], [1, 1], 2, id="a distractor counts"),
        pytest.param([9, 5], [0, 1], 2, id="another identity on the same camera counts"),
        pytest.param([5, 5], [0, 1], 1, id="the same identity on the same camera does not"),
        pytest.param([-1, 5], [1, 1], 1, id="junk does not"),
    ],
)
@pytest.mark.parametrize("nearer", [0.0, 1.0])
def test_what_counts_before_a_match(
    gallery_pids: list[int], gallery_camids: list[int], first: int, nearer: float
) -> None:
    metrics = ranking_metrics([[nearer, 1.0]], [5], gallery_pids, [0], gallery_camids, topk=2)
    assert metrics.mINP == 1 / first
    np.testing.assert_array_equal(metrics.cmc, [first == 1, 1])


@pytest.mark.parametrize("pid", [0, -1])
def test_distractors_and_junk_match_no_query(pid: int) -> None:
    metrics = ranking_metrics([[1.0, 2.0], [2.0, 1.0]], [pid, 5], [pid, 5], [0, 0], [1, 1])
    assert (metrics.num_valid_queries, metrics.num_queries_without_match) == (1, 1)
    assert metrics.mAP == 1


@pytest.mark.parametrize(("place", "rank"), [(0, 1), (1, 2), (3, 4)])
def test_ties_keep_gallery_order(place: int, rank: int) -> None:
    pids = [9] * 4
    pids[place] = 5
    metrics = ranking_metrics(np.zeros((1, 4)), [5], pids, [0], [1] * 4)
    assert metrics.mINP == 1 / rank


def test_infinite_distances_rank_last() -> None:
    distances = [[np.inf, np.inf, 3.0, np.inf]]
    metrics = ranking_metrics(distances, [5], [9, 5, 9, 5], [0], [1, 0, 1, 1])
    # Left to rank are images 2, 0 and 3 in this order; image 1 is of the same camera.
    assert metrics.mINP == 1 / 3


def test_one_query_one_gallery_image() -> None:
    metrics = ranking_metrics([[2.5]], [7], [7], [0], [1], topk=3)
    assert [getattr(metrics, name) for name in SCALARS] == [1.0] * len(SCALARS)
    np.testing.assert_array_equal(metrics.cmc, np.ones(3))
    np.testing.assert_array_equal(metrics.allshots, np.ones(3))


@pytest.mark.parametrize("steps", [[1] * 300, [7, 250, 43], [300]])
def test_blocks_equal_whole(steps: list[int]) -> None:
    case = random_case(5, queries=300, levels=9)
    distances, query_pids, gallery_pids, query_camids, gallery_camids = case
    accumulator = RankingAccumulator(gallery_pids, gallery_camids, topk=20)
    start = 0
    for step in steps:
        rows = slice(start, start + step)
        accumulator.add(distances[rows], query_pids[rows], query_camids[rows])
        start += step
    expected = plain_figures(*case, 20)
    assert_figures(accumulator.result(), expected)
    assert_figures(ranking_metrics(*case, topk=20), expected)


@pytest.mark.parametrize("order", ["C", "F"])
def test_input_is_left_unchanged_in_any_memory_order(order: Any) -> None:
    case = random_case(6)
    distances, query_pids, gallery_pids, query_camids, gallery_camids = case
    given = np.array(distances, order=order)
    given.setflags(write=False)
    metrics = ranking_metrics(given, query_pids, gallery_pids, query_camids, gallery_camids)
    assert_figures(metrics, plain_figures(*case, 50))
    np.testing.assert_array_equal(given, distances)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distances": np.ones((3, 2))}, r"distances has shape \(3, 2\).*2 queries.*2 gallery"),
        ({"distances": np.ones(4)}, r"distances has shape \(4,\)"),
        ({"distances": [["a", "b"], ["c", "d"]]}, r"distances .* real numbers"),
        ({"distances": [[1, 2], [np.nan, np.nan]]}, r"query 1 to gallery image 0 is NaN, as are 1 more"),
        ({"query_pids": [1]}, r"query_pids has 1 entries and query_camids 2"),
        ({"gallery_camids": [1, 1, 1]}, r"gallery_pids has 2 entries and gallery_camids 3"),
        ({"gallery_pids": [1.0, 2.0]}, r"gallery_pids .* float64.* vector of integers"),
        ({"query_camids": [[0], [0]]}, r"query_camids has shape \(2, 1\)"),
        ({"gallery_camids": [0, 0]}, r"None of the 2 queries has a match"),
        ({"query_pids": [0, 0]}, r"None of the 2 queries has a match"),
        ({"distances": np.ones((0, 2)), "query_pids": [], "query_camids": []}, r"None of the 0 queries"),
        ({"distances": np.ones((2, 0)), "gallery_pids": [], "gallery_camids": []}, r"gallery is empty"),
    ],
)
def test_bad_input_is_named(changes: dict[str, ArrayLike], message: str) -> None:
    arguments: dict[str, Any] = {
        "distances": np.ones((2, 2)),
        "query_pids": [1, 2],
        "gallery_pids": [1, 2],
        "query_camids": [0, 0],
        "gallery_camids": [1, 1],
    }
    ranking_metrics(**arguments)
    with pytest.raises(DataError, match=message):
        ranking_metrics(**arguments | changes)


def test_nan_is_named_by_the_query_among_all_blocks() -> None:
    accumulator = RankingAccumulator([1], [1])
    accumulator.add([[0.5], [0.5]], [1, 8], [0, 0])
    with pytest.raises(DataError, match="query 3 to gallery image 0"):
        accumulator.add([[0.5], [np.nan]], [1, 1], [0, 0])


@pytest.mark.parametrize("topk", [0, -3])
def test_topk_below_one_is_refused(topk: int) -> None:
    with pytest.raises(ConfigError, match=f"topk is {topk}; it must be at least 1"):
        ranking_metrics([[1.0]], [1], [1], [0], [1], topk=topk)


def many_matches(dtype: str, queries: int = 9, gallery: int = 700) -> Case:
    """Matches that tie with each other and with others; query 0 has one match, query 1 hundreds."""
    rng = np.random.default_rng(8)
    levels = np.array([-np.inf, -1.5, -0.0, 0.0, 0.25, 1e-40, 3.0, np.inf])
    query_pids = np.array([1, 2, *rng.integers(3, 6, queries - 2)])
    gallery_pids = np.where(rng.random(gallery) < 0.5, 2, rng.integers(-1, 6, gallery))
    gallery_pids[gallery_pids == 1] = 0
    gallery_pids[300] = 1
    gallery_camids = rng.integers(3, size=gallery)
    gallery_camids[300] = 1
    distances = rng.choice(levels, size=(queries, gallery)).astype(dtype)
    return distances, query_pids, gallery_pids, np.zeros(queries, dtype=int), gallery_camids


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ties_zeros_of_both_signs_and_infinities(device: str, dtype: str) -> None:
    case = many_matches(dtype)
    expected = plain_figures(*case, 20)
    assert expected["num_queries_without_match"] == 0
    assert_figures(ranking_metrics(torch.from_numpy(case[0]).to(device), *case[1:], topk=20), expected)


@pytest.mark.parametrize("values_per_step", [1, 90, 1000])
@pytest.mark.parametrize("levels", [None, 3])
def test_steps_equal_whole(
    device: str, levels: int | None, values_per_step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = random_case(7, levels=levels)
    monkeypatch.setattr(match_ranks, "VALUES_PER_STEP", values_per_step)
    given = torch.from_numpy(case[0]).to(device)
    assert_figures(ranking_metrics(given, *case[1:]), plain_figures(*case, 50))


def test_float64_is_compared_as_it_is() -> None:
    # The second is nearer by what float32 does not hold.
    distances = np.array([[1.0 + 1e-12, 1.0]])
    assert ranking_metrics(distances, [5], [9, 5], [0], [1, 1]).rank1 == 1
    assert ranking_metrics(distances.astype(np.float32), [5], [9, 5], [0], [1, 1]).rank1 == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int32])
def test_tensors_of_other_types(device: str, dtype: torch.dtype) -> None:
    case = random_case(2, levels=4)
    given = torch.from_numpy(case[0]).to(device=device, dtype=dtype).requires_grad_(dtype.is_floating_point)
    assert_figures(ranking_metrics(given, *case[1:]), plain_figures(*case, 50))


def test_a_tensor_is_left_unchanged(device: str) -> None:
    case = random_case(6, levels=5)
    given = torch.from_numpy(case[0]).to(device)
    ranking_metrics(given, *case[1:])
    np.testing.assert_array_equal(given.cpu().numpy(), case[0])


@pytest.mark.parametrize("column", [0, 1, 2])
def test_nan_is_refused_for_images_that_do_not_count_too(column: int) -> None:
    distances = np.ones((1, 3))
    distances[0, column] = np.nan
    # A match, an image of the query's own camera, and junk.
    with pytest.raises(DataError, match=f"query 0 to gallery image {column} is NaN, as are 0 more"):
        ranking_metrics(distances, [5], [5, 5, -1], [0], [1, 0, 1])


def test_big_endian_and_reversed_arrays() -> None:
    case = random_case(4, levels=30)
    expected = plain_figures(*case, 50)
    assert_figures(ranking_metrics(case[0].astype(">f4"), *case[1:]), expected)
    flipped = np.ascontiguousarray(case[0][:, ::-1])[:, ::-1]
    assert_figures(ranking_metrics(flipped, *case[1:]), expected)
