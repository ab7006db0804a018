"""Labels, distances and features in every form that a caller has them in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from ranking_reference import random_case
from torch import Tensor

from sa_study import ranking_metrics, rerank
from sa_study.metrics.distances import rank_features, squared_euclidean_blocks
from sa_study.metrics.ranking import RankingAccumulator
from sa_study.metrics.reranking import rerank_features
from sa_study.utils.errors import DataError

LABELS = ("query_pids", "gallery_pids", "query_camids", "gallery_camids")

Form = Callable[[NDArray[Any], str], Any]


def trainable(values: NDArray[Any], device: str) -> Tensor:
    tensor = torch.tensor(values, device=device)
    return tensor.requires_grad_() if tensor.is_floating_point() else tensor


def read_only(values: NDArray[Any], _: str) -> NDArray[Any]:
    values = values.copy()
    values.flags.writeable = False
    return values


FORMS: dict[str, Form] = {
    "lists": lambda values, _: values.tolist(),
    "tuples": lambda values, _: tuple(values.tolist()),
    "tensors": trainable,
    "lists of tensors": lambda values, device: list(trainable(values, device)),
    "pandas": lambda values, _: pd.Series(values) if values.ndim == 1 else pd.DataFrame(values),
    "read-only arrays": read_only,
    "column-major arrays": lambda values, _: np.asfortranarray(values),
}


@pytest.fixture(params=list(FORMS.values()), ids=list(FORMS))
def form(request: pytest.FixtureRequest, device: str) -> Callable[[NDArray[Any]], Any]:
    return lambda values: request.param(values, device)


@pytest.fixture
def features() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(3)
    return rng.integers(-8, 9, (6, 4)) / 4.0, rng.integers(-8, 9, (9, 4)) / 4.0


def test_ranking_takes_every_form(form: Callable[[NDArray[Any]], Any]) -> None:
    case = random_case(1, dtype="float64")
    expected = ranking_metrics(*case)
    distances, *labels = (form(values) for values in case)
    found = ranking_metrics(distances, *labels)
    assert found.mAP == expected.mAP and found.mINP == expected.mINP
    np.testing.assert_array_equal(found.cmc, expected.cmc)
    query_pids, gallery_pids, query_camids, gallery_camids = labels
    accumulator = RankingAccumulator(gallery_pids, gallery_camids)
    accumulator.add(distances, query_pids, query_camids)
    assert accumulator.result().mAP == expected.mAP


def test_features_and_their_labels_may_be_any(
    form: Callable[[NDArray[Any]], Any], features: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> None:
    queries, gallery = (torch.tensor(values, dtype=torch.float32) for values in features)
    pids, camids = (np.arange(6) % 3 + 1, np.arange(9) % 3 + 1), (np.zeros(6, int), np.ones(9, int))
    expected = rank_features(queries, gallery, pids[0], pids[1], camids[0], camids[1])
    some, others = (form(values) for values in features)
    a, b, c, d = (form(values) for values in (*pids, *camids))
    assert rank_features(some, others, a, b, c, d).mAP == expected.mAP
    blocks = [block for _, block in squared_euclidean_blocks(some, others)]
    wanted = [block for _, block in squared_euclidean_blocks(queries, gallery)]
    torch.testing.assert_close(torch.cat(blocks).cpu(), torch.cat(wanted))
    again = rerank_features(queries, gallery, k1=3, k2=2)
    torch.testing.assert_close(rerank_features(some, others, k1=3, k2=2).cpu(), again)
    np.testing.assert_allclose(rerank(some, others, k1=3, k2=2), again.numpy(), rtol=1e-5, atol=1e-6)


BAD_LABELS = {
    "floats": torch.tensor([1.0, 2.0]),
    "booleans": [True, False],
    "texts": ["1", "2"],
    "a matrix": torch.ones(1, 2, dtype=torch.int64),
    "a number": 7,
    "nothing": None,
    "rows of different lengths": [[1], [1, 2]],
    "complex numbers": torch.ones(2, dtype=torch.complex64),
    "a sparse tensor": torch.ones(2, dtype=torch.int64).to_sparse(),
    "a tensor without values": torch.ones(2, dtype=torch.int64, device="meta"),
    "too large for int64": np.array([1, 2**63], np.uint64),
    "tensors of different shapes": [torch.ones(1), torch.ones(2)],
}


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("bad", BAD_LABELS.values(), ids=BAD_LABELS.keys())
def test_what_is_no_label_is_named(name: str, bad: object) -> None:
    labels: dict[str, Any] = {label: torch.tensor([1, 2]) for label in LABELS} | {name: bad}
    with pytest.raises(DataError, match=f"^{name} ") as error:
        ranking_metrics(torch.rand(2, 2), **labels)
    assert "\n" not in str(error.value)
    with pytest.raises(DataError, match=f"^{name} "):
        rank_features(torch.rand(2, 3), torch.rand(2, 3), **labels)


BAD_MATRICES = {
    "a vector": torch.ones(2),
    "texts": [["a", "b"], ["c", "d"]],
    "booleans": torch.ones(2, 2, dtype=torch.bool),
    "complex numbers": np.ones((2, 2), complex),
    "rows of different lengths": [[1.0], [1.0, 2.0]],
    "tensors of different lengths": [torch.ones(1), torch.ones(2)],
    "nothing": None,
}


@pytest.mark.parametrize("bad", BAD_MATRICES.values(), ids=BAD_MATRICES.keys())
def test_what_is_no_matrix_is_named(bad: Any) -> None:
    good, labels = torch.ones(2, 2), ([1, 2], [1, 2], [0, 0], [1, 1])
    with pytest.raises(DataError, match=r"^distances "):
        ranking_metrics(bad, *labels)
    for function in (rerank, rerank_features, squared_euclidean_blocks):
        with pytest.raises(DataError, match=r"^query_features "):
            function(bad, good)
        with pytest.raises(DataError, match=r"^gallery_features "):
            function(good, bad)
