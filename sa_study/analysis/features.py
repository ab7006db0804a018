"""Features of any number of images, in files: streamed to disk, and resumed after an interruption."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sa_study.data.images import for_each_image
from sa_study.study.lock import driver_lock
from sa_study.training.extractor import FeatureExtractor
from sa_study.utils.errors import DataError, StudyFolderError
from sa_study.utils.files import name_in_errors, read_json, write_atomically, write_json, write_text
from sa_study.utils.progress import PhaseCallback, ProgressCallback

FEATURES, ROWS, ABOUT = "features.npy", "features.csv", "features.json"

CHUNK = 512
"""Images in memory at a time. A chunk is written as a whole, so an interruption costs at most one."""

_HEADING = ("path", "error")


@dataclass(frozen=True)
class FeatureFiles:
    """The features that `write_features` has written, and of which images they are.

    Attributes:
        paths: The images, in the order of the rows.
        features: N×D, float32, read from the file; rows of skipped images are NaN.
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
    """Writes `features.npy`, `features.csv` and `features.json` into a folder; they appear when all is done.

    `features.npy` has a row for each image in order, `features.csv` its path and, where it was skipped, the
    reason; `features.json` names network and images. An interrupted call is resumed by the same call, and one
    that has ended is not repeated. The folder is made if missing.

    Raises:
        DataError: None of the images can be read.
        StudyFolderError: `out` is a file, holds other features, or is written by another process.
        OSError: `out` cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise StudyFolderError(f"{out}: is a file; name a folder by --out")
    new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        with driver_lock(out / ".features.lock"):
            resumed, errors_by_row = _write(extractor, images, out, report)
    except DataError:
        if new:
            out.rmdir()
        raise
    return FeatureFiles(images, np.load(out / FEATURES, mmap_mode="r"), errors_by_row, resumed)


def _write(
    extractor: FeatureExtractor, images: Sequence[Path], out: Path, report: PhaseCallback
) -> tuple[int, dict[int, str]]:
    """Does what is left; gives the number of images that were done before, and the errors by row."""
    files = _Files(out, extractor, images)
    resumed = done = files.done()
    while done < len(images):
        chunk = images[done : done + CHUNK]
        features, errors = features_of_files(
            extractor, chunk, chunk_progress(report, "features", done, len(images))
        )
        files.append(done, features, errors)
        done += len(chunk)
    return resumed, files.finish()


def chunk_progress(report: PhaseCallback, phase: str, before: int, total: int) -> ProgressCallback:
    """Reports the progress of a chunk as that of the whole."""
    return lambda done, _: report(phase, before + done, total)


def features_of_files(
    extractor: FeatureExtractor, paths: Sequence[Path], progress: ProgressCallback
) -> tuple[NDArray[np.float32], list[str]]:
    """Features of some images, NaN where one cannot be read, and the reasons, empty for none."""
    read = for_each_image(partial(_read, extractor), paths, None)
    errors = [found if isinstance(found, str) else "" for found in read]
    features = np.full((len(paths), extractor.width), np.nan, np.float32)
    if pictures := [found for found in read if not isinstance(found, str)]:
        features[[not error for error in errors]] = extractor.of_pictures(pictures, progress)
    return features, errors


def _read(extractor: FeatureExtractor, path: Path) -> Image.Image | str:
    try:
        return extractor.open(path)
    except DataError as error:
        return str(error)


class _Files:
    """The files of a call, under hidden names until all of them are whole."""

    def __init__(self, out: Path, extractor: FeatureExtractor, images: Sequence[Path]):
        self._out = out
        self._images = images
        self._shape = (len(images), extractor.width)
        self._npy, self._csv, self._about = (out / f".{name}" for name in (FEATURES, ROWS, ABOUT))
        paths = hashlib.sha256("\n".join(map(str, images)).encode("utf-8", "surrogateescape"))
        with extractor.trained.source.open("rb") as file:
            weights = hashlib.file_digest(file, "sha256")
        self._asked = {
            "weights": str(extractor.trained.source.absolute()),
            "weights_sha256": weights.hexdigest(),
            "settings": extractor.trained.settings.to_dict(),
            "images": len(images),
            "paths_sha256": paths.hexdigest(),
        }

    def done(self) -> int:
        """How many images an earlier call has done, 0 in a first; StudyFolderError if they were others."""
        about = next((path for path in (self._about, self._out / ABOUT) if path.exists()), None)
        if about is None and not (self._out / FEATURES).exists():
            self._begin_features()
            self._write_rows([])
            with name_in_errors(self._out / ABOUT, instead_of=self._about):
                write_json(self._about, self._asked)  # last: from now on there is something to resume
            return 0
        try:
            same = about is not None and read_json(about) == self._asked
        except (OSError, ValueError):
            same = False
        if not same:
            raise StudyFolderError(
                f"{self._out}: holds features of other images, or of another network; give another --out"
            )
        if not self._csv.exists():  # all is done, but perhaps for the last name
            return len(self._images)
        if not (self._npy.exists() or (self._out / FEATURES).exists()):
            self._begin_features()  # an earlier version did so with the first image that could be read
            self._write_rows([])
        rows = list(self._rows(self._csv))
        whole = len(rows) if len(rows) == len(self._images) else len(rows) - len(rows) % CHUNK
        self._write_rows(rows[:whole])  # without what was only half written
        return whole

    def append(self, start: int, features: NDArray[np.float32], errors: Sequence[str]) -> None:
        """Writes a chunk: its features first, so that a row in the list means that they are there."""
        with name_in_errors(self._out / FEATURES, instead_of=self._npy), self._npy.open("r+b") as file:
            np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)
            file.seek(features.itemsize * self._shape[1] * start, os.SEEK_CUR)
            file.write(features.tobytes())
            file.flush()
            os.fsync(file.fileno())
        paths = map(str, self._images[start : start + len(errors)])
        with (
            name_in_errors(self._out / ROWS, instead_of=self._csv),
            self._csv.open("a", encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            file.write(csv_text(zip(paths, errors, strict=True)))
            file.flush()
            os.fsync(file.fileno())

    def finish(self) -> dict[int, str]:
        """Gives the files their names; returns the reasons of skipped images by row."""
        rows = self._rows(self._csv if self._csv.exists() else self._out / ROWS)
        errors = {number: error for number, (_, error) in enumerate(rows) if error}
        if len(errors) == len(self._images):
            for path in (self._about, self._npy, self._csv):
                path.unlink(missing_ok=True)
            raise DataError(f"none of {len(errors):,} images can be read; the first: {errors[0]}")
        for hidden, name in ((self._npy, FEATURES), (self._csv, ROWS), (self._about, ABOUT)):
            if hidden.exists():
                hidden.replace(self._out / name)
        return errors

    def _begin_features(self) -> None:
        """Writes the head of the file of features; `append` writes their rows."""
        header = {**np.lib.format.header_data_from_array_1_0(np.empty(0, np.float32)), "shape": self._shape}
        with name_in_errors(self._out / FEATURES, instead_of=self._npy):
            write_atomically(self._npy, lambda file: np.lib.format.write_array_header_1_0(file, header))

    def _rows(self, path: Path) -> Iterator[tuple[str, str]]:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = csv.reader(file)
            next(rows, None)
            yield from ((row[0], row[1]) for row in rows if len(row) == len(_HEADING))

    def _write_rows(self, rows: Sequence[tuple[str, str]]) -> None:
        with name_in_errors(self._out / ROWS, instead_of=self._csv):
            write_text(self._csv, csv_text([_HEADING, *rows]))


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Rows as lines of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
