"""The moving average of a network's weights over its training steps."""

from __future__ import annotations

import copy

import torch

from sa_study.model.network import SANet


class MovingAverage:
    """An exponential moving average of a network's parameters and running statistics.

    It computes what PyTorch's `AveragedModel` does with `get_ema_multi_avg_fn` and `use_buffers`, but that
    one waits for a GPU at every step. In the first steps the decay is smaller, (1 + t) / (10 + t) after t of
    them, as in TensorFlow's: a short run would else be averaged with its random beginning.

    Args:
        net: The network, on its device; its tensors are read at every update.
        decay: Share of the average that a step keeps, in (0, 1).

    Attributes:
        net: The network with averaged weights.
        steps: Updates so far.
    """

    def __init__(self, net: SANet, decay: float):
        self.net = copy.deepcopy(net).requires_grad_(False)
        self.steps = 0
        self._decay = decay
        pairs = list(zip(self.net.state_dict().values(), net.state_dict().values(), strict=True))
        floats = [pair for pair in pairs if pair[0].is_floating_point()]
        self._averaged, self._current = ([pair[side] for pair in floats] for side in (0, 1))
        self._counts = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """Takes the network's present weights into the average."""
        self.steps += 1
        decay = min(self._decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self._averaged, self._current, 1 - decay)
        for averaged, current in self._counts:
            averaged.copy_(current)
