"""The parameter-free spatial attention of the SA network."""

from __future__ import annotations

import torch
from torch import Tensor

from sa_study.utils.errors import ConfigError

ATTENTION_KINDS = ("mean", "softmax", "none")


def spatial_attention(x: Tensor, kind: str) -> Tensor:
    """Weights every position of a map by its share of the map's activation.

    With m the mean over channels, `mean` (published code) multiplies by m / Σ m and `softmax` (the paper,
    arXiv 1811.12150) by the softmax of the channel sum, both over the H·W positions; `none` returns the map
    as it is. The weights add up to 1, so that average pooling afterwards gives the weighted mean divided by
    H·W. Gradients flow through the weights, which are computed in float32 at least.

    Args:
        x: Activations, N×C×H×W, any floating dtype; not negative (after a ReLU) for `mean`.
        kind: One of `ATTENTION_KINDS`.

    Returns:
        N×C×H×W in x's dtype; 0, with finite gradients, for a map of zeros.

    Raises:
        ConfigError: There is no such kind.
    """
    return x if kind == "none" else x * attention_weights(x, kind).to(x.dtype)


def attention_weights(x: Tensor, kind: str) -> Tensor:
    """The weights that `spatial_attention` multiplies a map by; raises ConfigError for another kind.

    Returns:
        N×1×H×W, float32 at least; each map's add up to 1, or are all 0 for a map of zeros.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    if kind == "mean":
        m = x.mean(dim=1, keepdim=True, dtype=wide)
        total = m.sum(dim=(2, 3), keepdim=True)
        # Dividing by infinity instead of by nothing makes both the weights and every gradient 0. Below the
        # smallest normal number 1 / total would overflow in the gradient: such a map counts as zero too.
        return m / total.masked_fill(total.abs() < torch.finfo(m.dtype).tiny, torch.inf)
    if kind == "softmax":
        total = x.sum(dim=1, keepdim=True, dtype=wide)
        return total.flatten(1).softmax(dim=1).view_as(total)
    raise ConfigError(f"attention: {kind!r} is not one of {', '.join(ATTENTION_KINDS)}")
