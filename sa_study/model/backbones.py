"""The backbones by name, and all that the program knows of each; settings list them without PyTorch."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Backbone:
    """A kind of backbone.

    Attributes:
        build: Builds it with random weights: modules to run in order, N×3×H×W to N×C×⌈H/16⌉×⌈W/16⌉. Those
            named `layer1` … `layer4` end the four stages.
        widths: Output channels of the stages 1-4.
        recognises: Whether parameters have this backbone's names; the first that says so is taken.
        imagenet: torchvision's name of its ImageNet weights, whose keys are those of `build` and more; empty
            if it has none.
        imagenet_v2: The same of those trained by torchvision's later recipe.
    """

    build: Callable[[], nn.Sequential]
    widths: tuple[int, int, int, int]
    recognises: Callable[[Collection[str]], bool]
    imagenet: str
    imagenet_v2: str = ""

    def imagenet_weights(self, pretrained: str) -> str:
        """The name in torchvision of the weights that one of `IMAGENET` means; empty if there are none."""
        return self.imagenet if pretrained == "imagenet" else self.imagenet_v2


IMAGENET = ("imagenet", "imagenet-v2")
"""Values of the setting `pretrained` that mean weights of torchvision's."""


def _resnet(depth: int, blocks: tuple[int, int, int, int], expansion: int) -> Backbone:
    """A ResNet as torchvision has it, without its head, `layer4` at the resolution of `layer3`.

    Its initialisation is torchvision's: convolutions Kaiming normal (fan_out), batch norm 1 and 0. It has so
    many blocks in each stage; `expansion` is output channels to each channel of a block's 3×3 convolution.
    """

    def build() -> nn.Sequential:
        # Importing torchvision takes as long as importing torch, and only building a network needs it.
        from torch import nn
        from torchvision.models import get_model

        resnet = get_model(f"resnet{depth}", weights=None)
        for module in resnet.layer4[0].modules():
            if isinstance(module, nn.Conv2d):
                module.stride = (1, 1)
        head = ("avgpool", "fc")
        return nn.Sequential(OrderedDict((n, child) for n, child in resnet.named_children() if n not in head))

    def recognises(names: Collection[str]) -> bool:
        found = tuple(
            sum(bool(re.fullmatch(rf"layer{stage}\.\d+\.conv1\.weight", name)) for name in names)
            for stage in (1, 2, 3, 4)
        )
        return found == blocks and ("layer1.0.conv3.weight" in names) == (expansion == 4)

    first, second, third, fourth = (64 * expansion * factor for factor in (1, 2, 4, 8))
    weights = f"ResNet{depth}_Weights.IMAGENET1K"
    later = f"{weights}_V2" if depth >= 50 else ""
    return Backbone(build, (first, second, third, fourth), recognises, f"{weights}_V1", later)


BACKBONES: dict[str, Backbone] = {
    "resnet18": _resnet(18, (2, 2, 2, 2), 1),
    "resnet34": _resnet(34, (3, 4, 6, 3), 1),
    "resnet50": _resnet(50, (3, 4, 6, 3), 4),
    "resnet101": _resnet(101, (3, 4, 23, 3), 4),
    "resnet152": _resnet(152, (3, 8, 36, 3), 4),
}
"""By name, from the smallest to the largest; disk space is reserved for the last one searched."""

RESNETS = {int(depth): name for name in BACKBONES if (depth := name.removeprefix("resnet")).isdigit()}
"""ResNets by number of layers: the setting `depth` is another spelling of their names."""
