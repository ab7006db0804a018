"""k-reciprocal re-ranking (Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding").

The usual implementation holds several N×N matrices, N = Q + G. Here distances exist one block of rows at a
time; what lasts is each image's nearest neighbours, and sets and encodings are sparse. All of it is computed
on the features' device.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sa_study.metrics.arrays import Numbers
from sa_study.metrics.distances import feature_pair, squared_euclidean_blocks
from sa_study.metrics.neighbours import expanded_sets, nearest
from sa_study.metrics.sparse import ENTRIES_PER_CHUNK, SparseRows, chunks, spans, stacked, summed
from sa_study.utils.errors import ConfigError, DataError


def rerank(
    query_features: Numbers,
    gallery_features: Numbers,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
) -> NDArray[np.float32]:
    """Return the distances of `rerank_features` as an array.

    Args:
        query_features: Real numbers, shape (Q, C), taken as float32. A tensor's device does the work.
        gallery_features: Real numbers, shape (G, C).
        k1: See `rerank_features`, as for what follows.
        k2: An integer.
        lambda_value: A fraction.

    Returns:
        Shape (Q, G), in [0, 1] up to rounding; smaller is nearer.

    Raises:
        DataError: Features are not two non-empty matrices of finite numbers with the same number of columns.
        ConfigError: `k1`, `k2` or `lambda_value` is out of range.
    """
    reranked = rerank_features(query_features, gallery_features, k1, k2, lambda_value)
    result: NDArray[np.float32] = reranked.cpu().numpy()
    return result


def rerank_features(
    query_features: Numbers,
    gallery_features: Numbers,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
) -> Tensor:
    """Return re-ranked distances: (1 − λ)·Jaccard distance + λ·original distance.

    The original distance is the squared Euclidean one over the largest that the query has to any image. Equal
    distances rank in the order of the images, queries first. Neighbours are cut to the number of images.

    Args:
        query_features: Real numbers, shape (Q, C), on any device; the work is done there, in float32.
        gallery_features: Real numbers, shape (G, C), on any device.
        k1: Neighbours of which the reciprocal ones are taken, at least 1.
        k2: Neighbours, the image itself included, over which encodings are averaged; 1 averages nothing.
        lambda_value: Weight λ of the original distance, 0 to 1.

    Returns:
        float32, shape (Q, G), on the queries' device; in [0, 1] up to rounding; smaller is nearer.

    Raises:
        DataError: Features are not two non-empty matrices of finite numbers with the same number of columns.
        ConfigError: `k1`, `k2` or `lambda_value` is out of range.
    """
    _check_settings(k1, k2, lambda_value)
    queries, gallery = feature_pair(query_features, gallery_features)
    features = _stacked(queries, gallery)
    distances = features.new_empty(len(queries), len(gallery))
    ranks, scales = _neighbours(features, max(k1 + 1, k2), distances)
    encodings = _encode(features, scales, *expanded_sets(ranks, k1))
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


def _stacked(queries: Tensor, gallery: Tensor) -> Tensor:
    """Return the features of all images, queries first."""
    features = torch.cat((queries, gallery))
    broken = int((~features.isfinite()).any(dim=1).sum())
    if broken or not (len(queries) and len(gallery)):
        raise DataError(
            f"{len(queries)} query and {len(gallery)} gallery features are given, {broken} of them not"
            " finite; re-ranking needs at least one of each, and finite numbers"
        )
    return features


def _neighbours(features: Tensor, depth: int, query_to_gallery: Tensor) -> tuple[Tensor, Tensor]:
    """Return each image's `depth` nearest images, itself among them, and its largest distance.

    Distances of queries to the gallery go into `query_to_gallery`, divided by their row's largest.
    """
    num_queries = len(query_to_gallery)
    depth = min(depth, len(features))
    # Filled in place: small results kept between freed blocks would fragment the heap by a block each time.
    ranks = torch.empty(len(features), depth, dtype=torch.int64, device=features.device)
    scales = features.new_empty(len(features))
    for rows, block in squared_euclidean_blocks(features, features, reuse=True):
        ranks[rows] = nearest(block, depth)
        largest = block.amax(dim=1)
        # All images alike: their distances stay 0.
        scales[rows] = largest.masked_fill_(largest == 0, 1)
        queries = slice(rows.start, min(rows.stop, num_queries))
        if rows.start < num_queries:
            wanted = block[: queries.stop - queries.start, num_queries:]
            torch.div(wanted, scales[queries, None], out=query_to_gallery[queries])
    return ranks, scales


def _encode(features: Tensor, scales: Tensor, lengths: Tensor, members: Tensor) -> SparseRows:
    """Return the encodings V: exp(−distance) over each image's set, adding up to 1 in each row."""
    rows = torch.repeat_interleave(lengths)
    squared = features.new_empty(len(rows))
    step = max(1, ENTRIES_PER_CHUNK // features.shape[1])
    for start in range(0, len(rows), step):
        chunk = slice(start, start + step)
        squared[chunk] = (features[rows[chunk]] - features[members[chunk]]).square_().sum(dim=1)
    weights = squared.div_(scales[rows]).neg_().exp_()
    totals = scales.new_zeros(len(scales)).index_add_(0, rows, weights)
    return SparseRows(lengths, members, weights.div_(totals[rows]))


def _average_over(neighbours: Tensor, encodings: SparseRows) -> SparseRows:
    """Return each image's encoding averaged over some images'."""
    num_images, depth = neighbours.shape
    starts = encodings.starts

    def average(near: Tensor) -> SparseRows:
        entries, span = spans(starts[near].flatten(), encodings.lengths[near].flatten())
        weights = encodings.weights[entries] / depth
        return summed(span // depth, encodings.columns[entries], weights, len(near), num_images)

    entries_of_each = encodings.lengths[neighbours].sum(dim=1)
    return stacked(average(neighbours[rows]) for rows in chunks(entries_of_each))


def _blend_jaccard(distances: Tensor, encodings: SparseRows, lambda_value: float) -> None:
    """Turn original distances into (1 − λ)·Jaccard + λ·original, in place."""
    num_queries, num_gallery = distances.shape
    num_images = num_queries + num_gallery
    holders = encodings.part(slice(num_queries, num_images)).transposed(num_images)
    starts = holders.starts
    queries = encodings.part(slice(0, num_queries))
    met = holders.lengths[queries.columns]
    query = torch.repeat_interleave(queries.lengths)
    met_by_query = torch.zeros_like(queries.lengths).index_add_(0, query, met)
    for rows in chunks(met_by_query + num_gallery):
        part = queries.part(rows)
        entries, span = spans(starts[part.columns], holders.lengths[part.columns])
        minima = torch.minimum(part.weights[span], holders.weights[entries])
        first_of_row = torch.repeat_interleave(part.lengths) * num_gallery
        places = first_of_row[span].add_(holders.columns[entries])
        block = distances[rows]
        shared = torch.zeros_like(block)
        shared.view(-1).index_add_(0, places, minima)
        # Encodings add up to 1: the sum of maxima, the Jaccard denominator, is 2 less the sum of minima.
        jaccard = 1 - shared / (2 - shared)
        block.mul_(lambda_value).add_(jaccard, alpha=1 - lambda_value)
