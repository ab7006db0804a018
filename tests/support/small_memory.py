"""A GPU that runs out of memory, for machines without one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sa_study.training.step import TrainingStep


class SmallMemory:
    """Makes a forward pass of more than `most` images fail as on a full GPU, once `after_steps` have passed.

    Attributes:
        sizes: Images of each forward pass that did not fail.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, most: int, after_steps: int = 0):
        self.most, self.steps_before = most, after_steps
        self.sizes: list[int] = []
        unlimited = TrainingStep._add_gradient

        def limited(step: TrainingStep, images: Tensor, labels: Tensor, share: float) -> Tensor:
            self.steps_before -= 1
            if self.steps_before < 0 and len(images) > self.most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore lines")
            self.sizes.append(len(images))
            return unlimited(step, images, labels, share)

        monkeypatch.setattr(TrainingStep, "_add_gradient", limited)
