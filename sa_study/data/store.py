"""All images of a run in one uint8 array: decoded once, shared by all trials, read-only."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from sa_study.data.dataset import ReidDataset
from sa_study.data.images import MAX_IMAGE_BYTES, for_each_image, read_image
from sa_study.data.records import ImageRecord
from sa_study.data.split import ValidationSplit, limit_identities, validation_split
from sa_study.metrics.protocol import protocol_of
from sa_study.settings.run import Settings
from sa_study.utils.errors import ConfigError, DataError
from sa_study.utils.files import read_bytes
from sa_study.utils.progress import ProgressCallback


@dataclass(frozen=True, eq=False)
class ImageStore:
    """Decoded images; pickles with out-of-band buffers, so that Ray shares one copy per node.

    Attributes:
        images: uint8, N×H×W×3, RGB, read-only.
        pids: int64, N, identities as in the file names or the list.
        camids: int64, N, cameras from 0; negative where they are not known.
        fingerprint: Hexadecimal SHA-256 over the SHA-256 of each file (name, zero byte, content), in order;
            before a name whose identity and camera only a list gives, these and a slash.
    """

    images: npt.NDArray[np.uint8]
    pids: npt.NDArray[np.int64]
    camids: npt.NDArray[np.int64]
    fingerprint: str

    @property
    def protocol(self) -> str:
        """The protocol by which these images are ranked."""
        return protocol_of(self.camids)

    def part(self, index: npt.NDArray[np.int64]) -> ImageStore:
        """The images of these indices; the fingerprint stays that of all."""
        return ImageStore(self.images[index], self.pids[index], self.camids[index], self.fingerprint)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The data of a run: images to train on and held-out ones to validate with, by int64 indices.

    Attributes:
        store: The training images.
        train: The images to train on.
        labels: int64, the class of each training image, from 0 to num_classes - 1.
        query: The validation queries.
        gallery: The validation gallery.
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
    """Images differ in size and no common size was given."""


def decode(
    records: Sequence[ImageRecord],
    size: tuple[int, int] | None = None,
    progress: ProgressCallback | None = None,
) -> ImageStore:
    """Decodes images into one array.

    Args:
        records: The images, at least one.
        size: Height and width in pixels to which images are resized (Pillow's bilinear) if they differ in
            size; else they keep theirs.
        progress: Called with the number of images done and in all; restarts once sizes are found to differ.

    Raises:
        DataError: There are no images, one cannot be read, or sizes differ and `size` is None.
    """
    if not records:
        raise DataError("no images to decode")
    first, _ = read_image(records[0].path)
    try:
        return _decode_to_size(records, (first.height, first.width), False, progress)
    except _SizesDifferError:
        if size is None:
            raise
    return _decode_to_size(records, size, True, progress)


def load_training_data(
    dataset: ReidDataset, settings: Settings, progress: ProgressCallback | None = None
) -> TrainingData:
    """Decodes the images to train and validate with, in the settings' own fold; see `find_folds`."""
    return find_folds(dataset, settings, [settings.fold]).decode(progress)[settings.fold]


@dataclass(frozen=True)
class FoldImages:
    """The images of several folds: found, split and checked, but not decoded.

    Attributes:
        records: The images of all folds.
        splits: Which of them each fold trains and validates with.
        size: Height and width in pixels that `decode` gives them.
    """

    records: Sequence[ImageRecord]
    splits: Mapping[int, ValidationSplit]
    size: tuple[int, int]

    def decode(self, progress: ProgressCallback | None = None) -> DataByFold:
        """Decodes them, each once; no test image is opened. Raises a DataError as `decode` does."""
        store = decode(self.records, self.size, progress=progress)
        data = {}
        for fold, split in self.splits.items():
            classes, labels = np.unique(store.pids[split.train], return_inverse=True)
            data[fold] = TrainingData(
                store, split.train, labels.astype(np.int64), split.query, split.gallery, len(classes)
            )
        return data


def find_folds(
    dataset: ReidDataset, settings: Settings, folds: Sequence[int], largest_batch: int | None = None
) -> FoldImages:
    """Finds what the settings train and validate on, in several folds; opens no image.

    The settings' batch size, or a larger one that is trained with too, must not exceed the training images.

    Raises:
        DataError: See `validation_split`; or training and test folders share an identity.
        ConfigError: There are fewer training images than a batch.
    """
    dataset.require_disjoint()
    seed = settings.split_seed
    records = limit_identities(dataset.train, settings.identities, seed)
    splits = {fold: validation_split(records, settings.val_identities, seed, fold) for fold in folds}
    fewest = min(len(split.train) for split in splits.values())
    largest = largest_batch or settings.batch_size
    if largest > fewest:
        raise ConfigError(f"batch_size: {largest}, but only {fewest} images are trained on")
    return FoldImages(records, splits, (settings.height, settings.width))


def any_fold(folds: DataByFold) -> TrainingData:
    """The data of one fold, for what all folds have in common."""
    return next(iter(folds.values()))


def test_data(
    dataset: ReidDataset, size: tuple[int, int], progress: ProgressCallback | None = None
) -> tuple[ImageStore, ImageStore]:
    """Decodes the query images of the final evaluation, then those of the gallery; see `decode`."""
    query = decode(dataset.query, size, progress=progress)
    return query, decode(dataset.gallery, size, progress=progress)


def fingerprint(records: Sequence[ImageRecord], progress: ProgressCallback | None = None) -> str:
    """The fingerprint that a store of these images has, from the files alone; OSError if one is gone."""

    def read_digest(record: ImageRecord) -> bytes:
        return _image_digest(record, read_bytes(record.path, MAX_IMAGE_BYTES))

    return hashlib.sha256(b"".join(for_each_image(read_digest, records, progress))).hexdigest()


def _image_digest(record: ImageRecord, content: bytes) -> bytes:
    named = f"{record.label}/{record.path.name}" if record.label else record.path.name
    return hashlib.sha256(os.fsencode(named) + b"\0" + content).digest()


def _decode_to_size(
    records: Sequence[ImageRecord], size: tuple[int, int], resize: bool, progress: ProgressCallback | None
) -> ImageStore:
    height, width = size
    images = np.empty((len(records), height, width, 3), np.uint8)

    def fill(index: int) -> bytes:
        record = records[index]
        image, content = read_image(record.path)
        if image.size != (width, height):
            if not resize:
                raise _SizesDifferError(
                    f"{record.path}: {image.height}×{image.width} pixels, other images {height}×{width}; "
                    "give a common size"
                )
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        images[index] = np.asarray(image)
        return _image_digest(record, content)

    digests = for_each_image(fill, range(len(records)), progress)
    images.flags.writeable = False
    return ImageStore(
        images,
        np.array([record.pid for record in records], np.int64),
        np.array([record.camid for record in records], np.int64),
        hashlib.sha256(b"".join(digests)).hexdigest(),
    )
