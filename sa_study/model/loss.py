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
    scores = torch.stack(list(logits.values()))
    wide = scores.to(torch.promote_types(scores.dtype, torch.float32)).flatten(0, 1)
    # One call for all branches: many small ones would keep a GPU waiting for the CPU.
    of_image = F.cross_entropy(wide, labels.repeat(len(scores)), reduction="none")
    losses = of_image.view(len(scores), -1).mean(1)
    return losses.sum(), dict(zip(logits, losses.detach().unbind(), strict=True))
