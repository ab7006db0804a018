"""The ResNet backbone of the SA network, under torchvision's names."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

BLOCKS_AND_EXPANSION: dict[int, tuple[tuple[int, int, int, int], int]] = {
    18: ((2, 2, 2, 2), 1),
    34: ((3, 4, 6, 3), 1),
    50: ((3, 4, 6, 3), 4),
    101: ((3, 4, 23, 3), 4),
    152: ((3, 8, 36, 3), 4),
}
"""By depth: the blocks of the four stages, and the output channels to each channel of a 3×3 convolution."""


def stage_width(depth: int, stage: int) -> int:
    """Output channels of a stage, counted from 1."""
    return 64 * (1, 2, 4, 8)[stage - 1] * BLOCKS_AND_EXPANSION[depth][1]


def build_backbone(depth: int) -> nn.Sequential:
    """Builds torchvision's ResNet without its head, `layer4` at the resolution of `layer3`.

    Its initialisation is torchvision's: convolutions Kaiming normal (fan_out), batch norm 1 and 0.

    Args:
        depth: A key of `BLOCKS_AND_EXPANSION`.

    Returns:
        conv1, bn1, relu, maxpool, layer1 … layer4, named so, to be run in this order: N×3×H×W to
        N×C×⌈H/16⌉×⌈W/16⌉.
    """
    # Importing torchvision takes as long as importing torch, and only building a network needs it.
    from torchvision.models import get_model

    resnet = get_model(f"resnet{depth}", weights=None)
    for module in resnet.layer4[0].modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
    head = ("avgpool", "fc")
    return nn.Sequential(OrderedDict((n, child) for n, child in resnet.named_children() if n not in head))
