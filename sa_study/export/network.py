"""The feature network as files that need nothing of this program: ONNX and `torch.export`."""

from __future__ import annotations

import importlib
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sa_study.data.batches import MEAN, STD
from sa_study.utils.errors import ConfigError

OPSET = 18
"""ONNX's operator set; every runtime since ONNX Runtime 1.14 knows it."""

INPUT, OUTPUT, BATCH = "images", "features", "batch"

ABOUT = "network.json"
"""Under this name each file holds what it is."""

KINDS = {"normalised": "float32 N×3×H×W, normalised", "uint8": "uint8 N×H×W×3, RGB as decoded"}
"""What an exported network can be given."""

_NEEDED = {"onnx": "1.23.2", "onnxruntime": "1.32.0", "onnxscript": "0.7.2"}


class PixelNetwork(nn.Module):
    """Takes images as decoded and normalises them itself.

    Args:
        features: The feature network.
    """

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features
        for name, values in (("mean", MEAN), ("std", STD)):
            self.register_buffer(name, torch.tensor(values).mul(255).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """uint8 N×H×W×3, at the network's input size, to features."""
        pixels = images.permute(0, 3, 1, 2).float()
        found: Tensor = self.features((pixels - self.get_buffer("mean")) / self.get_buffer("std"))
        return found


def example(kind: str, count: int, height: int, width: int) -> Tensor:
    """Random images of one of `KINDS`, from torch's default generator."""
    if kind == "uint8":
        return torch.randint(256, (count, height, width, 3), dtype=torch.uint8)
    return torch.randn(count, 3, height, width)


def require_onnx() -> None:
    """Checks that what writes and checks ONNX files is installed.

    Raises:
        ConfigError: It is not; says how to get it.
    """
    missing = []
    for name in _NEEDED:
        try:
            importlib.import_module(name)
        except ImportError:
            missing.append(name)
    if missing:
        needed = " ".join(f"{name}=={version}" for name, version in _NEEDED.items())
        raise ConfigError(f"format onnx: {', '.join(missing)} not installed; pip install {needed}")


def trace(network: nn.Module, kind: str, height: int, width: int) -> torch.export.ExportedProgram:
    """Exports a network for batches of any size.

    Args:
        network: In evaluation mode, on the CPU; takes images of this kind.
        kind: One of `KINDS`.
        height: Height of the images in pixels.
        width: Width of the images in pixels.
    """
    batch = torch.export.Dim(BATCH)
    with quiet(), torch.no_grad():
        # A batch of one would be taken for a constant.
        images = example(kind, 2, height, width)
        program = torch.export.export(network, (images,), dynamic_shapes=({0: batch},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # tells where this program lies on this machine
    return program


def write_torch(program: torch.export.ExportedProgram, path: Path, about: str) -> None:
    """Writes a `.pt2` file; `about` is kept in it under the name `network.json`."""
    content = io.BytesIO()  # written from memory: of a full disk torch gives no usual error
    with quiet():
        torch.export.save(program, content, extra_files={ABOUT: about})
    path.write_bytes(content.getbuffer())


def write_onnx(program: torch.export.ExportedProgram, path: Path, about: str) -> None:
    """Writes an ONNX file, weights included; `about` is kept in its metadata, named `network.json`."""
    import onnx

    with quiet():
        made: Any = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            external_data=False,
            verbose=False,
        )
    model = made.model_proto
    _clean(model.graph)
    model.metadata_props.add(key=ABOUT, value=about)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _clean(graph: Any) -> None:
    """Takes out what the exporter notes for debugging, paths among it, and names the batch."""
    values = [*graph.input, *graph.output, *graph.value_info]
    symbol = graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for item in (*values, *graph.node, *graph.initializer):
        del item.metadata_props[:]
    del graph.metadata_props[:]
    for value in values:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == symbol:
                dim.dim_param = BATCH


@contextmanager
def quiet() -> Iterator[None]:
    """Within, neither warnings nor logs: the exporters talk of their own insides."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
