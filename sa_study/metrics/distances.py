"""Squared Euclidean distances between feature sets, one block of queries at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from sa_study.metrics.arrays import Numbers, as_tensor, label_vectors, real_array
from sa_study.metrics.ranking import RankingAccumulator, RankingMetrics
from sa_study.utils.errors import DataError

ROWS_PER_BLOCK = 256
COLUMNS_PER_PRODUCT = 2048
"""On the CPU: what a product of the whole gallery reads and writes does not stay in its cache."""


def squared_euclidean_blocks(
    query_features: Numbers, gallery_features: Numbers, *, reuse: bool = False
) -> Iterator[tuple[slice, Tensor]]:
    """Return the distance matrix in blocks of rows, each computed when asked for, by matrix products.

    A distance is |q|² + |g|² − 2·q·g, at least 0. The sum cancels for nearly equal features: expect an
    absolute error of about 1e-6·(|q|² + |g|²), whatever products PyTorch is set to.

    Args:
        query_features: Real numbers, shape (Q, C); a tensor's device does the work, in float32.
        gallery_features: Real numbers, shape (G, C), on any device.
        reuse: Put every block where the one before was: for who is done with that when asking for the next.

    Returns:
        Pairs of a slice of query rows and their distances: float32, shape (rows, G), on the queries' device.

    Raises:
        DataError: The features are not two matrices with the same number of columns.
    """
    queries, gallery = feature_pair(query_features, gallery_features)
    norms = torch.cat([part.square().sum(dim=1) for part in gallery.split(COLUMNS_PER_PRODUCT)])
    space = queries.new_empty(min(ROWS_PER_BLOCK, len(queries)), len(gallery)) if reuse else None

    def distances(rows: slice) -> Tensor:
        part = queries[rows]
        result = part.new_empty(len(part), len(gallery)) if space is None else space[: len(part)]
        _write_distances(result, part, gallery, norms)
        return result

    starts = range(0, len(queries), ROWS_PER_BLOCK)
    slices = (slice(start, min(start + ROWS_PER_BLOCK, len(queries))) for start in starts)
    return ((rows, distances(rows)) for rows in slices)


def _write_distances(result: Tensor, queries: Tensor, gallery: Tensor, norms: Tensor) -> None:
    tile = COLUMNS_PER_PRODUCT if gallery.device.type == "cpu" else max(1, len(gallery))
    own_norms = queries.square().sum(dim=1, keepdim=True)
    with full_precision(queries.device):
        for start in range(0, len(gallery), tile):
            columns = slice(start, start + tile)
            torch.addmm(norms[columns], queries, gallery[columns].T, alpha=-2, out=result[:, columns])
            result[:, columns].add_(own_norms).clamp_(min=0)


def nearest(block: Tensor, depth: int) -> Tensor:
    """Return the columns of each row's `depth` smallest values, equal ones in the order of the columns."""
    values, found = block.topk(min(depth + 1, block.shape[1]), largest=False)
    found = found[:, :depth].sort(dim=1).values
    ordered = found.gather(1, block.gather(1, found).argsort(dim=1, stable=True))
    if values.shape[1] > depth:
        # Where the cut falls between equal values, topk keeps any of them; only a full sort keeps the first.
        cut_in_tie = (values[:, depth - 1] == values[:, depth]).nonzero()[:, 0]
        ordered[cut_in_tie] = block[cut_in_tie].argsort(dim=1, stable=True)[:, :depth]
    return ordered


def rank_features(
    query_features: Numbers,
    gallery_features: Numbers,
    query_pids: Numbers,
    gallery_pids: Numbers,
    query_camids: Numbers,
    gallery_camids: Numbers,
) -> RankingMetrics:
    """Return the figures of ranking by squared Euclidean distance, holding one block of distances at a time.

    Args:
        query_features: Real numbers, shape (Q, C), on any device.
        gallery_features: Real numbers, shape (G, C), on any device.
        query_pids: Integers, shape (Q,).
        gallery_pids: Integers, shape (G,).
        query_camids: Integers, shape (Q,).
        gallery_camids: Integers, shape (G,).

    Raises:
        DataError: Shapes do not fit, a feature is NaN, or no query has a match.
    """
    accumulator = RankingAccumulator(gallery_pids, gallery_camids)
    pids, camids = label_vectors("query", query_pids, query_camids)
    queries, gallery = feature_pair(query_features, gallery_features)
    if len(pids) != len(queries):
        raise DataError(f"{len(queries)} query features but {len(pids)} query_pids; give one pid per feature")
    for rows, distances in squared_euclidean_blocks(queries, gallery, reuse=True):
        accumulator.add(distances, pids[rows], camids[rows])
    return accumulator.result()


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Has float32 products computed in float32 within: neither TF32 nor bfloat16, nor under autocast."""
    matmul = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    of_backends = [backend.fp32_precision for backend in matmul]
    try:
        of_all = torch.get_float32_matmul_precision()
    except RuntimeError:  # Precision was set by backend; then this older setting is still at its default.
        of_all = "highest"
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(of_all)
        for backend, precision in zip(matmul, of_backends, strict=True):
            backend.fp32_precision = precision


def feature_pair(query_features: Numbers, gallery_features: Numbers) -> tuple[Tensor, Tensor]:
    """Return both as float32 without gradient on the queries' device.

    Raises:
        DataError: They are not two matrices of real numbers with the same number of columns.
    """
    expected = "a matrix of real numbers, one row per image"
    queries, gallery = (
        as_tensor(real_array(name, features, expected, (None, None)), torch.float32)
        for name, features in (("query_features", query_features), ("gallery_features", gallery_features))
    )
    shapes = tuple(queries.shape), tuple(gallery.shape)
    if not shapes[0][1] == shapes[1][1] > 0:
        raise DataError(
            f"query_features has shape {shapes[0]} and gallery_features {shapes[1]}; both must have the same"
            " number of columns, at least one"
        )
    return queries, gallery.to(queries.device)
