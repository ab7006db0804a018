"""The SA network computed plainly with torch.nn.functional, from a state dict under the published names."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
CLASSES, FEATURES = 7, 16


def published_shapes(depth: int, parts: int = 6, supervised: bool = True) -> dict[str, tuple[int, ...]]:
    """The names of the published file that the network uses, with the shapes that its description implies."""
    shapes: dict[str, tuple[int, ...]] = {}

    def norm(name: str, width: int) -> None:
        shapes.update(
            {f"{name}.{key}": (width,) for key in ("weight", "bias", "running_mean", "running_var")}
        )
        shapes[f"{name}.num_batches_tracked"] = ()

    def linear(name: str) -> None:
        shapes.update({f"{name}.weight": (CLASSES, FEATURES), f"{name}.bias": (CLASSES,)})

    shapes["base.conv1.weight"] = (64, 3, 7, 7)
    norm("base.bn1", 64)
    expansion, channels = (4 if depth >= 50 else 1), 64
    for stage, count in enumerate(BLOCKS[depth], start=1):
        width = 64 * 2 ** (stage - 1)
        out = width * expansion
        kernels = (3, 3) if depth < 50 else (1, 3, 1)
        for block in range(count):
            name = f"base.layer{stage}.{block}"
            widths = (channels, width, out) if depth < 50 else (channels, width, width, out)
            for index, kernel in enumerate(kernels, start=1):
                shapes[f"{name}.conv{index}.weight"] = (widths[index], widths[index - 1], kernel, kernel)
                norm(f"{name}.bn{index}", widths[index])
            if block == 0 and (stage > 1 or channels != out):
                shapes[f"{name}.downsample.0.weight"] = (out, channels, 1, 1)
                norm(f"{name}.downsample.1", out)
            channels = out
        if supervised and stage < 4:
            shapes[f"local_conv_layer{stage}.weight"] = (FEATURES, out, 1, 1)
            linear(f"instance_layer{stage}")
    shapes["local_conv.weight"] = (FEATURES, channels, 1, 1)
    norm("feat_bn2d", FEATURES)
    for index in range(parts + 1) if parts > 1 else (1,):
        linear(f"instance{index}")
    return shapes


@functools.cache
def random_state(depth: int, parts: int = 6, supervised: bool = True) -> dict[str, Tensor]:
    """Weights under which every branch and stage has activations of about its input's size, float32."""
    random = torch.Generator().manual_seed(1)
    state: dict[str, Tensor] = {}
    for name, shape in published_shapes(depth, parts, supervised).items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(0)
        elif len(shape) == 4:
            fan_in = shape[1] * shape[2] * shape[3]
            state[name] = torch.randn(shape, generator=random) * math.sqrt(2 / fan_in)
        elif name.endswith(("running_var", "weight")) and len(shape) == 1:
            state[name] = 0.5 + torch.rand(shape, generator=random)
        else:
            state[name] = 0.3 * torch.randn(shape, generator=random)
    return state


class Reference:
    """The network as its paper and the published code describe it, computed from a state dict.

    In training it updates the running statistics in that state dict.
    """

    def __init__(self, state: dict[str, Tensor], depth: int, train: bool, **settings: Any) -> None:
        self.state, self.depth, self.train = state, depth, train
        self.attention = settings.get("attention", "mean")
        self.stage4 = settings.get("attention_stage4", False)
        self.supervised = settings.get("deep_supervision", True)
        self.parts = settings.get("parts", 6)

    def conv(self, x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = self.state[f"{name}.weight"]
        return F.conv2d(x, weight, stride=stride, padding=weight.shape[2] // 2)

    def norm(self, x: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (
            self.state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, var, weight, bias, training=self.train, momentum=0.1, eps=1e-5)

    def block(self, x: Tensor, name: str, stride: int) -> Tensor:
        strides = (stride, 1) if self.depth < 50 else (1, stride, 1)
        out = x
        for index, step in enumerate(strides, start=1):
            out = self.norm(self.conv(out, f"{name}.conv{index}", step), f"{name}.bn{index}")
            if index < len(strides):
                out = F.relu(out)
        if f"{name}.downsample.0.weight" in self.state:
            x = self.norm(self.conv(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
        return F.relu(out + x)

    def attend(self, x: Tensor) -> Tensor:
        if self.attention == "none":
            return x
        score = x.mean(1) if self.attention == "mean" else x.sum(1)
        score = score if self.attention == "mean" else (score - score.amax((1, 2), keepdim=True)).exp()
        return x * (score / score.sum((1, 2), keepdim=True)).unsqueeze(1)

    def classify(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def __call__(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        x = F.max_pool2d(F.relu(self.norm(self.conv(images, "base.conv1", 2), "base.bn1")), 3, 2, 1)
        stages: dict[str, Tensor] = {}
        for stage, count in enumerate(BLOCKS[self.depth], start=1):
            for block in range(count):
                x = self.block(x, f"base.layer{stage}.{block}", 2 if block == 0 and stage in (2, 3) else 1)
            if stage < 4 and self.supervised:
                pooled = self.attend(x).mean((2, 3))[:, :, None, None]
                reduced = self.conv(pooled, f"local_conv_layer{stage}")[:, :, 0, 0]
                stages[f"stage{stage}"] = self.classify(reduced, f"instance_layer{stage}")
        step, rest = x.shape[2] // self.parts, x.shape[2] % self.parts
        rows = [x[:, :, i * step : i * step + step + rest] for i in range(self.parts)]
        pooled = torch.stack([stripe.mean((2, 3)) for stripe in rows], dim=2).unsqueeze(3)
        pooled = self.attend(pooled) if self.stage4 else pooled
        vectors = [pooled[:, :, i, 0] for i in range(self.parts)]
        features = torch.cat([v / v.square().sum(1, keepdim=True).sqrt() for v in vectors], dim=1)
        reduced = F.relu(self.norm(self.conv(pooled, "local_conv"), "feat_bn2d"))
        logits: dict[str, Tensor] = {}
        for i in range(self.parts if self.parts > 1 else 0):
            logits[f"part{i + 1}"] = self.classify(reduced[:, :, i, 0], f"instance{i}")
        logits["global"] = self.classify(reduced.mean((2, 3)), f"instance{self.parts}")
        return features, logits | stages
