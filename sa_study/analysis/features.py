"""Features of any number of images, in files: streamed to disk, and gone on with after an interruption."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sa_study.data.images import for_each_image
from sa_study.metrics.distances import nearest, squared_euclidean_blocks
from sa_study.training.extractor import FeatureExtractor
from sa_study.utils.errors import DataError, StudyFolderError
from sa_study.utils.files import name_in_errors, read_json, require_writable, write_json
from sa_study.utils.progress import PhaseCallback

FEATURES, ROWS, MATCHES = "features.npy", "features.csv", "matches.csv"

CHUNK = 1024
"""Images in memory at a time. A chunk is written as a whole, so an interruption costs at most one."""

_Chunk = tuple[NDArray[np.float32], list[str]]


@dataclass(frozen=True)
class FeatureFiles:
    """What was written.

    Attributes:
        paths: The images, in the order of the rows.
        features: N×D, float32, as a file in memory; rows of skipped images are NaN.
        errors: Why an image was skipped, by its row.
        resumed: How many images an earlier call had done.
    """

    paths: Sequence[Path]
    features: NDArray[np.float32]
    errors: dict[int, str]
    resumed: int


def write_features(
    extractor: FeatureExtractor, images: Sequence[Path], out: Path, report: PhaseCallback
) -> FeatureFiles:
    """Writes `features.npy` and `features.csv` into a folder, which appear when all are done.

    `features.npy` has a row for each image in order, `features.csv` its path and, where it was skipped, the
    reason. A call that was interrupted is gone on with by the same call.

    Args:
        extractor: The network.
        images: The images, at least one.
        out: The folder; made if missing.
        report: Told how far it is.

    Raises:
        DataError: None of the images can be read.
        StudyFolderError: `out` is a file, or holds the beginning of another call's features.
        OSError: `out` cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise StudyFolderError(f"{out}: is a file; name a folder by --out")
    out.mkdir(parents=True, exist_ok=True)
    for name in (FEATURES, ROWS):
        require_writable(out / name)
    unfinished = _Unfinished(out, extractor, images)
    resumed = done = unfinished.done()
    while done < len(images):
        chunk = _features(extractor, images[done : done + CHUNK], partial(_shift, report, done, len(images)))
        unfinished.append(done, *chunk)
        done += len(chunk[1])
        report("features", done, len(images))
    errors = unfinished.finish()
    return FeatureFiles(images, np.load(out / FEATURES, mmap_mode="r"), errors, resumed)


def _shift(report: PhaseCallback, before: int, total: int, done: int, _: int) -> None:
    report("features", before + done, total)


def _features(extractor: FeatureExtractor, paths: Sequence[Path], progress: Any) -> _Chunk:
    """Features of some images, NaN where one cannot be read, and the reasons, empty for none."""
    read = for_each_image(partial(_read, extractor), paths, None)
    errors = [found if isinstance(found, str) else "" for found in read]
    pictures = [found for found in read if not isinstance(found, str)]
    if not pictures:
        return np.empty((0, 0), np.float32), errors
    features = extractor(pictures, progress)
    rows = np.full((len(paths), features.shape[1]), np.nan, np.float32)
    rows[[not error for error in errors]] = features
    return rows, errors


def _read(extractor: FeatureExtractor, path: Path) -> Image.Image | str:
    try:
        return extractor.open(path)
    except DataError as error:
        return str(error)


