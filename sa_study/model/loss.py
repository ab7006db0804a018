"""The loss of the SA network."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F


def total_loss(logits: Mapping[str, Tensor], labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Adds up the cross entropies of all branches, unweighted.

    Args:
        logits: N×classes by branch, as `SANet` returns them; half precisions are raised to float32.
        labels: N class indices, int64.

    Returns:
        The sum, a scalar to call `backward` on, and each branch's mean cross entropy, detached.
    """
    losses = {
        branch: F.cross_entropy(scores.to(torch.promote_types(scores.dtype, torch.float32)), labels)
        for branch, scores in logits.items()
    }
    return torch.stack(list(losses.values())).sum(), {name: loss.detach() for name, loss in losses.items()}
