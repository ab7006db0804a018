"""k-reciprocal re-ranking (Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding").

The usual implementation holds several N×N matrices, N = Q + G. Here distances exist one block of rows at a
time; what lasts is each image's nearest neighbours. Neighbour sets and their encodings are sparse matrices.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from torch import Tensor

from sa_study.errors import ConfigError, DataError
from sa_study.metrics.distances import feature_pair, squared_euclidean_blocks

_VALUES_PER_CHUNK = 2**20


def rerank(
    query_features: ArrayLike | Tensor,
    gallery_features: ArrayLike | Tensor,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
) -> NDArray[np.float32]:
    """Return re-ranked distances: (1 − λ)·Jaccard distance + λ·original distance.

    The original distance is the squared Euclidean one over the largest that the query has to any image. Equal
    distances rank in the order of the images, queries first. Neighbours are cut to the number of images.

    Args:
        query_features: Real numbers, shape (Q, C), taken as float32. A tensor's distances are computed on its
            device.
        gallery_features: Real numbers, shape (G, C).
        k1: Neighbours of which the reciprocal ones are taken, at least 1.
        k2: Neighbours, the image itself included, over which encodings are averaged; 1 averages nothing.
        lambda_value: Weight λ of the original distance, 0 to 1.

    Returns:
        Shape (Q, G), in [0, 1] up to rounding; smaller is nearer.

    Raises:
        DataError: Features are not two non-empty matrices of finite numbers with the same number of columns.
        ConfigError: `k1`, `k2` or `lambda_value` is out of range.
    """
    _check_settings(k1, k2, lambda_value)
    features, num_queries = _stacked(query_features, gallery_features)
    distances = np.empty((num_queries, len(features) - num_queries), dtype=np.float32)
    ranks, scales = _neighbours(features, max(k1 + 1, k2), distances)
    encodings = _encode(features, scales, _expanded_sets(ranks, k1))
    if k2 > 1:
        encodings = _average_over(ranks[:, :k2], encodings)
    _blend_jaccard(distances, encodings, lambda_value)
    return distances


def _check_settings(k1: int, k2: int, lambda_value: float) -> None:
    for name, value in (("k1", k1), ("k2", k2)):
        if value < 1:
            raise ConfigError(f"{name} is {value}; it must be at least 1: a number of neighbours")
    if not 0 <= lambda_value <= 1:
        raise ConfigError(
            f"lambda_value is {lambda_value}; it must lie in 0 to 1: the original distance's weight"
        )


def _stacked(query_features: ArrayLike | Tensor, gallery_features: ArrayLike | Tensor) -> tuple[Tensor, int]:
    """Return the features of all images, queries first, and the number of queries."""
    queries, gallery = (
        # A copy, because arrays shared between processes are read-only, which PyTorch does not support.
        given if isinstance(given, Tensor) else torch.from_numpy(np.array(given, dtype=np.float32))
        for given in (query_features, gallery_features)
    )
    features = torch.cat(feature_pair(queries, gallery))
    broken = int((~features.isfinite()).any(dim=1).sum())
    if broken or not (len(queries) and len(gallery)):
        raise DataError(
            f"{len(queries)} query and {len(gallery)} gallery features are given, {broken} of them not"
            " finite; re-ranking needs at least one of each, and finite numbers"
        )
    return features, len(queries)


def _neighbours(
    features: Tensor, depth: int, query_to_gallery: NDArray[np.float32]
) -> tuple[NDArray[np.int64], Tensor]:
    """Return each image's `depth` nearest images, itself among them, and its largest distance.

    Distances are divided by their row's largest; those of queries to the gallery go into `query_to_gallery`.
    """
    num_queries = len(query_to_gallery)
    depth = min(depth, len(features))
    # Filled in place: small results kept between freed blocks would fragment the heap by a block each time.
    ranks = np.empty((len(features), depth), dtype=np.int64)
    scales = features.new_empty(len(features))
    for rows, block in squared_euclidean_blocks(features, features):
        scale = block.amax(dim=1, keepdim=True)
        # All images alike: their distances stay 0.
        scale[scale == 0] = 1
        block /= scale
        if rows.start < num_queries:
            wanted = block[: num_queries - rows.start, num_queries:]
            query_to_gallery[rows.start : rows.start + len(wanted)] = wanted.cpu().numpy()
        ranks[rows] = _nearest(block, depth).cpu().numpy()
        scales[rows] = scale[:, 0]
    return ranks, scales


def _nearest(block: Tensor, depth: int) -> Tensor:
    """Return the columns of each row's `depth` smallest values, equal ones in the order of the columns."""
    values, found = block.topk(min(depth + 1, block.shape[1]), largest=False)
    found = found[:, :depth].sort(dim=1).values
    nearest = found.gather(1, block.gather(1, found).argsort(dim=1, stable=True))
    if values.shape[1] > depth:
        # Where the cut falls between equal values, topk keeps any of them; only a full sort keeps the first.
        cut_in_tie = (values[:, depth - 1] == values[:, depth]).nonzero()[:, 0]
        nearest[cut_in_tie] = block[cut_in_tie].argsort(dim=1, stable=True)[:, :depth]
    return nearest


