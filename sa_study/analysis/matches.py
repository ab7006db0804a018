"""The nearest images of each query, among images whose features are in a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from sa_study.analysis.features import CHUNK, FeatureFiles, chunk_progress, csv_text, features_of_files
from sa_study.metrics.distances import nearest, squared_euclidean_blocks
from sa_study.training.extractor import FeatureExtractor
from sa_study.utils.errors import DataError
from sa_study.utils.files import write_atomically
from sa_study.utils.progress import PhaseCallback

MATCHES = "matches.csv"


@dataclass(frozen=True)
class Matches:
    """The nearest images of some queries.

    Attributes:
        queries: The query images.
        rows: For each query the rows of its nearest images, the nearest first: [queries, matches].
        distances: Squared Euclidean distances, in the same shape.
    """

    queries: Sequence[Path]
    rows: NDArray[np.int64]
    distances: NDArray[np.float32]


def write_matches(
    extractor: FeatureExtractor,
    queries: Sequence[Path],
    gallery: FeatureFiles,
    top: int,
    out: Path,
    report: PhaseCallback,
) -> tuple[Matches, dict[Path, str]]:
    """Writes `matches.csv`: query, rank from 1, path and distance, a row for each of a query's `top` matches.

    Returns:
        The matches of the first queries, to be shown, and why others were skipped, by their paths.

    Raises:
        DataError: None of the queries can be read.
    """
    first: list[Matches] = []
    errors: dict[Path, str] = {}

    def write(file: BinaryIO) -> None:
        file.write(csv_text([("query", "rank", "path", "distance")]).encode())
        for start in range(0, len(queries), CHUNK):
            chunk = queries[start : start + CHUNK]
            features, reasons = features_of_files(
                extractor, chunk, chunk_progress(report, "queries", start, len(queries))
            )
            errors.update((path, reason) for path, reason in zip(chunk, reasons, strict=True) if reason)
            read = [number for number, reason in enumerate(reasons) if not reason]
            if read:
                found = find_matches([chunk[number] for number in read], features[read], gallery, top)
                file.write(csv_text(_match_rows(found, gallery)).encode("utf-8", "surrogateescape"))
                first[:] = first or [found]

    write_atomically(out / MATCHES, write)
    if not first:
        (out / MATCHES).unlink()
        reason = next(iter(errors.values()))
        raise DataError(f"none of {len(queries):,} queries can be read; the first: {reason}")
    return first[0], errors


def _match_rows(matches: Matches, gallery: FeatureFiles) -> Iterator[tuple[str, int, str, str]]:
    for query, rows, distances in zip(matches.queries, matches.rows, matches.distances, strict=True):
        for rank, (row, distance) in enumerate(zip(rows, distances, strict=True), 1):
            yield str(query), rank, str(gallery.paths[row]), f"{distance:.6g}"


def find_matches(
    queries: Sequence[Path], features: NDArray[np.float32], gallery: FeatureFiles, top: int
) -> Matches:
    """The `top` nearest images of each query, of the features Q×D; images without features match nothing.

    The gallery's features are read from the disk chunk by chunk.
    """
    found = np.empty((len(queries), 0), np.int64)
    best = torch.empty(len(queries), 0)
    for start in range(0, len(gallery.paths), CHUNK):
        part = np.array(gallery.features[start : start + CHUNK])
        read = np.flatnonzero(~np.isnan(part[:, 0]))
        rows = np.broadcast_to(start + read, (len(queries), len(read)))
        candidates = np.concatenate([found, rows], axis=1)
        blocks = [block for _, block in squared_euclidean_blocks(features, part[read])] if len(read) else []
        distances = torch.cat([best, *([torch.cat(blocks)] if blocks else [])], dim=1)
        chosen = nearest(distances, min(top, distances.shape[1]))
        found, best = np.take_along_axis(candidates, chosen.numpy(), 1), distances.gather(1, chosen)
    return Matches(queries, found, best.numpy())
