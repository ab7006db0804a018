"""The validation split: training identities held out to score trials, so that no study sees the test set."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sa_study.data.records import ImageRecord, has_cameras
from sa_study.utils.errors import DataError
from sa_study.utils.randomness import derived_seed

MAX_HELD_OUT_SHARE = 0.2
"""Largest share of the training identities that is held out, so that small sets keep enough to train on."""


@dataclass(frozen=True, eq=False)
class ValidationSplit:
    """Indices (int64) into the records that were split; no identity in `train` is in `query` or `gallery`."""

    train: npt.NDArray[np.int64]
    query: npt.NDArray[np.int64]
    gallery: npt.NDArray[np.int64]


def validation_split(
    records: Sequence[ImageRecord], identities: int = 100, seed: int = 0, fold: int = 0
) -> ValidationSplit:
    """Holds out identities and makes a cross-camera query and gallery of them.

    One image per held-out identity and camera, drawn at random, is a query; the rest are gallery. Only
    identities seen by two or more cameras are held out, at most `MAX_HELD_OUT_SHARE` of all. The seed orders
    these identities and each fold takes the next of them, so that no two folds hold out the same.

    Where cameras are not known, identities of two or more images are held out, and each of their images is
    both a query and in the gallery, where it counts for the others alone.

    Args:
        records: Training images in any order; the split depends on their file names only.
        identities: How many identities to hold out; 0 for none (query and gallery are empty then).
        seed: Seed of the order and of the queries.
        fold: Which block of the ordered identities to hold out, from 0.

    Raises:
        DataError: There are too few identities, for this fold or for any, or no query would have a match.
    """
    order = sorted(range(len(records)), key=lambda index: records[index].path.name)
    if identities == 0:
        nothing = np.empty(0, np.int64)
        return ValidationSplit(np.array(order, np.int64), nothing, nothing)
    images: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index in order:
        images[records[index].pid][records[index].camid].append(index)
    rng = np.random.default_rng(derived_seed(seed, "split"))
    cameras = has_cameras(records)
    seen = "seen by two or more cameras" if cameras else "in two or more images"
    held_out = _draw_identities(images, identities, fold, rng, seen)
    query: list[int] = []
    gallery: list[int] = []
    for indices in (indices for pid in held_out for indices in images[pid].values()):
        chosen = int(rng.integers(len(indices)))
        query.append(indices[chosen])
        gallery += indices[:chosen] + indices[chosen + 1 :]
    if not cameras:  # so that every image was drawn, as the only one of its camera
        gallery = query
    # Every held-out identity has queries from two or more cameras: a gallery image matches that of another.
    if not gallery:
        if not cameras:
            raise DataError(f"validation: no identity is {seen}; set val_identities=0 to hold none out")
        raise DataError(
            "validation: no query has a match from another camera; held-out identities need images from two "
            "or more cameras, and several from one of them; or set val_identities=0 to hold none out"
        )
    train = [index for index in order if records[index].pid not in held_out]
    return ValidationSplit(*(np.array(part, np.int64) for part in (train, query, gallery)))


def limit_identities(records: Sequence[ImageRecord], identities: int, seed: int) -> tuple[ImageRecord, ...]:
    """Keeps the images of `identities` identities drawn at random, in their order; 0 keeps all."""
    if not identities:
        return tuple(records)
    pids = sorted({record.pid for record in records})
    drawn = np.random.default_rng(derived_seed(seed, "subset")).permutation(pids)[:identities]
    kept = set(drawn.tolist())
    return tuple(record for record in records if record.pid in kept)


def _draw_identities(
    images: dict[int, dict[int, list[int]]], identities: int, fold: int, rng: np.random.Generator, seen: str
) -> tuple[int, ...]:
    count = min(identities, int(MAX_HELD_OUT_SHARE * len(images)))
    if count < 1:
        raise DataError(
            f"{len(images)} training identities are too few to hold any out for validation; "
            f"at least {math.ceil(1 / MAX_HELD_OUT_SHARE)} are needed"
        )
    candidates = sorted(pid for pid, cameras in images.items() if len(cameras) > 1)
    if fold and (fold + 1) * count > len(candidates):
        folds = max(1, len(candidates) // count)
        raise DataError(
            f"fold: {fold}, but {len(candidates)} identities are {seen}, which makes "
            f"{folds} folds of {count}; give a fold below {folds}, or fewer val_identities"
        )
    return tuple(sorted(rng.permutation(candidates)[fold * count :][:count].tolist()))
