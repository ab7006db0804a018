"""A backbone `narrow` for the tests, in the table of every Python process that they start.

Most studies of the tests show what happens around the network. With 0.07 million weights, where ResNet-18 has
11 million, their steps and checkpoints take no time. It is added to the table as any other would be.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

TABLE = "sa_study.model.backbones"
WIDTHS = (16, 32, 64, 64)

DEVICES_FOLDER = "NARROW_DEVICES_FOLDER"
"""The variable with a folder in which each process that builds the network notes the GPUs that it may use."""

TRIALS_TOGETHER = "NARROW_TRIALS_TOGETHER"
"""The variable with how many processes with a GPU must have noted theirs there before any goes on."""

MOST_IMAGES = "NARROW_MOST_IMAGES"
"""The variable with the number of images beyond which a forward pass in training fails as on a full GPU."""


def build() -> Any:
    """A stem and four stages of one convolution each: a row of the result is 16 rows of the image."""
    import os
    import time
    from collections import OrderedDict
    from pathlib import Path

    import torch
    from torch import nn

    def require_memory(stem: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        if stem.training and len(inputs[0]) > int(os.environ.get(MOST_IMAGES, "100000")):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    if folder := os.environ.get(DEVICES_FOLDER):
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
        Path(folder, str(os.getpid())).write_text(gpus or "all")
        deadline = time.monotonic() + 200
        while gpus and len(list(Path(folder).iterdir())) < int(os.environ.get(TRIALS_TOGETHER, "0")):
            assert time.monotonic() < deadline, "the other trials did not begin"
            time.sleep(0.05)

    def stage(before: int, after: int, stride: int) -> nn.Sequential:
        convolution = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        return nn.Sequential(OrderedDict(convolution=convolution, norm=nn.BatchNorm2d(after), relu=nn.ReLU()))

    strides = (1, 2, 2, 1)
    stages = zip((8, *WIDTHS), WIDTHS, strides, strict=False)
    named = {f"layer{number}": stage(*shape) for number, shape in enumerate(stages, 1)}
    stem = nn.Conv2d(3, 8, 7, 4, 3, bias=False)
    stem.register_forward_pre_hook(require_memory)
    return nn.Sequential(OrderedDict(conv1=stem, **named))


class AddNarrow(MetaPathFinder, Loader):
    """Adds the entry as soon as the table is imported: at Python's start it may not be found yet."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != TABLE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.loader is not None
        self._loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        table: dict[str, Any] = module.__dict__["BACKBONES"]
        larger = dict(table)
        table.clear()
        table["narrow"] = module.__dict__["Backbone"](
            build, WIDTHS, lambda names: "layer1.convolution.weight" in names, ""
        )
        table.update(larger)


def register() -> None:
    """Has the table get the entry once it is imported."""
    sys.meta_path.insert(0, AddNarrow())
