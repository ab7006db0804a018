"""A GPU memory that is full, without a GPU."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sa_study.training.step import TrainingStep


class SmallMemory:
    """Makes a forward pass of too many images fail as PyTorch does on a full GPU."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, most: int, after_steps: int = 0):
        self.most, self.left = most, after_steps
        self.sizes: list[int] = []
        gradient = TrainingStep._add_gradient

        def limited(step: TrainingStep, images: Tensor, labels: Tensor, share: float) -> Tensor:
            self.left -= 1
            if self.left < 0 and len(images) > self.most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore lines")
            self.sizes.append(len(images))
            return gradient(step, images, labels, share)

        monkeypatch.setattr(TrainingStep, "_add_gradient", limited)
