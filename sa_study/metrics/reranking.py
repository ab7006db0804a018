"""k-reciprocal re-ranking (Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding").

The usual implementation holds several N×N matrices, N = Q + G. Here they exist one block of rows at a time;
what lasts are the Q×G distances and each image's nearest neighbours, and sets and encodings are sparse. All
of it is computed on the features' device.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sa_study.metrics.arrays import Numbers
from sa_study.metrics.distances import feature_pair, nearest, squared_euclidean_blocks
from sa_study.utils.errors import ConfigError, DataError

ENTRIES_PER_CHUNK = 2**20
"""Maximum size of an intermediate result in entries: memory is not to grow with the number of images."""


def rerank(
    query_features: Numbers,
    gallery_features: Numbers,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
) -> NDArray[np.float32]:
    """Return the distances of `rerank_features`, which describes the arguments and errors, as an array.

    Returns:
        Shape (Q, G), in [0, 1] up to rounding; smaller is nearer.
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
    places: NDArray[np.int64] | None = None,
) -> Tensor:
    """Return re-ranked distances: (1 − λ)·Jaccard distance + λ·original distance.

    The original distance is the squared Euclidean one over the largest that the query has to any image. Equal
    distances rank in the order of the images, queries first. k1 and k2 are capped at the number of images.

    Args:
        query_features: Real numbers, shape (Q, C), on any device; the work is done there, in float32.
        gallery_features: Real numbers, shape (G, C), on any device.
        k1: Neighbours of which the reciprocal ones are taken, at least 1.
        k2: Neighbours, the image itself included, over which encodings are averaged; 1 averages nothing.
        lambda_value: Weight λ of the original distance, 0 to 1.
        places: Each query's own place in the gallery, -1 where it has none; shape (Q,). An image that is both
            counts once, so that it is no neighbour of itself. None where no query is in the gallery.

    Returns:
        float32, shape (Q, G), on the queries' device; in [0, 1] up to rounding; smaller is nearer.

    Raises:
        DataError: Features are not two non-empty matrices of finite numbers with the same number of columns.
        ConfigError: `k1`, `k2` or `lambda_value` is out of range.
    """
    for name, value in (("k1", k1), ("k2", k2)):
        if value < 1:
            raise ConfigError(f"{name} is {value}; it must be at least 1: a number of neighbours")
    if not 0 <= lambda_value <= 1:
        raise ConfigError(
            f"lambda_value is {lambda_value}; it must lie in 0 to 1: the original distance's weight"
        )
    queries, gallery = feature_pair(query_features, gallery_features)
    features, first, columns = _all_features(queries, gallery), len(queries), None
    if places is not None and (places >= 0).any():
        images, columns = (
            torch.from_numpy(index).to(features.device) for index in _once_each(places, len(gallery))
        )
        features, first = features[images], 0
    distances = features.new_empty(len(queries), len(features) - first)
    ranks, scales = _neighbours(features, max(k1 + 1, k2), distances)
    encodings = _encode(features, scales, *_expanded_sets(ranks, k1))
    if k2 > 1:
        encodings = _average_over(ranks[:, :k2], encodings)
    _blend_jaccard(distances, encodings, lambda_value)
    return distances if columns is None else distances[:, columns]


