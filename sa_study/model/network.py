"""The SA network: a ResNet with spatial attention, deep supervision and a part-based head; and its loss."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sa_study.model.attention import ATTENTION_KINDS, spatial_attention
from sa_study.model.backbones import BACKBONES, IMAGENET, RESNETS, TIMM
from sa_study.model.weights import load_backbone, load_imagenet
from sa_study.utils.errors import ConfigError

SUPERVISED_STAGES = (1, 2, 3)
"""Stages that have attention and a classifier, with deep supervision."""

NECK_FEATURES = ("before", "after")

_ROW_STRIDE = 16
"""Input pixels per row of stage 4."""


class SANet(nn.Module):
    """Parameter-free spatial attention network (arXiv 1811.12150) as its published code builds it.

    The module names are those of the published weight file. PCB is the setting `attention="none"`,
    `deep_supervision=False`, apart from the global branch. The initial weights come from torch's default
    generator.

    Args:
        backbone: A key of `BACKBONES`, or a model of timm such as `timm/resnet50d`; it is the module `base`.
        num_classes: Training identities.
        num_features: Channels of the reduced vectors that the classifiers see.
        dropout: Probability of dropping an element of the pooled stripes, in [0, 1).
        attention: Spatial attention before the pooling of stages 1-3: mean, softmax or none.
        deep_supervision: Whether stages 1-3 have classifiers; nothing else of them is attended to.
        parts: Horizontal stripes of stage 4; 1 means no part classifiers, the global one only.
        pretrained: One of `IMAGENET`, or True for the first, for torchvision's weights; a path for a local
            file of one of `sa_study.model.weights.KEY_MAPS`; the state dict of such a base itself; False for
            a random start.
        attention_stage4: Whether the same attention also acts on the pooled stripes (the paper's SA1).
        bn_neck: Whether batch norm stands between the pooled stripes and all that classifies them (the neck
            of BoT, Luo et al., CVPRW 2019, without a bias as there).
        neck_feature: Which stripes are matched in evaluation, those `before` the neck or `after` it.
        depth: Layers of the ResNet, in place of `backbone`: 50 for resnet50.

    Raises:
        ConfigError: An argument is out of range.
        WeightsError: The pretrained weights cannot be had or do not fit.
    """

    def __init__(
        self,
        backbone: str = "resnet50",
        num_classes: int = 751,
        num_features: int = 256,
        dropout: float = 0.5,
        attention: str = "mean",
        deep_supervision: bool = True,
        parts: int = 6,
        pretrained: bool | str | os.PathLike[str] | Mapping[str, Tensor] = False,
        *,
        attention_stage4: bool = False,
        bn_neck: bool = False,
        neck_feature: str = "after",
        depth: int | None = None,
    ) -> None:
        super().__init__()
        _check(depth is None or depth in RESNETS, "depth", depth, ", ".join(map(str, RESNETS)))
        backbone = RESNETS.get(depth or 0, backbone)
        known = backbone in BACKBONES or backbone.startswith(TIMM)
        _check(known, "backbone", backbone, f"{', '.join(BACKBONES)}, {TIMM}NAME")
        _check(num_classes >= 1, "num_classes", num_classes, ">= 1")
        _check(num_features >= 1, "num_features", num_features, ">= 1")
        _check(0 <= dropout < 1, "dropout", dropout, ">= 0, < 1")
        _check(attention in ATTENTION_KINDS, "attention", attention, ", ".join(ATTENTION_KINDS))
        _check(parts >= 1, "parts", parts, ">= 1")
        _check(neck_feature in NECK_FEATURES, "neck_feature", neck_feature, ", ".join(NECK_FEATURES))
        self.attention = attention
        self.attention_stage4 = attention_stage4
        self.deep_supervision = deep_supervision
        self.parts = parts

        self.base = BACKBONES[backbone].build()
        self.drop = nn.Dropout(dropout)
        self.neck = nn.BatchNorm2d(BACKBONES[backbone].widths[3]) if bn_neck else None
        if self.neck is not None:
            self.neck.bias.requires_grad_(False)
        self.matches_neck = bn_neck and neck_feature == "after"
        self._add_heads(BACKBONES[backbone].widths, num_classes, num_features)
        self._initialise(pretrained is False)
        if pretrained is True or (isinstance(pretrained, str) and pretrained in IMAGENET):
            load_imagenet(self, backbone, IMAGENET[0] if pretrained is True else pretrained)
        elif isinstance(pretrained, Mapping):
            self.base.load_state_dict(pretrained)
        elif pretrained is not False:
            load_backbone(self, pretrained)

    def forward(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Computes the matching features and the logits of every branch.

        Args:
            images: N×3×H×W, normalised with ImageNet's mean and standard deviation.

        Returns:
            Features N×(parts·C), float32 at least: stripe by stripe, top to bottom, the C pooled channels of
            stage 4, of length 1 in each stripe; in training always those before the neck, which the triplet
            loss compares. Logits N×num_classes by branch: part1 … (top to bottom; none
            where parts is 1), global, stage1 … stage3 (with deep supervision).

        Raises:
            ConfigError: Stage 4 has fewer rows than parts.
        """
        *early, last = self.stage_maps(images)
        stripes = pool_stripes(last, self.parts, images.shape[2])
        if self.attention_stage4:
            stripes = spatial_attention(stripes, self.attention)
        necked = stripes if self.neck is None else self.neck(stripes)
        matched = necked if self.matches_neck and not self.training else stripes
        features, logits = matching_features(matched), self._stripe_logits(necked)
        if self.deep_supervision:
            for stage, x in zip(SUPERVISED_STAGES, early, strict=True):
                logits[f"stage{stage}"] = self._stage_logits(stage, x)
        return features, logits

    def stage_maps(self, images: Tensor) -> list[Tensor]:
        """The maps of the stages 1-4, before any attention; N×3×H×W to N×C×h×w each."""
        x, maps = images, []
        for name, module in self.base.named_children():
            x = module(x)
            if name.startswith("layer"):
                maps.append(x)
        return maps

    @property
    def branches(self) -> tuple[str, ...]:
        """The names of the classifiers, in the order of the logits."""
        parts = [f"part{index + 1}" for index in range(self.parts)] if self.parts > 1 else []
        stages = [f"stage{stage}" for stage in SUPERVISED_STAGES] if self.deep_supervision else []
        return (*parts, "global", *stages)

    def new_parameters(self) -> Iterator[nn.Parameter]:
        """All parameters but the backbone's: the reductions, their batch norm and the classifiers."""
        return (p for name, p in self.named_parameters() if not name.startswith("base."))

    def _stripe_logits(self, stripes: Tensor) -> dict[str, Tensor]:
        reduced = F.relu(self.feat_bn2d(self.local_conv(self.drop(stripes)))).flatten(2)
        logits = {}
        if self.parts > 1:
            for index, stripe in enumerate(reduced.unbind(dim=2)):
                logits[f"part{index + 1}"] = self.get_submodule(f"instance{index}")(stripe)
        logits["global"] = self.get_submodule(f"instance{self.parts}")(reduced.mean(dim=2))
        return logits

    def _stage_logits(self, stage: int, x: Tensor) -> Tensor:
        pooled = spatial_attention(x, self.attention).mean(dim=(2, 3), keepdim=True)
        reduced = self.get_submodule(f"local_conv_layer{stage}")(pooled).flatten(1)
        logits: Tensor = self.get_submodule(f"instance_layer{stage}")(reduced)
        return logits

    def _add_heads(self, widths: Sequence[int], num_classes: int, num_features: int) -> None:
        self.local_conv = nn.Conv2d(widths[3], num_features, kernel_size=1, bias=False)
        self.feat_bn2d = nn.BatchNorm2d(num_features)
        stripes = range(self.parts) if self.parts > 1 else ()
        for index in (*stripes, self.parts):
            self.add_module(f"instance{index}", nn.Linear(num_features, num_classes))
        for stage in SUPERVISED_STAGES if self.deep_supervision else ():
            reduction = nn.Conv2d(widths[stage - 1], num_features, kernel_size=1, bias=False)
            self.add_module(f"local_conv_layer{stage}", reduction)
            self.add_module(f"instance_layer{stage}", nn.Linear(num_features, num_classes))

    def _initialise(self, from_scratch: bool) -> None:
        """Sets the new layers; beside a pretrained base the stage reductions keep PyTorch's default."""
        if self.local_conv.weight.is_meta:
            return  # there are no values, and PyTorch would import its compiler to draw none
        for name, module in self.named_children():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.001)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Conv2d) and (from_scratch or name == "local_conv"):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class FeatureNetwork(nn.Module):
    """The part of a trained network that computes matching features; it shares the network's modules."""

    def __init__(self, net: SANet) -> None:
        super().__init__()
        self.base = net.base
        self.parts = net.parts
        self.neck = net.neck if net.matches_neck else None
        self._attention = net.attention if net.attention_stage4 else "none"

    def forward(self, images: Tensor) -> Tensor:
        """N×3×H×W, normalised, to the features of `SANet.forward`."""
        stripes = pool_stripes(self.base(images), self.parts, images.shape[2])
        stripes = spatial_attention(stripes, self._attention)
        return matching_features(stripes if self.neck is None else self.neck(stripes))


