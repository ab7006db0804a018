"""Compares an exported network with the one it was made of, through the file as others will read it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sa_study.data.batches import Normaliser, resize
from sa_study.data.sample.cameras import CAMERAS, Camera
from sa_study.data.sample.people import draw_people
from sa_study.export.network import INPUT, OUTPUT, example, quiet
from sa_study.utils.errors import RunFailed

LIMIT = 1e-4
"""Largest difference of a feature (each stripe's have length 1) that is put up with."""

BATCHES = (1, 3)

Reader = Callable[[Tensor], Tensor]
"""Images to features, as an exported file computes them."""


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
    """How far an exported network's features are from the network's own.

    Args:
        network: What was exported, in evaluation mode.
        exported: The same, as read from its file.
        kind: What images both take.
        height: Height of the images in pixels.
        width: Width of the images in pixels.

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
            for name, images in (
                ("random images", example(kind, count, height, width)),
                ("drawn people", people[:count]),
            ):
                found = (network(images) - exported(images)).abs().max().item()
                if not found <= LIMIT:  # NaN is not
                    raise RunFailed(
                        f"the exported network's features differ from PyTorch's by {found:.2g} "
                        f"({count} {name}; the limit is {LIMIT:g}); nothing was written"
                    )
                differences[name] = max(differences[name], found)
    return differences


def drawn_people(count: int, height: int, width: int) -> Tensor:
    """Pictures as the sample data's: uint8, count×height×width×3."""
    rng = np.random.default_rng(0)
    pictures = [
        np.asarray(Camera(optics, rng).photograph([person], rng, 1.0))
        for person, optics in zip(draw_people(count, 0), CAMERAS, strict=False)
    ]
    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    return resize(pixels, height, width).permute(0, 2, 3, 1).contiguous()
