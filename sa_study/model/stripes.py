"""Stage 4 as matching sees it: pooled horizontal stripes, and the part of the network that they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sa_study.errors import ConfigError
from sa_study.model.attention import spatial_attention

if TYPE_CHECKING:
    from sa_study.model.network import SANet

_ROW_STRIDE = 16
"""Pixels of the input to one row of stage 4."""


def pool_stripes(x: Tensor, parts: int, input_height: int) -> Tensor:
    """Averages stripes over the full width: N×C×H×W to N×C×parts×1; overlapping where need be.

    Raises:
        ConfigError: The map has fewer rows than there are parts; `input_height` is named.
    """
    rows, columns = x.shape[2:]
    if rows < parts:
        raise ConfigError(
            f"height: {input_height} gives stage 4 {rows} rows, fewer than parts={parts}; "
            f"the least height is {_ROW_STRIDE * parts} ({_ROW_STRIDE} x parts)"
        )
    step = rows // parts
    return F.avg_pool2d(x, kernel_size=(rows - (parts - 1) * step, columns), stride=(step, columns))


def matching_features(stripes: Tensor) -> Tensor:
    """N×C×parts×1 to N×(parts·C), float32 at least: stripe by stripe, each of length 1 (0 where all is 0)."""
    wide = stripes.to(torch.promote_types(stripes.dtype, torch.float32))
    return F.normalize(wide.flatten(2), dim=1).transpose(1, 2).flatten(1)


class FeatureNetwork(nn.Module):
    """What of a trained network matching needs: neither dropout nor reductions nor classifiers.

    Args:
        net: The network; its backbone is shared, not copied.
    """

    def __init__(self, net: SANet) -> None:
        super().__init__()
        self.base = net.base
        self.parts = net.parts
        self._attention = net.attention if net.attention_stage4 else "none"

    def forward(self, images: Tensor) -> Tensor:
        """N×3×H×W, normalised, to the features of `SANet.forward`."""
        stripes = pool_stripes(self.base(images), self.parts, images.shape[2])
        return matching_features(spatial_attention(stripes, self._attention))