class _Unfinished:
    """The files of a call that has not ended, under hidden names: what is asked for, features, and rows."""

    def __init__(self, out: Path, extractor: FeatureExtractor, images: Sequence[Path]):
        self._out = out
        self._about, self._npy, self._csv = (out / f".{name}" for name in ("about.json", FEATURES, ROWS))
        self._images = images
        digest = hashlib.sha256("\n".join(map(str, images)).encode("utf-8", "surrogateescape"))
        self._asked = {
            "images": len(images),
            "paths": digest.hexdigest(),
            "weights": _digest(extractor.trained.source),
            "settings": extractor.trained.settings.to_dict(),
        }

    def done(self) -> int:
        """How many images an earlier call has done."""
        if not self._about.exists():
            with name_in_errors(self._out / FEATURES, instead_of=self._about):
                write_json(self._about, self._asked)
            self._npy.unlink(missing_ok=True)
            self._csv.write_text("path,error\n", encoding="utf-8")
            return 0
        try:
            same = read_json(self._about) == self._asked
        except (OSError, ValueError):
            same = False
        if not same:
            raise StudyFolderError(
                f"{self._out}: holds the beginning of other features, of other images or another network; "
                "give another --out, or remove the folder"
            )
        return self._whole_chunks()

    def _whole_chunks(self) -> int:
        rows = list(self._rows())
        done = len(rows) - len(rows) % CHUNK if len(rows) < len(self._images) else len(rows)
        self._write_rows(rows[:done], "w")  # without what was only half written
        return done

    def append(self, start: int, features: NDArray[np.float32], errors: Sequence[str]) -> None:
        """Writes a chunk: its features first, so that a row in the list means that they are there."""
        with name_in_errors(self._out / FEATURES, instead_of=self._npy):
            self._write_features(start, len(errors), features)
        paths = self._images[start : start + len(errors)]
        with name_in_errors(self._out / ROWS, instead_of=self._csv):
            self._write_rows(list(zip(map(str, paths), errors, strict=True)), "a")

    def _write_features(self, start: int, count: int, features: NDArray[np.float32]) -> None:
        """Writes the rows of a chunk; before any image could be read, their width is not known."""
        if not self._npy.exists():
            if not features.size:
                return
            header = np.lib.format.header_data_from_array_1_0(features[:0])
            with self._npy.open("wb") as file:
                shape = (len(self._images), features.shape[1])
                np.lib.format.write_array_header_1_0(file, {**header, "shape": shape})
                for before in range(0, start, CHUNK):  # none of these could be read
                    np.full((min(CHUNK, start - before), shape[1]), np.nan, np.float32).tofile(file)
        with self._npy.open("r+b") as file:
            np.lib.format.read_magic(file)
            (_, width), _, _ = np.lib.format.read_array_header_1_0(file)
            file.seek(4 * width * start, os.SEEK_CUR)
            rows = features if features.size else np.full((count, width), np.nan, np.float32)
            file.write(rows.tobytes())
            file.flush()
            os.fsync(file.fileno())

    def finish(self) -> dict[int, str]:
        """Gives the files their names; returns the reasons of skipped images by row."""
        errors = {number: error for number, (_, error) in enumerate(self._rows()) if error}
        if len(errors) == len(self._images):
            first = errors[0]
            for path in (self._about, self._npy, self._csv):
                path.unlink(missing_ok=True)
            raise DataError(f"none of {len(errors):,} images can be read; the first: {first}")
        self._npy.replace(self._out / FEATURES)
        self._csv.replace(self._out / ROWS)
        self._about.unlink()
        return errors

    def _rows(self) -> Iterator[tuple[str, str]]:
        with self._csv.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = csv.reader(file)
            next(rows, None)
            yield from ((row[0], row[1]) for row in rows if len(row) == 2)

    def _write_rows(self, rows: Sequence[tuple[str, str]], mode: str) -> None:
        with self._csv.open(mode, encoding="utf-8", errors="surrogateescape", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            if mode == "w":
                writer.writerow(["path", "error"])
            writer.writerows(rows)
            file.flush()
            os.fsync(file.fileno())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Matches:
    """The nearest images of each query.

    Attributes:
        queries: The query images.
        rows: For each query the rows of its nearest images, the nearest first: [queries, matches].
        distances: Squared Euclidean distances, in the same shape.
    """

    queries: Sequence[Path]
    rows: NDArray[np.int64]
    distances: NDArray[np.float32]


def find_matches(
    queries: Sequence[Path], features: NDArray[np.float32], gallery: FeatureFiles, top: int
) -> Matches:
    """The nearest images of each query; images without features match nothing.

    Args:
        queries: The query images.
        features: Their features, Q×D.
        gallery: The images to find.
        top: How many for each query.
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


def write_matches(matches: Matches, gallery: FeatureFiles, out: Path) -> None:
    """Writes `matches.csv`: query, rank from 1, path and distance, a row for each match."""
    temporary = out / f".{MATCHES}"
    with name_in_errors(out / MATCHES, instead_of=temporary):
        with temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["query", "rank", "path", "distance"])
            for query, rows, distances in zip(matches.queries, matches.rows, matches.distances, strict=True):
                for rank, (row, distance) in enumerate(zip(rows, distances, strict=True), 1):
                    writer.writerow([query, rank, gallery.paths[row], f"{distance:.6g}"])
        temporary.replace(out / MATCHES)
