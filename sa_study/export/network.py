"""The feature network as files that need nothing of this program: ONNX and `torch.export`.

Each file is read back as others will read it, and its features are compared with the network's own.
"""

from __future__ import annotations

import importlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sa_study.data.batches import MEAN, STD, Normaliser, resize
from sa_study.data.sample.cameras import CAMERAS, Camera
from sa_study.data.sample.people import draw_people
from sa_study.utils.errors import ConfigError, RunFailed

OPSET = 18
"""ONNX's operator set; every runtime since ONNX Runtime 1.14 knows it."""

INPUT, OUTPUT, BATCH = "images", "features", "batch"

ABOUT = "network.json"
"""Name under which each file holds its own description."""

INPUTS = {"normalised": "float32 N×3×H×W, normalised", "uint8": "uint8 N×H×W×3, RGB as decoded"}
"""The images that an exported network can take."""

_NEEDED = {"onnx": "1.23.2", "onnxruntime": "1.32.0", "onnxscript": "0.7.2"}

LIMIT = 1e-4
"""Largest difference of a feature that is accepted; those of a stripe have length 1 together."""

BATCHES = (1, 3)

Reader = Callable[[Tensor], Tensor]
"""Images to features, as an exported file computes them."""


class PixelNetwork(nn.Module):
    """Takes images as decoded and normalises them itself, for a feature network."""

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
    """Random images of one of `INPUTS`, from torch's default generator."""
    if kind == "uint8":
        return torch.randint(256, (count, height, width, 3), dtype=torch.uint8)
    return torch.randn(count, 3, height, width)


def require_onnx() -> None:
    """Checks that the packages that write and check ONNX files are installed.

    Raises:
        ConfigError: One is not; says how to install it.
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
    """Exports a network, in evaluation mode on the CPU, for batches of any size of one of `INPUTS`."""
    batch = torch.export.Dim(BATCH)
    with quiet(), torch.no_grad():
        # A batch of one would be taken for a constant.
        images = example(kind, 2, height, width)
        program = torch.export.export(network, (images,), dynamic_shapes=({0: batch},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # tells where this program lies on this machine
    return program


def write_torch(program: torch.export.ExportedProgram, path: Path, about: str) -> None:
    """Writes a `.pt2` file that holds the description `about` under the name `network.json`."""
    content = io.BytesIO()  # written from memory: of a full disk torch gives no usual error
    with quiet():
        torch.export.save(program, content, extra_files={ABOUT: about})
    path.write_bytes(content.getbuffer())


def write_onnx(program: torch.export.ExportedProgram, path: Path, about: str) -> None:
    """Writes an ONNX file, weights included, with the description `about` in its metadata."""
    import onnx

    with quiet():
        exported: Any = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            external_data=False,
            verbose=False,
        )
    model = exported.model_proto
    _clean(model.graph)
    model.metadata_props.add(key=ABOUT, value=about)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _clean(graph: Any) -> None:
    """Removes what the exporter adds for debugging, paths among it, and names the batch dimension."""
    values = [*graph.input, *graph.output, *graph.value_info]
    symbol = graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for item in (*values, *graph.node, *graph.initializer):
        del item.metadata_props[:]
    del graph.metadata_props[:]
    for value in values:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == symbol:
                dim.dim_param = BATCH


def read_onnx(path: Path) -> Reader:
    """An ONNX file in ONNX Runtime, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])


def read_torch(path: Path) -> Reader:
    """A `.pt2` file in PyTorch."""
    with quiet():
        module = torch.export.load(path).module()
    return lambda images: module(images)


def largest_difference(
    network: nn.Module, exported: Reader, kind: str, height: int, width: int
) -> dict[str, float]:
    """Compares the features of an exported network, as read from its file, with the network's own.

    Both take images of one of `INPUTS`; the network is in evaluation mode.

    Returns:
        The largest absolute difference on random images and on drawn people, over batches of `BATCHES`.

    Raises:
        RunFailed: It is above `LIMIT`, or a feature is not finite.
    """
    people = drawn_people(max(BATCHES), height, width)
    if kind != "uint8":
        people = Normaliser(height, width, torch.device("cpu"))(people).contiguous()
    differences = {"random images": 0.0, "drawn people": 0.0}
    with torch.inference_mode():
        for count in BATCHES:
            batches = example(kind, count, height, width), people[:count]
            for name, images in zip(differences, batches, strict=True):
                found = (network(images) - exported(images)).abs().max().item()
                if not found <= LIMIT:  # NaN is not
                    raise RunFailed(
                        f"the exported network's features differ from PyTorch's by {found:.2g} "
                        f"({count} {name}; the limit is {LIMIT:g}); nothing was written"
                    )
                differences[name] = max(differences[name], found)
    return differences


def drawn_people(count: int, height: int, width: int) -> Tensor:
    """Draws people as in the sample data: uint8, count×height×width×3."""
    rng = np.random.default_rng(0)
    pictures = [
        np.asarray(Camera(optics, rng).photograph([person], rng, 1.0))
        for person, optics in zip(draw_people(count, 0), CAMERAS, strict=False)
    ]
    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    return resize(pixels, height, width).permute(0, 2, 3, 1).contiguous()


@contextmanager
def quiet() -> Iterator[None]:
    """Within, there are neither warnings nor logs: the exporters write about their internals."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)
