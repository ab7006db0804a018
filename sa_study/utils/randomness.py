"""Every random choice of a run, derived from one seed by purpose and epoch.

A resumed run continues exactly as an uninterrupted one because nothing depends on how many numbers were
drawn before: each epoch starts its own streams.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import torch

Purpose = Literal[
    "order",
    "augmentation",
    "color-jitter",
    "crop",
    "erasing-noise",
    "dropout",
    "initialisation",
    "split",
    "subset",
    "search",
    "bracket",
    "pictures",
]


def derived_seed(seed: int, purpose: Purpose, epoch: int = 0) -> int:
    """Returns the seed of one purpose in one epoch of a run with a seed; each gives an independent stream.

    Returns:
        An integer in [0, 2**32), the same on every machine and in every process, fit for NumPy, PyTorch
        and Optuna (whose legacy generator takes no more than 32 bits).
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(zlib.crc32(purpose.encode()), epoch))
    return int(sequence.generate_state(1)[0])


def generator(seed: int, purpose: Purpose, epoch: int = 0) -> torch.Generator:
    """Returns a fresh generator on the CPU, seeded by `derived_seed`."""
    import torch  # not above: code that needs seeds alone does not import PyTorch

    return torch.Generator().manual_seed(derived_seed(seed, purpose, epoch))