def _once_each(places: NDArray[np.int64], num_gallery: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which images to take, queries first, so that none occurs twice, and where the gallery's are then."""
    queries, columns = np.arange(len(places)), np.full(num_gallery, -1, np.int64)
    columns[places[places >= 0]] = queries[places >= 0]
    others = np.flatnonzero(columns < 0)
    columns[others] = len(places) + np.arange(len(others))
    return np.concatenate([queries, len(places) + others]), columns


def _all_features(queries: Tensor, gallery: Tensor) -> Tensor:
    """The features of all images, queries first."""
    features = torch.cat((queries, gallery))
    broken = int((~features.isfinite()).any(dim=1).sum())
    if broken or not (len(queries) and len(gallery)):
        raise DataError(
            f"{len(queries)} query and {len(gallery)} gallery features are given, {broken} of them not"
            " finite; re-ranking needs at least one of each, and finite numbers"
        )
    return features


def _neighbours(features: Tensor, depth: int, query_to_gallery: Tensor) -> tuple[Tensor, Tensor]:
    """Each image's `depth` nearest images, itself among them, and its largest distance.

    Distances of queries to the gallery go into `query_to_gallery`, divided by their row's largest.
    """
    num_queries, first = len(query_to_gallery), len(features) - query_to_gallery.shape[1]
    depth = min(depth, len(features))
    # Filled in place: small tensors kept between freed blocks would fragment the heap.
    ranks = torch.empty(len(features), depth, dtype=torch.int64, device=features.device)
    scales = features.new_empty(len(features))
    for rows, block in squared_euclidean_blocks(features, features, reuse=True):
        ranks[rows] = nearest(block, depth)
        largest = block.amax(dim=1)
        # All images alike: their distances stay 0.
        scales[rows] = largest.masked_fill_(largest == 0, 1)
        queries = slice(rows.start, min(rows.stop, num_queries))
        if rows.start < num_queries:
            wanted = block[: queries.stop - queries.start, first:]
            torch.div(wanted, scales[queries, None], out=query_to_gallery[queries])
    return ranks, scales


def _expanded_sets(ranks: Tensor, k1: int) -> tuple[Tensor, Tensor]:
    """The sets R*: k-reciprocal sets, joined by their members' half-size sets that lie in them by over 2/3.

    Args:
        ranks: Each image's neighbours, nearest first; int64, shape (N, at least min(k1 + 1, N)).
        k1: Size of the sets, the image itself not counted.

    Returns:
        The number of each set's members, int64, shape (N,); and the members, ascending within a set, of one
        set after another, int64.
    """
    near, half = ranks[:, : k1 + 1], ranks[:, : round(k1 / 2) + 1]
    nobody = len(ranks)  # an index past the last image: an empty place
    sets, half_sets = _reciprocal(near, nobody), _reciprocal(half, nobody)
    lengths, members = [], []
    for rows in _equal_chunks(near, half.shape[1]):
        joined = _joined(sets[rows], half_sets[near[rows]], nobody)
        keys = (joined + torch.arange(len(joined), device=joined.device)[:, None] * nobody)[joined < nobody]
        keys = torch.unique(keys)
        lengths.append((keys // nobody).bincount(minlength=len(joined)))
        members.append(keys % nobody)
    return torch.cat(lengths), torch.cat(members)


def _reciprocal(near: Tensor, nobody: int) -> Tensor:
    """The neighbours that have the image among theirs too, and `nobody` in the others' places."""
    sets = torch.full_like(near, nobody)
    for rows in _equal_chunks(near, near.shape[1]):
        images = torch.arange(rows.start, rows.stop, device=near.device)
        mutual = (near[near[rows]] == images[:, None, None]).any(dim=2)
        sets[rows] = near[rows].where(mutual, nobody)
    return sets


def _joined(sets: Tensor, half_sets: Tensor, nobody: int) -> Tensor:
    """R × k sets and their members' R × k × h half-size sets, joined: R × (k + k·h), some images repeated."""
    ordered, asked = sets.sort(dim=1).values, half_sets.flatten(1)
    places = torch.searchsorted(ordered, asked).clamp_(max=sets.shape[1] - 1)
    inside = (ordered.gather(1, places) == asked).view_as(half_sets)
    there = half_sets < nobody
    enough = 3 * (inside & there).sum(dim=2) > 2 * there.sum(dim=2)
    accepted = enough & (sets < nobody)
    return torch.cat([sets, half_sets.where(accepted[:, :, None], nobody).flatten(1)], dim=1)


def _equal_chunks(near: Tensor, entries_per_neighbour: int) -> list[slice]:
    """Cuts rows as `chunks`, where every neighbour makes as many entries."""
    return chunks(near.new_full((len(near),), near.shape[1] * entries_per_neighbour))


def _encode(features: Tensor, scales: Tensor, lengths: Tensor, members: Tensor) -> SparseRows:
    """The encodings V: exp(−distance) over each image's set, adding up to 1 in each row."""
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
    """Each image's encoding replaced by the mean of its neighbours'."""
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
    num_images = len(encodings.lengths)
    holders = encodings.part(slice(num_images - num_gallery, num_images)).transposed(num_images)
    starts = holders.starts
    queries = encodings.part(slice(0, num_queries))
    num_holders = holders.lengths[queries.columns]  # gallery images whose encodings have the same column
    query = torch.repeat_interleave(queries.lengths)
    entries_of_query = torch.zeros_like(queries.lengths).index_add_(0, query, num_holders)
    for rows in chunks(entries_of_query + num_gallery):
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


@dataclass(frozen=True, eq=False)
class SparseRows:
    """The entries of a sparse matrix, row after row.

    Attributes:
        lengths: Entries of each row; int64, shape (R,).
        columns: int64, shape (E,); none twice in a row.
        weights: float32, shape (E,).
    """

    lengths: Tensor
    columns: Tensor
    weights: Tensor

    @property
    def starts(self) -> Tensor:
        """Each row's first entry; int64, shape (R,)."""
        return self.lengths.cumsum(0) - self.lengths

    def part(self, rows: slice) -> SparseRows:
        """Some successive rows."""
        first, beyond = int(self.lengths[: rows.start].sum()), int(self.lengths[: rows.stop].sum())
        return SparseRows(self.lengths[rows], self.columns[first:beyond], self.weights[first:beyond])

    def transposed(self, num_columns: int) -> SparseRows:
        """The columns as rows."""
        columns, order = self.columns.sort(stable=True)
        rows = torch.repeat_interleave(self.lengths)
        return SparseRows(columns.bincount(minlength=num_columns), rows[order], self.weights[order])


def stacked(parts: Iterable[SparseRows]) -> SparseRows:
    """The rows of all parts."""
    fields = zip(*((part.lengths, part.columns, part.weights) for part in parts), strict=True)
    return SparseRows(*(torch.cat(field) for field in fields))


def summed(rows: Tensor, columns: Tensor, weights: Tensor, num_rows: int, num_columns: int) -> SparseRows:
    """A matrix in which entries at the same place add up, by column within a row."""
    keys, order = (rows * num_columns + columns).sort(stable=True)
    places, place = torch.unique_consecutive(keys, return_inverse=True)
    sums = weights.new_zeros(len(places)).index_add_(0, place, weights[order])
    return SparseRows((places // num_columns).bincount(minlength=num_rows), places % num_columns, sums)


def spans(starts: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The entries in spans, and each one's span: of [7, 4], [2, 1] these are [7, 8, 4] and [0, 0, 1]."""
    span = torch.repeat_interleave(lengths)
    shifts = starts - (lengths.cumsum(0) - lengths)
    return shifts[span].add_(torch.arange(len(span), device=span.device)), span


def chunks(entries: Tensor) -> list[slice]:
    """Runs of rows of less than `ENTRIES_PER_CHUNK` entries together, apart from each run's first row."""
    run = entries.cumsum(0) // ENTRIES_PER_CHUNK
    bounds = [0, *(run.diff().nonzero()[:, 0] + 1).tolist(), len(entries)]
    return [slice(start, stop) for start, stop in pairwise(bounds)]