def _reciprocal_sets(ranks: NDArray[np.int64]) -> csr_array:
    """Return the N×N 0/1 matrix of pairs that are among each other's neighbours."""
    size, depth = ranks.shape
    ones = np.ones(ranks.size, dtype=np.int32)
    forward = csr_array((ones, ranks.ravel(), np.arange(0, ranks.size + 1, depth)), shape=(size, size))
    return forward.multiply(forward.T.tocsr())


def _expanded_sets(ranks: NDArray[np.int64], k1: int) -> csr_array:
    """Return the sets R*: k-reciprocal sets, each joined by its members' half-size sets over 2/3 in it."""
    sets = _reciprocal_sets(ranks[:, : k1 + 1])
    half_sets = _reciprocal_sets(ranks[:, : round(k1 / 2) + 1])
    sizes = half_sets.sum(axis=1)
    # half_sets is symmetric: entry (i, c) of the product counts the images that set i shares with half-set c.
    accepted = (sets @ half_sets).multiply(sets).tocsr()
    accepted.data = (3 * accepted.data > 2 * sizes[accepted.indices]).astype(np.int32)
    accepted.eliminate_zeros()
    return (sets + accepted @ half_sets).tocsr()


def _encode(features: Tensor, scales: Tensor, sets: csr_array) -> csr_array:
    """Return the encodings V: exp(−distance) over each image's set, adding up to 1 in each row."""
    sizes = np.diff(sets.indptr)
    rows = torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes))
    columns = torch.from_numpy(sets.indices.astype(np.int64))
    squared = features.new_empty(len(rows))
    step = max(1, _VALUES_PER_CHUNK // features.shape[1])
    for start in range(0, len(rows), step):
        chunk = slice(start, start + step)
        squared[chunk] = (features[rows[chunk]] - features[columns[chunk]]).square_().sum(dim=1)
    weights = (squared / scales[rows]).neg().exp().cpu().numpy()
    encodings = csr_array((weights, sets.indices, sets.indptr), shape=sets.shape)
    encodings.data /= np.repeat(encodings.sum(axis=1), sizes)
    return encodings


def _average_over(neighbours: NDArray[np.int64], encodings: csr_array) -> csr_array:
    size, depth = neighbours.shape
    weights = np.full(neighbours.size, 1 / depth, dtype=np.float32)
    bounds = np.arange(0, neighbours.size + 1, depth)
    return csr_array((weights, neighbours.ravel(), bounds), shape=(size, size)) @ encodings


def _blend_jaccard(distances: NDArray[np.float32], encodings: csr_array, lambda_value: float) -> None:
    """Turn original distances into (1 − λ)·Jaccard + λ·original, in place."""
    num_queries, num_gallery = distances.shape
    holders = encodings[num_queries:].T.tocsr()
    for query, row in enumerate(distances):
        bounds = slice(encodings.indptr[query], encodings.indptr[query + 1])
        shared = holders[encodings.indices[bounds]]
        weights = np.repeat(encodings.data[bounds], np.diff(shared.indptr))
        # Encodings add up to 1: the sum of maxima, the Jaccard denominator, is 2 less the sum of minima.
        minima = np.bincount(shared.indices, np.minimum(weights, shared.data), minlength=num_gallery)
        jaccard = 1 - minima / (2 - minima)
        row[:] = (1 - lambda_value) * jaccard + lambda_value * row
