from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from sa_study.metrics import reranking
from sa_study.metrics.distances import nearest
from sa_study.metrics.ranking import ranking_metrics
from sa_study.metrics.reranking import rerank, rerank_features
from sa_study.utils.errors import ConfigError, DataError

Pair = tuple[NDArray[Any], NDArray[Any]]


def clustered(queries: int, gallery: int, seed: int = 0, columns: int = 16) -> Pair:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(2, (queries + gallery) // 8), columns))
    of_image = rng.integers(len(centres), size=queries + gallery)
    images = (centres[of_image] + 0.6 * rng.normal(size=(queries + gallery, columns))).astype(np.float32)
    return images[:queries], images[queries:]


def with_ties(queries: int, gallery: int, seed: int = 0) -> Pair:
    """Points of a small lattice: most are there several times, and most distances occur again and again."""
    images = np.random.default_rng(seed).integers(0, 4, (queries + gallery, 3)).astype(np.float32)
    return images[:queries], images[queries:]


def reciprocal(ranks: NDArray[Any], image: int, depth: int) -> set[int]:
    return {int(other) for other in ranks[image, :depth] if image in ranks[other, :depth]}


def plain_rerank(
    query: NDArray[Any], gallery: NDArray[Any], k1: int = 20, k2: int = 6, lambda_value: float = 0.3
) -> NDArray[Any]:
    """The paper's steps one by one, on whole N×N matrices in float64."""
    images = np.concatenate([query, gallery]).astype(np.float64)
    original = cdist(images, images, "sqeuclidean")
    largest = original.max(axis=1, keepdims=True)
    original = np.divide(original, largest, out=np.zeros_like(original), where=largest > 0)
    ranks = np.argsort(original, axis=1, kind="stable")
    encodings = np.zeros_like(original)
    for image in range(len(images)):
        base = reciprocal(ranks, image, k1 + 1)
        members = set(base)
        for other in base:
            candidate = reciprocal(ranks, other, int(np.around(k1 / 2)) + 1)
            if len(candidate & base) > 2 / 3 * len(candidate):
                members |= candidate
        chosen = sorted(members)
        weights = np.exp(-original[image, chosen])
        encodings[image, chosen] = weights / weights.sum()
    if k2 > 1:
        encodings = np.stack([encodings[ranks[image, :k2]].mean(axis=0) for image in range(len(images))])
    result = np.empty((len(query), len(gallery)))
    for q in range(len(query)):
        for g in range(len(gallery)):
            other = len(query) + g
            shared = np.minimum(encodings[q], encodings[other]).sum()
            jaccard = 1 - shared / (2 - shared)
            result[q, g] = (1 - lambda_value) * jaccard + lambda_value * original[q, other]
    return result


@pytest.mark.parametrize("make", [clustered, with_ties])
@pytest.mark.parametrize(
    ("queries", "gallery", "settings"),
    [
        pytest.param(20, 80, {}, id="defaults"),
        pytest.param(20, 80, {"k1": 7, "k2": 3, "lambda_value": 0.5}, id="odd k1"),
        pytest.param(20, 80, {"k1": 5, "k2": 1}, id="half of k1 rounds to even, no averaging"),
        pytest.param(20, 80, {"k1": 4, "k2": 15}, id="k2 above k1"),
        pytest.param(20, 80, {"k1": 1, "k2": 2}, id="one neighbour"),
        pytest.param(20, 80, {"lambda_value": 0.0}, id="Jaccard alone"),
        pytest.param(20, 80, {"lambda_value": 1.0}, id="original alone"),
        pytest.param(6, 9, {}, id="sets above all images"),
        pytest.param(6, 14, {"k1": 19}, id="sets of all images"),
        pytest.param(3, 4, {"k1": 2, "k2": 50}, id="averaged over all images"),
        pytest.param(1, 30, {"k1": 6}, id="one query"),
        pytest.param(30, 1, {"k1": 6}, id="one gallery image"),
        pytest.param(1, 1, {}, id="one of each"),
        pytest.param(10, 290, {}, id="gallery over two blocks"),
        pytest.param(290, 10, {}, id="queries over two blocks"),
    ],
)
def test_equals_plain_loop(
    make: Callable[..., Pair], queries: int, gallery: int, settings: dict[str, Any]
) -> None:
    pair: Pair = make(queries, gallery)
    result = rerank(*pair, **settings)
    assert result.dtype == np.float32
    assert result.shape == (queries, gallery)
    np.testing.assert_allclose(result, plain_rerank(*pair, **settings), rtol=0, atol=2e-6)


@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("make", [clustered, with_ties])
def test_equals_plain_loop_for_other_draws(make: Callable[..., Pair], seed: int) -> None:
    pair: Pair = make(15, 60, seed=seed)
    np.testing.assert_allclose(rerank(*pair, k1=9, k2=4), plain_rerank(*pair, k1=9, k2=4), rtol=0, atol=2e-6)


@pytest.mark.parametrize("images", [2, 40])
def test_images_all_alike_give_numbers(images: int) -> None:
    pair = np.ones((1, 5)), np.ones((images - 1, 5))
    np.testing.assert_allclose(rerank(*pair, k1=3), plain_rerank(*pair, k1=3), rtol=0, atol=2e-6)


def test_neighbourhood_outweighs_distance() -> None:
    # On a line: the query's own group at its left, and a stranger at its right, nearer than the group's end.
    query = np.array([[0.0]])
    group, stranger, others = [-0.1, -0.2, -0.3, -1.0], [0.9], [1.0, 1.1, 1.2, 1.3]
    gallery = np.array([group + stranger + others]).T
    before, after = cdist(query, gallery)[0], rerank(query, gallery, k1=4, k2=2)[0]
    assert before[3] > before[4]
    assert after[3] < after[4]


def test_tensors_and_arrays_give_the_same() -> None:
    query, gallery = clustered(5, 30)
    expected = rerank(query, gallery)
    tensors = torch.from_numpy(query).requires_grad_(), torch.from_numpy(gallery)
    np.testing.assert_array_equal(rerank(*tensors), expected)
    np.testing.assert_array_equal(rerank(query.tolist(), gallery.astype(np.float64)), expected)


def test_read_only_input_is_taken_without_warning_and_left_unchanged() -> None:
    query, gallery = clustered(5, 30)
    before = query.copy(), gallery.copy()
    query.setflags(write=False)
    gallery.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rerank(query, gallery)
    np.testing.assert_array_equal(query, before[0])
    np.testing.assert_array_equal(gallery, before[1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k1": 0}, "k1 is 0; it must be at least 1"),
        ({"k2": -2}, "k2 is -2; it must be at least 1"),
        ({"lambda_value": 1.5}, "lambda_value is 1.5; it must lie in 0 to 1"),
        ({"lambda_value": float("nan")}, "lambda_value is nan"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rerank(*clustered(2, 5), **settings)


@pytest.mark.parametrize(
    ("query", "gallery", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), r"\(2, 3\) and gallery_features \(2, 4\)"),
        (np.ones(3), np.ones((2, 3)), r"query_features has shape \(3,\)"),
        (np.ones((0, 3)), np.ones((2, 3)), "0 query and 2 gallery features"),
        (np.ones((2, 3)), np.ones((0, 3)), "2 query and 0 gallery features"),
        (np.ones((2, 3)), np.array([[1, np.nan, np.inf], [1, 1, 1]]), "1 of them not finite"),
    ],
)
def test_bad_features_are_named(query: NDArray[Any], gallery: NDArray[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        rerank(query, gallery)


@pytest.mark.parametrize("make", [clustered, with_ties])
def test_features_on_a_device(make: Callable[..., Pair], device: str) -> None:
    pair: Pair = make(20, 80)
    query, gallery = (torch.from_numpy(images).to(device) for images in pair)
    result = rerank_features(query, gallery, k1=9, k2=4)
    assert (result.device.type, result.dtype) == (device, torch.float32)
    np.testing.assert_allclose(result.cpu(), plain_rerank(*pair, k1=9, k2=4), rtol=0, atol=2e-6)


def test_re_ranked_distances_go_into_the_ranking(device: str) -> None:
    pair = clustered(20, 80)
    query, gallery = (torch.from_numpy(images).to(device) for images in pair)
    rng = np.random.default_rng(0)
    labels = rng.integers(1, 6, 20), rng.integers(1, 6, 80), np.zeros(20, dtype=int), np.ones(80, dtype=int)
    found = ranking_metrics(rerank_features(query, gallery), *labels)
    assert found.mAP == pytest.approx(ranking_metrics(rerank(*pair), *labels).mAP, abs=1e-9)


@pytest.mark.parametrize("entries", [1, 60, 1000])
def test_chunks_equal_whole(device: str, entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = clustered(20, 80)
    monkeypatch.setattr(reranking, "ENTRIES_PER_CHUNK", entries)
    query, gallery = (torch.from_numpy(images).to(device) for images in pair)
    result = rerank_features(query, gallery, k1=9, k2=4)
    np.testing.assert_allclose(result.cpu(), plain_rerank(*pair, k1=9, k2=4), rtol=0, atol=2e-6)


@pytest.mark.parametrize(("depth", "expected"), [(1, [1]), (2, [1, 3]), (3, [1, 3, 0]), (5, [1, 3, 0, 2, 4])])
def test_nearest_takes_the_first_of_equal_values(device: str, depth: int, expected: list[int]) -> None:
    values = torch.tensor([[2.0, 1.0, 2.0, 1.0, 2.0]], device=device)
    assert nearest(values, depth).tolist() == [expected]


def test_spans() -> None:
    entries, span = reranking.spans(torch.tensor([7, 0, 4]), torch.tensor([2, 0, 1]))
    assert (entries.tolist(), span.tolist()) == ([7, 8, 4], [0, 0, 2])


def test_summed_and_transposed() -> None:
    rows, columns = torch.tensor([2, 0, 2, 0]), torch.tensor([1, 3, 1, 0])
    matrix = reranking.summed(rows, columns, torch.tensor([1.0, 2.0, 4.0, 8.0]), 3, 4)
    assert (matrix.lengths.tolist(), matrix.columns.tolist()) == ([2, 0, 1], [0, 3, 1])
    assert matrix.weights.tolist() == [8, 2, 5]
    turned = matrix.transposed(4)
    assert (turned.lengths.tolist(), turned.columns.tolist()) == ([1, 1, 0, 1], [0, 2, 0])
    assert turned.weights.tolist() == [8, 5, 2]
    part = matrix.part(slice(1, 3))
    assert (part.lengths.tolist(), part.columns.tolist(), part.weights.tolist()) == ([0, 1], [1], [5])


@pytest.mark.parametrize("entries", [[5], [1, 2, 3, 4, 5, 6], [100, 1, 1], [0, 0, 0]])
def test_chunks_hold_every_row_once(entries: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reranking, "ENTRIES_PER_CHUNK", 6)
    found = reranking.chunks(torch.tensor(entries))
    assert [row for rows in found for row in range(rows.start, rows.stop)] == list(range(len(entries)))
    assert all(sum(entries[rows][1:]) < 6 for rows in found)


@pytest.mark.parametrize("listed", [3, 12])
def test_an_image_that_is_query_and_gallery_counts_once(listed: int) -> None:
    """To re-rank images among themselves is to re-rank some of them against the others."""
    query, gallery = clustered(12, 30)
    columns = np.random.default_rng(1).permutation(30 + listed)[:listed]
    mixed = np.insert(gallery, np.sort(columns) - np.arange(listed), query[:listed], axis=0)
    places = np.concatenate([np.sort(columns), np.full(12 - listed, -1)])
    found = rerank_features(query, mixed, 7, 3, places=places).numpy()
    others = np.setdiff1d(np.arange(30 + listed), columns)
    np.testing.assert_array_equal(mixed[others], gallery)
    np.testing.assert_allclose(found[:, others], plain_rerank(query, gallery, 7, 3), atol=2e-6)
    np.testing.assert_allclose(found[np.arange(listed), np.sort(columns)], 0, atol=1e-5)
    swapped = rerank_features(query[:listed][::-1].copy(), mixed, 7, 3, places=np.sort(columns)[::-1].copy())
    if listed == 12:
        np.testing.assert_allclose(swapped.numpy()[::-1], found, atol=2e-6)


def test_images_among_themselves_alone() -> None:
    images = np.concatenate(clustered(10, 20))
    found = rerank_features(images[::-1].copy(), images, 5, 2, places=np.arange(30)[::-1].copy()).numpy()[
        ::-1
    ]
    expected = plain_rerank(images[:10], images[10:], 5, 2)
    np.testing.assert_allclose(found[:10, 10:], expected, atol=2e-6)
    assert np.diag(found) == pytest.approx(np.zeros(30), abs=1e-5)
