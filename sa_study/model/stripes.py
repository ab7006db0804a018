"""Stage 4 as matching sees it: pooled horizontal stripes, and the features made of them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sa_study.utils.errors import ConfigError

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
