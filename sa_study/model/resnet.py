"""ResNets (He et al., CVPR 2016) as torchvision builds them, without its head: equal to the last bit.

torchvision itself is not imported for them. It would import PyTorch's compiler, for which every trial's
process would need seconds and 90 MB.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

CLASSES = 1000
"""Outputs of torchvision's head: the classes of ImageNet."""


class Block(nn.Module):
    """A residual block: two 3×3 convolutions, or with `expansion` 4 a bottleneck of 1×1, 3×3 and 1×1.

    Args:
        inputs: Channels of its input.
        width: Channels of its 3×3 convolution.
        expansion: Channels of its output to each of these, 1 or 4.
        stride: Stride of the first 3×3 convolution.
    """

    def __init__(self, inputs: int, width: int, expansion: int, stride: int) -> None:
        super().__init__()
        outputs = width * expansion
        # The order in which weights are drawn is torchvision's; that of the modules, below, differs.
        downsample = None
        if stride != 1 or inputs != outputs:
            downsample = nn.Sequential(_convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
        sizes = [(inputs, width, 3, stride), (width, width, 3, 1)]
        if expansion > 1:
            sizes = [(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
        for number, size in enumerate(sizes, 1):
            self.add_module(f"conv{number}", _convolution(*size))
            self.add_module(f"bn{number}", nn.BatchNorm2d(size[1]))
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self._convolutions = len(sizes)

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W to N×C'×⌈H/stride⌉×⌈W/stride⌉."""
        found = x
        for number in range(1, self._convolutions + 1):
            found = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(found))
            if number < self._convolutions:
                found = self.relu(found)
        found += x if self.downsample is None else self.downsample(x)
        activated: Tensor = self.relu(found)
        return activated


def build_resnet(blocks: Sequence[int], expansion: int) -> nn.Sequential:
    """A ResNet with random weights, `layer4` at the resolution of `layer3`.

    Args:
        blocks: Number of blocks in each of the four stages.
        expansion: As for `Block`.

    Returns:
        Modules by torchvision's names, from N×3×H×W to N×(512 · expansion)×⌈H/16⌉×⌈W/16⌉.
    """
    stem = _convolution(3, 64, 7, 2)
    net = OrderedDict[str, nn.Module](
        conv1=stem, bn1=nn.BatchNorm2d(64), relu=nn.ReLU(inplace=True), maxpool=nn.MaxPool2d(3, 2, 1)
    )
    inputs = 64
    for stage, (width, count, stride) in enumerate(
        zip((64, 128, 256, 512), blocks, (1, 2, 2, 1), strict=True), 1
    ):
        layers = []
        for number in range(count):
            layers.append(Block(inputs, width, expansion, stride if number == 0 else 1))
            inputs = width * expansion
        net[f"layer{stage}"] = nn.Sequential(*layers)
    nn.Linear(inputs, CLASSES)  # torchvision draws its head here, so that what is drawn later is the same
    resnet = nn.Sequential(net)
    for module in resnet.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return resnet


def _convolution(inputs: int, outputs: int, size: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
