"""The backbones by name, and all that the program knows of each. To add one, add an entry to `BACKBONES`.

PyTorch is not imported with this module: the settings list the backbones.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sa_study.utils.errors import ConfigError, one_line

if TYPE_CHECKING:
    from torch import Tensor, nn


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
        fetch: Gets its ImageNet weights where they are not torchvision's; None if they are.
    """

    build: Callable[[], nn.Sequential]
    widths: tuple[int, int, int, int]
    recognises: Callable[[Collection[str]], bool]
    imagenet: str
    imagenet_v2: str = ""
    fetch: Callable[[], Mapping[str, Tensor]] | None = None

    def imagenet_weights(self, pretrained: str) -> str:
        """The name in torchvision of the weights that one of `IMAGENET` means; empty if there are none."""
        return self.imagenet if pretrained == "imagenet" else self.imagenet_v2


IMAGENET = ("imagenet", "imagenet-v2")
"""Values of the setting `pretrained` that mean weights of torchvision's."""


def _resnet(depth: int, blocks: tuple[int, int, int, int], expansion: int) -> Backbone:
    """A ResNet of so many layers and blocks in each stage; `expansion` as for `resnet.Block`."""

    def build() -> nn.Sequential:
        from sa_study.model.resnet import build_resnet  # imports PyTorch

        return build_resnet(blocks, expansion)

    def recognises(names: Collection[str]) -> bool:
        found = tuple(
            sum(bool(re.fullmatch(rf"layer{stage}\.\d+\.conv1\.weight", name)) for name in names)
            for stage in (1, 2, 3, 4)
        )
        bottleneck = "layer1.0.conv3.weight" in names
        # timm's variants have as many blocks, but another stem (resnet50d) or more in a block (seresnet50).
        block = re.compile(r"layer\d\.\d+\.(conv\d|bn\d|downsample\.[01])\.\w+")
        plain = all(block.fullmatch(name) for name in names if name.startswith("layer"))
        deep_stem = "conv1.0.weight" in names
        return found == blocks and bottleneck == (expansion == 4) and plain and not deep_stem

    first, second, third, fourth = (64 * expansion * factor for factor in (1, 2, 4, 8))
    weights = f"ResNet{depth}_Weights.IMAGENET1K"
    later = f"{weights}_V2" if depth >= 50 else ""
    return Backbone(build, (first, second, third, fourth), recognises, f"{weights}_V1", later)


TIMM = "timm/"
"""What the names of timm's backbones begin with, such as `timm/resnet50d`."""

_REDUCTIONS = (4, 8, 16, 16)
"""Input pixels per row of the stages 1-4."""


def _timm(name: str) -> Backbone:
    """A model of timm; its stage 4 keeps the resolution of stage 3 by timm's `output_stride`, with dilation.

    Raises:
        ConfigError: timm is not installed, does not know the model, or it has no four stages of this kind.
    """
    import torch

    def build(pretrained: bool = False) -> nn.Sequential:
        net = _timm_stages(name, pretrained)
        stages = list(net.return_layers)[-4:]
        numbered = {stage: f"layer{number}" for number, stage in enumerate(stages, 1)}
        return torch.nn.Sequential(OrderedDict((numbered.get(key, key), child) for key, child in net.items()))

    def fetch() -> Mapping[str, Tensor]:
        state: Mapping[str, Tensor] = build(pretrained=True).state_dict()
        return state

    with torch.device("meta"):
        info = _timm_stages(name).feature_info
        own = set(build().state_dict())
    first, second, third, fourth = info.channels()[-4:]
    return Backbone(build, (first, second, third, fourth), own.issubset, "", fetch=fetch)


def _timm_stages(name: str, pretrained: bool = False) -> Any:
    """A model of timm as the modules up to its last stage, by name, with where its stages end."""
    advice = f"give one of {', '.join(BACKBONES)}, or a convolutional network of timm such as {TIMM}resnet50d"
    try:
        import timm
    except ImportError:
        raise ConfigError(f"backbone: {TIMM}{name} needs timm; pip install 'sa-study[timm]'") from None
    if not timm.is_model(name):
        raise ConfigError(f"backbone: timm has no {name}; {advice}")
    try:
        net: Any = timm.create_model(name, pretrained, features_only=True, output_stride=16)
        reductions = tuple(net.feature_info.reduction()[-4:])
    except Exception as error:  # models raise anything where they cannot be built like this
        if pretrained:
            raise
        fault = f"{TIMM}{name} has no four stages ({one_line(error)})"
        raise ConfigError(f"backbone: {fault}; {advice}") from None
    if reductions != _REDUCTIONS or not hasattr(net, "return_layers"):
        found = ", ".join(map(str, reductions))
        fault = f"has no four stages at 1/4, 1/8, 1/16 and 1/16 of the input, but 1/({found})"
        raise ConfigError(f"backbone: {TIMM}{name} {fault}; {advice}")
    return net


class _Backbones(dict[str, Backbone]):
    """The table, which takes models of timm in as they are asked for."""

    def __missing__(self, name: str) -> Backbone:
        if not name.startswith(TIMM):
            raise KeyError(name)
        return self.setdefault(name, _timm(name.removeprefix(TIMM)))


BACKBONES: dict[str, Backbone] = _Backbones(
    {
        "resnet18": _resnet(18, (2, 2, 2, 2), 1),
        "resnet34": _resnet(34, (3, 4, 6, 3), 1),
        "resnet50": _resnet(50, (3, 4, 6, 3), 4),
        "resnet101": _resnet(101, (3, 4, 23, 3), 4),
        "resnet152": _resnet(152, (3, 8, 36, 3), 4),
    }
)
"""By name; a model of timm is added when it is first asked for."""

RESNETS = {int(depth): name for name in BACKBONES if (depth := name.removeprefix("resnet")).isdigit()}
"""ResNets by number of layers: the setting `depth` is another spelling of their names."""
