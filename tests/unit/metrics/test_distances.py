from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkout import SEARCH_PATH
from scipy.spatial.distance import cdist
from torch import Tensor

from sa_study.metrics import distances
from sa_study.metrics.distances import rank_features, squared_euclidean_blocks
from sa_study.metrics.ranking import ranking_metrics
from sa_study.utils.errors import DataError


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


@pytest.fixture
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Rows of a block of distances."""
    rows: int = request.param
    monkeypatch.setattr(distances, "ROWS_PER_BLOCK", rows)
    return rows


@pytest.mark.parametrize("block", [1, 7, 23, 100], indirect=True)
def test_blocks_are_the_matrix(block: int) -> None:
    query, gallery = features(23, seed=1), features(41, seed=2)
    blocks = list(squared_euclidean_blocks(query, gallery))
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


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("block", [1, 10, 256], indirect=True)
def test_rank_features_equals_ranking_of_the_whole_matrix(device: str) -> None:
    query, gallery = features(23, seed=3), features(41, seed=4)
    given = labels()
    whole = ranking_metrics(cdist(query, gallery, "sqeuclidean"), **given)
    blockwise = rank_features(query.to(device), gallery.to(device), **given)
    assert vars(blockwise).keys() == vars(whole).keys()
    for of_all, of_blocks in ((whole, blockwise), (whole.queries, blockwise.queries)):
        for name, value in vars(of_all).items():
            if name != "queries":
                np.testing.assert_array_equal(getattr(of_blocks, name), value, err_msg=name)


@pytest.mark.parametrize(
    ("query", "gallery", "message"),
    [
        (
            torch.ones(2, 3),
            torch.ones(2, 4),
            r"\(2, 3\) and gallery_features \(2, 4\).*same number of columns",
        ),
        (torch.ones(2), torch.ones(2, 2), r"query_features has shape \(2,\).*must be a matrix"),
        (torch.ones(2, 0), torch.ones(2, 0), r"at least one"),
    ],
)
def test_bad_shapes_are_named_at_once(query: Tensor, gallery: Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        squared_euclidean_blocks(query, gallery)


def test_number_of_labels_must_be_that_of_features() -> None:
    with pytest.raises(DataError, match="22 query features but 23 query_pids"):
        rank_features(features(22, seed=1), features(41, seed=2), **labels())


def test_nan_features_are_refused() -> None:
    query = features(23, seed=1)
    query[4, 2] = torch.nan
    with pytest.raises(DataError, match="distance of query 4 to gallery image 0 is NaN"):
        rank_features(query, features(41, seed=2), **labels())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_features_of_other_types_are_ranked(device: str, dtype: torch.dtype) -> None:
    query, gallery = features(23, seed=3), features(41, seed=4)
    expected = ranking_metrics(cdist(query, gallery, "sqeuclidean"), **labels())
    found = rank_features(query.to(device, dtype), gallery.to(device, dtype), **labels())
    np.testing.assert_array_equal(found.cmc, expected.cmc)
    assert found.mAP == expected.mAP


def test_products_of_part_of_the_gallery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "COLUMNS_PER_PRODUCT", 7)
    query, gallery = features(5, seed=1), features(41, seed=2)
    [(_, found)] = squared_euclidean_blocks(query, gallery)
    np.testing.assert_array_equal(found.numpy(), cdist(query, gallery, "sqeuclidean"))


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("block", [7], indirect=True)
def test_memory_of_a_block_is_reused_only_on_demand() -> None:
    query, gallery = features(23, seed=1), features(41, seed=2)
    places = {found.data_ptr() for _, found in squared_euclidean_blocks(query, gallery, reuse=True)}
    assert len(places) == 1
    reused = [found.clone() for _, found in squared_euclidean_blocks(query, gallery, reuse=True)]
    kept = [found for _, found in squared_euclidean_blocks(query, gallery)]
    torch.testing.assert_close(reused, kept, rtol=0, atol=0)


def test_products_are_float32_under_autocast(device: str) -> None:
    torch.manual_seed(0)
    query = torch.randn(50, 64, device=device)
    with torch.autocast(device, torch.bfloat16):
        [(_, found)] = squared_euclidean_blocks(query, query)
    expected = cdist(query.cpu().double(), query.cpu().double(), "sqeuclidean")
    np.testing.assert_allclose(found.cpu().numpy(), expected, rtol=0, atol=1e-4)


SET_PRECISION: dict[str, Callable[[], None]] = {
    "default": lambda: None,
    "for all": lambda: torch.set_float32_matmul_precision("medium"),
    "older name": lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True),
    "newer name": lambda: setattr(torch.backends.cuda.matmul, "fp32_precision", "tf32"),
}


CHECKS = """
import os
import test_distances

for name in test_distances.SET_PRECISION:
    if not (child := os.fork()):
        test_distances.check_precision(name)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Checks each in a process of its own: PyTorch forbids to mix older and newer names, and has no way back."""


@pytest.fixture(scope="module")
def checked() -> tuple[dict[str, str], str]:
    """The exit code of each check, and what they complained of."""
    done = subprocess.run(
        [sys.executable, "-c", CHECKS],
        env={**os.environ, "PYTHONPATH": f"{Path(__file__).parent}{os.pathsep}{SEARCH_PATH}"},
        capture_output=True,
        text=True,
    )
    return dict(zip(SET_PRECISION, done.stdout.split(), strict=False)), done.stderr


@pytest.mark.parametrize("name", SET_PRECISION)
def test_products_are_float32_whatever_is_set(name: str, checked: tuple[dict[str, str], str]) -> None:
    codes, complaints = checked
    assert codes.get(name) == "0", complaints


def check_precision(name: str) -> None:
    """Sets a precision, and sees that it holds outside of `full_precision`, and float32 within."""
    cuda = torch.backends.cuda.matmul
    SET_PRECISION[name]()
    before = cuda.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision  # type: ignore[attr-defined]
    for failing in (False, True):
        with suppress(ZeroDivisionError), distances.full_precision(torch.device("cpu")):
            assert cuda.fp32_precision == "ieee" and not cuda.allow_tf32
            assert torch.backends.mkldnn.matmul.fp32_precision == "ieee"  # type: ignore[attr-defined]
            if failing:
                raise ZeroDivisionError
        after = cuda.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision  # type: ignore[attr-defined]
        assert after == before
    assert name == "default" or before[0] == "tf32"
