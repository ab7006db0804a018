from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch import Tensor

from sa_study.errors import ConfigError, DataError
from sa_study.metrics import rank_features, ranking_metrics, squared_euclidean_blocks


def features(rows: int, seed: int, columns: int = 8) -> Tensor:
    """Small whole numbers, whose squared distances float32 holds exactly."""
    return torch.from_numpy(np.random.default_rng(seed).integers(-9, 9, (rows, columns))).float()


def labels(queries: int = 23, gallery: int = 41) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "query_pids": rng.integers(1, 9, queries),
        "gallery_pids": rng.integers(0, 9, gallery),
        "query_camids": rng.integers(2, size=queries),
        "gallery_camids": rng.integers(2, size=gallery),
    }


@pytest.mark.parametrize("block", [1, 7, 23, 100])
def test_blocks_are_the_matrix(block: int) -> None:
    query, gallery = features(23, seed=1), features(41, seed=2)
    blocks = list(squared_euclidean_blocks(query, gallery, block))
    assert all(len(distances) == rows.stop - rows.start <= block for rows, distances in blocks)
    assert [row for rows, _ in blocks for row in range(rows.start, rows.stop)] == list(range(23))
    np.testing.assert_array_equal(
        torch.cat([distances for _, distances in blocks]).numpy(), cdist(query, gallery, "sqeuclidean")
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64])
def test_other_types_are_taken_as_float32(dtype: torch.dtype) -> None:
    query, gallery = features(3, seed=1), features(4, seed=2)
    [(_, distances)] = squared_euclidean_blocks(query.to(dtype), gallery.to(dtype))
    assert distances.dtype == torch.float32
    np.testing.assert_array_equal(distances.numpy(), cdist(query, gallery, "sqeuclidean"))


def test_equal_features_are_never_at_a_negative_distance() -> None:
    torch.manual_seed(0)
    query = torch.randn(50, 64) * 100
    [(_, distances)] = squared_euclidean_blocks(query, query)
    assert distances.min() >= 0
    torch.testing.assert_close(distances.diagonal(), torch.zeros(50), rtol=0, atol=2.0)


def test_no_gradient_is_kept() -> None:
    [(_, distances)] = squared_euclidean_blocks(features(3, seed=1).requires_grad_(), features(4, seed=2))
    assert not distances.requires_grad


@pytest.mark.parametrize("block", [1, 10, 256])
def test_rank_features_equals_ranking_of_the_whole_matrix(block: int) -> None:
    query, gallery = features(23, seed=3), features(41, seed=4)
    given = labels()
    whole = ranking_metrics(cdist(query, gallery, "sqeuclidean"), **given, topk=12)
    blockwise = rank_features(query, gallery, **given, topk=12, block=block)
    assert vars(blockwise).keys() == vars(whole).keys()
    for name, value in vars(whole).items():
        np.testing.assert_array_equal(getattr(blockwise, name), value, err_msg=name)


@pytest.mark.parametrize(
    ("query", "gallery", "message"),
    [
        (
            torch.ones(2, 3),
            torch.ones(2, 4),
            r"\(2, 3\) and gallery_features \(2, 4\).*same number of columns",
        ),
        (torch.ones(2), torch.ones(2, 2), r"query_features has shape \(2,\).*must be matrices"),
        (torch.ones(2, 0), torch.ones(2, 0), r"at least one"),
    ],
)
def test_bad_shapes_are_named_at_once(query: Tensor, gallery: Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        squared_euclidean_blocks(query, gallery)


def test_block_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="block is 0; it must be at least 1"):
        squared_euclidean_blocks(torch.ones(2, 2), torch.ones(2, 2), block=0)


def test_number_of_labels_must_be_that_of_features() -> None:
    with pytest.raises(DataError, match="22 query features but 23 query_pids"):
        rank_features(features(22, seed=1), features(41, seed=2), **labels())


def test_nan_features_are_refused() -> None:
    query = features(23, seed=1)
    query[4, 2] = torch.nan
    with pytest.raises(DataError, match="distance of query 4 to gallery image 0 is NaN"):
        rank_features(query, features(41, seed=2), **labels())