def total_loss(
    logits: Mapping[str, Tensor], labels: Tensor, label_smoothing: float = 0.0
) -> tuple[Tensor, dict[str, Tensor]]:
    """Adds up the cross entropies of all branches, unweighted.

    Args:
        logits: N×classes by branch, as `SANet` returns them; half precisions are raised to float32.
        labels: N class indices, int64.
        label_smoothing: Share of each target that is spread over all classes (Szegedy et al., CVPR 2016).

    Returns:
        The sum, a scalar to call `backward` on, and each branch's mean cross entropy, detached.
    """
    scores = torch.stack(list(logits.values()))
    wide = scores.to(torch.promote_types(scores.dtype, torch.float32)).flatten(0, 1)
    # One call for all branches: many small ones would keep a GPU waiting for the CPU.
    targets = labels.repeat(len(scores))
    of_image = F.cross_entropy(wide, targets, reduction="none", label_smoothing=label_smoothing)
    losses = of_image.view(len(scores), -1).mean(1)
    return losses.sum(), dict(zip(logits, losses.detach().unbind(), strict=True))


def pool_stripes(x: Tensor, parts: int, input_height: int) -> Tensor:
    """Averages stripes over the full width: N×C×H×W to N×C×parts×1; overlapping where need be."""
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


def _check(valid: bool, field: str, value: object, allowed: str) -> None:
    if not valid:
        raise ConfigError(f"{field}: {value!r} is out of range; allowed: {allowed}")
