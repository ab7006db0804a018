"""How often which distance occurs: exact, block by block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FINE_BINS = 8192
_SHOWN_BINS = 60


@dataclass(eq=False)
class DistanceCounts:
    """Histograms of squared distances with bins so fine that any coarser ones can be made of them.

    Attributes:
        width: Width of a bin; bin i holds distances in [i·width, (i + 1)·width), the last what lies beyond.
        matches: int64, shape (FINE_BINS,), pairs of the same identity and different cameras.
        others: The same of all other pairs that count.
    """

    width: float
    matches: NDArray[np.int64]
    others: NDArray[np.int64]

    @classmethod
    def empty(cls, query_features: Tensor, gallery_features: Tensor) -> DistanceCounts:
        """Counts of nothing yet, with bins up to the greatest distance that the lengths allow."""
        lengths = [
            features.float().norm(dim=1).amax().item() for features in (query_features, gallery_features)
        ]
        largest = sum(lengths) ** 2
        width = largest / FINE_BINS if 0 < largest < float("inf") else 1.0
        return cls(width, *(np.zeros(FINE_BINS, np.int64) for _ in range(2)))

    def add(self, distances: Tensor, match: Tensor, other: Tensor) -> None:
        """Counts a block of distances by two masks of its shape."""
        for counts, mask in ((self.matches, match), (self.others, other)):
            bins = distances[mask].double().div_(self.width).long().clamp_(max=FINE_BINS - 1)
            counts += torch.bincount(bins, minlength=FINE_BINS).cpu().numpy()

    def median(self, counts: NDArray[np.int64]) -> float:
        """The median of one of the histograms, to half a bin."""
        return float((np.searchsorted(np.cumsum(counts), counts.sum() / 2) + 0.5) * self.width)

    def equal_error(self) -> tuple[float, float]:
        """The distance with as large a share of the non-matches below it as of the matches above, and it."""
        missed = 1 - np.cumsum(self.matches) / max(1, self.matches.sum())
        accepted = np.cumsum(self.others) / max(1, self.others.sum())
        at = int(np.argmax(accepted >= missed))
        return (at + 1) * self.width, float((missed[at] + accepted[at]) / 2)

    def coarse(self) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
        """Edges and counts of about 60 bins over the distances that occur."""
        occupied = np.flatnonzero(self.matches + self.others)
        first, last = int(occupied[0]), int(occupied[-1])
        step = max(1, -(-(last - first + 1) // _SHOWN_BINS))
        starts = np.arange(first // step * step, last + 1, step)
        sums = (np.add.reduceat(counts, starts) for counts in (self.matches, self.others))
        edges = np.append(starts, starts[-1] + step) * self.width
        return edges, *(some for some in sums)  # type: ignore[return-value]
