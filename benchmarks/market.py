"""Synthetic features and labels of the size of a person re-identification test set."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

MARKET = {"queries": 3368, "gallery": 15913, "identities": 750, "cameras": 6, "distractors": 2798}
MSMT17 = {"queries": 11659, "gallery": 82161, "identities": 3060, "cameras": 15, "distractors": 0}


Vector = NDArray[np.int64]
Labels = tuple[Vector, Vector, Vector, Vector]


class TestSet(NamedTuple):
    """Features (float32, unit length) and labels of queries and gallery."""

    query: NDArray[np.float32]
    gallery: NDArray[np.float32]
    query_pids: Vector
    gallery_pids: Vector
    query_camids: Vector
    gallery_camids: Vector

    @property
    def labels(self) -> Labels:
        """Pids and camids in the order that calls take them in."""
        return self[2:]

    def on(self, device: str) -> tuple[torch.Tensor, torch.Tensor]:
        """The features on a device."""
        return torch.from_numpy(self.query).to(device), torch.from_numpy(self.gallery).to(device)


def market_like(
    columns: int,
    queries: int = MARKET["queries"],
    gallery: int = MARKET["gallery"],
    identities: int = MARKET["identities"],
    cameras: int = MARKET["cameras"],
    distractors: int | None = None,
    seed: int = 0,
) -> TestSet:
    """Draw features of a width: a cluster for each identity, shifted by camera, with noise.

    Each distractor is a cluster of its own; unless given, their share of the gallery is Market-1501's.
    """
    rng = np.random.default_rng(seed)
    pairs = rng.permutation(identities * cameras)[:queries]
    query_pids, query_camids = pairs // cameras + 1, pairs % cameras
    if distractors is None:
        distractors = gallery * MARKET["distractors"] // MARKET["gallery"]
    gallery_pids = rng.permutation(
        np.concatenate([np.zeros(distractors, int), rng.integers(1, identities + 1, gallery - distractors)])
    )
    gallery_camids = rng.integers(cameras, size=gallery)
    centres = rng.standard_normal((identities + 1, columns), dtype=np.float32)
    shifts = 0.7 * rng.standard_normal((cameras, columns), dtype=np.float32)

    def features(pids: Vector, camids: Vector) -> NDArray[np.float32]:
        images = 1.6 * rng.standard_normal((len(pids), columns), dtype=np.float32)
        images += shifts[camids]
        images += np.where(pids[:, None] > 0, centres[pids], 0)
        images[pids == 0] += rng.standard_normal((np.count_nonzero(pids == 0), columns), dtype=np.float32)
        images /= np.linalg.norm(images, axis=1, keepdims=True)
        return images

    return TestSet(
        features(query_pids, query_camids),
        features(gallery_pids, gallery_camids),
        query_pids,
        gallery_pids,
        query_camids,
        gallery_camids,
    )
