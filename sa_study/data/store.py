"""All images of a run in one uint8 array: decoded once, shared by all trials, read-only."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from sa_study.data.dataset import ImageRecord, ReidDataset
from sa_study.data.images import MAX_IMAGE_BYTES, for_each_image, read_image
from sa_study.data.split import ValidationSplit, limit_identities, validation_split
from sa_study.utils.errors import DataError
from sa_study.utils.files import read_bytes
from sa_study.utils.progress import ProgressCallback


@dataclass(frozen=True, eq=False)
class ImageStore:
    """Decoded images; pickles with out-of-band buffers, so that Ray shares one copy per node.

    Attributes:
        images: uint8, N×H×W×3, RGB, read-only.
        pids: int64, N, identities as in the file names.
        camids: int64, N, cameras from 0.
        fingerprint: Hexadecimal SHA-256 over the SHA-256 of each file (name, zero byte, content), in order.
    """

    images: npt.NDArray[np.uint8]
    pids: npt.NDArray[np.int64]
    camids: npt.NDArray[np.int64]
    fingerprint: str


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The data of a run: images to train on and held-out ones to validate with, as indices into a store.

    Attributes:
        store: The images of the training folder.
        train: int64, indices of the images to train on.
        labels: int64, the class of each training image, from 0 to num_classes - 1.
        query: int64, indices of the validation queries.
        gallery: int64, indices of the validation gallery.
        num_classes: Number of training identities.
    """

    store: ImageStore
    train: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    query: npt.NDArray[np.int64]
    gallery: npt.NDArray[np.int64]
    num_classes: int


DataByFold = Mapping[int, TrainingData]
"""Training and validation data by fold; all index one store."""


class _SizesDifferError(DataError):
    """Images differ in size and none was given to bring them to."""


def decode(
    records: Sequence[ImageRecord],
    size: tuple[int, int] | None = None,
    threads: int | None = None,
    progress: ProgressCallback | None = None,
) -> ImageStore:
    """Decodes images into one array.

    Args:
        records: The images, at least one.
        size: Height and width in pixels that images which differ in size are brought to (Pillow's bilinear);
            otherwise they keep the one they have.
        threads: Number of decoding threads; None for one per usable CPU, up to four.
        progress: Told the number of images done and in all; starts anew once sizes are found to differ.

    Raises:
        DataError: There are no images, one cannot be read, or sizes differ and `size` is None.
    """
    if not records:
        raise DataError("no images to decode")
    first, _ = read_image(records[0].path)
    try:
        return _decode(records, (first.height, first.width), False, threads, progress)
    except _SizesDifferError:
        if size is None:
            raise
    return _decode(records, size, True, threads, progress)


def training_data(
    dataset: ReidDataset,
    val_identities: int,
    split_seed: int,
    size: tuple[int, int],
    max_identities: int | None = None,
    progress: ProgressCallback | None = None,
    fold: int = 0,
) -> TrainingData:
    """Decodes the training folder and holds out part of it; no test image is opened.

    Args:
        dataset: The data set.
        val_identities: How many training identities to hold out for validation; 0 trains on all.
        split_seed: Seed of the split and of the draw of `max_identities`.
        size: Height and width in pixels for images that differ in size.
        max_identities: Use only so many identities, drawn at random, for small runs; None for all.
        progress: Told the number of images done and in all.
        fold: Which of the disjoint sets of identities to hold out.

    Raises:
        DataError: See `decode` and `validation_split`; or training and test folders share an identity.
    """
    return training_folds(dataset, val_identities, split_seed, size, [fold], max_identities, progress)[fold]


def training_folds(
    dataset: ReidDataset,
    val_identities: int,
    split_seed: int,
    size: tuple[int, int],
    folds: Sequence[int],
    max_identities: int | None = None,
    progress: ProgressCallback | None = None,
) -> DataByFold:
    """As `training_data`, for several folds: their images are decoded once, and are one array."""
    dataset.require_disjoint()
    records = limit_identities(dataset.train, max_identities, split_seed)
    splits = {fold: validation_split(records, val_identities, split_seed, fold) for fold in folds}
    store = decode(records, size, progress=progress)
    return {fold: _indexed(store, split) for fold, split in splits.items()}


def any_fold(folds: DataByFold) -> TrainingData:
    """The data of one fold, for what all folds have in common."""
    return next(iter(folds.values()))


def _indexed(store: ImageStore, split: ValidationSplit) -> TrainingData:
    classes, labels = np.unique(store.pids[split.train], return_inverse=True)
    return TrainingData(store, split.train, labels.astype(np.int64), split.query, split.gallery, len(classes))


def test_data(
    dataset: ReidDataset, size: tuple[int, int], progress: ProgressCallback | None = None
) -> tuple[ImageStore, ImageStore]:
    """Decodes the query and the gallery images of the final evaluation, in this order.

    Args:
        dataset: The data set.
        size: Height and width in pixels for images that differ in size.
        progress: Told the number of images done and in all, first for the queries, then for the gallery.

    Raises:
        DataError: See `decode`.
    """
    query = decode(dataset.query, size, progress=progress)
    return query, decode(dataset.gallery, size, progress=progress)


def fingerprint(records: Sequence[ImageRecord], progress: ProgressCallback | None = None) -> str:
    """The fingerprint that a store of these images has, from the files alone: nothing is decoded.

    Args:
        records: The images.
        progress: Called with the number of images done and in all.

    Raises:
        OSError: A file cannot be read.
    """

    def digest(record: ImageRecord) -> bytes:
        return _digest(record.path, read_bytes(record.path, MAX_IMAGE_BYTES))

    return _combined(for_each_image(digest, records, None, progress))


def _digest(path: Path, content: bytes) -> bytes:
    return hashlib.sha256(os.fsencode(path.name) + b"\0" + content).digest()


def _combined(digests: Sequence[bytes]) -> str:
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _decode(
    records: Sequence[ImageRecord],
    size: tuple[int, int],
    resize: bool,
    threads: int | None,
    progress: ProgressCallback | None,
) -> ImageStore:
    height, width = size
    images = np.empty((len(records), height, width, 3), np.uint8)

    def fill(index: int) -> bytes:
        path = records[index].path
        image, content = read_image(path)
        if image.size != (width, height):
            if not resize:
                raise _SizesDifferError(
                    f"{path}: {image.height}×{image.width} pixels, other images {height}×{width}; "
                    "give a size to bring them all to"
                )
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        images[index] = np.asarray(image)
        return _digest(path, content)

    digests = for_each_image(fill, range(len(records)), threads, progress)
    images.flags.writeable = False
    return ImageStore(
        images,
        np.array([record.pid for record in records], np.int64),
        np.array([record.camid for record in records], np.int64),
        _combined(digests),
    )
