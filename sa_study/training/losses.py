"""The losses that settings add to the branches' cross entropies, which `model.network.total_loss` sums.

To add one, add its function here and its weight to the settings, and use both in `step` beside this file.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def triplet_loss(features: Tensor, labels: Tensor, margin: float) -> Tensor:
    """The batch-hard triplet loss (Hermans et al., 2017) on features of length 1.

    For each image its farthest image of the same identity ought to be nearer than its nearest of another, by
    the margin. Images without either in the batch do not count. Nothing waits for a GPU.

    Args:
        features: N×D, float32; they are scaled to length 1, so that distances do not depend on the number of
            stripes. Where no number is negative they lie between 0 and √2.
        labels: int64, N.
        margin: Of Euclidean distances; 0 for the soft margin, log(1 + exp(near - far)).

    Returns:
        The mean over the images that count, a scalar; 0 if none does.
    """
    unit = F.normalize(features)
    same = labels[:, None] == labels
    others = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    with torch.no_grad():  # of all pairs, only those that are found need a gradient
        distances = torch.cdist(unit, unit, compute_mode="donot_use_mm_for_euclid_dist")
        farthest = distances.masked_fill(~others, -torch.inf).argmax(1)
        nearest = distances.masked_fill(same, torch.inf).argmin(1)
    positive, negative = (
        torch.linalg.vector_norm(unit - unit[found], dim=1) for found in (farthest, nearest)
    )
    excess = positive - negative
    losses = F.relu(excess + margin) if margin else F.softplus(excess)
    counts = others.any(1) & ~same.all(1)
    return (losses * counts).sum() / counts.sum().clamp(min=1)
