from __future__ import annotations

import numpy as np
import pytest
import torch
from ranking_reference import Case, assert_figures, plain_figures, random_case

from sa_study.metrics import positions, ranking
from sa_study.metrics.ranking import ranking_metrics
from sa_study.utils.errors import DataError


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
    monkeypatch.setattr(ranking, "VALUES_PER_STEP", values_per_step)
    monkeypatch.setattr(positions, "_VALUES_PER_CHUNK", values_per_step)
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


@pytest.mark.parametrize("dtype", [torch.bool, torch.complex64])
def test_tensors_without_order_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(DataError, match=r"distances has shape \(1, 1\) .* real numbers"):
        ranking_metrics(torch.ones(1, 1, dtype=dtype), [1], [1], [0], [1])


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
