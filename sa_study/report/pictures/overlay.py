"""Maps of the network laid over the images they are of."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from PIL import Image

from sa_study.report.pictures.sheet import grey

COLOURS = "inferno"
"""Brightness grows with the value throughout, so that it is read without colour too."""

OPACITY = 0.6

FOR, AGAINST = np.array([202, 0, 32]), np.array([5, 95, 190])
"""Red and blue, which also those tell apart who confuse red and green."""

_STRONGEST = 0.85


def overlay(
    pixels: NDArray[np.uint8], values: NDArray[np.float32], low: float, high: float
) -> NDArray[np.uint8]:
    """Colours an image by a map.

    Args:
        pixels: The image, uint8 H×W×3; its brightness stays visible.
        values: float32 h×w; brought to the image's size by bilinear interpolation.
        low: What the darkest colour stands for.
        high: What the brightest stands for.

    Returns:
        uint8 H×W×3.
    """
    share = np.clip((_enlarged(values, pixels) - low) / (high - low or 1.0), 0, 1)
    colours = 255 * matplotlib.colormaps[COLOURS](share)[:, :, :3]
    mixed = OPACITY * colours + (1 - OPACITY) * grey(pixels, 0.0)
    return _bytes(mixed)


def evidence(pixels: NDArray[np.uint8], values: NDArray[np.float32], largest: float) -> NDArray[np.uint8]:
    """Colours an image by what speaks for something (red) and against it (blue); 0 stays clear.

    Args:
        pixels: The image, uint8 H×W×3; its brightness stays visible.
        values: float32 h×w; brought to the image's size by bilinear interpolation.
        largest: The absolute value of the strongest colours.

    Returns:
        uint8 H×W×3.
    """
    share = np.clip(_enlarged(values, pixels) / (largest or 1.0), -1, 1)[:, :, None]
    colours = np.where(share > 0, FOR, AGAINST)
    opacity = _STRONGEST * np.abs(share)
    return _bytes(opacity * colours + (1 - opacity) * grey(pixels, 0.3))


def _bytes(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    rounded: NDArray[np.uint8] = np.rint(values).astype(np.uint8)
    return rounded


def _enlarged(values: NDArray[np.float32], pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    size = pixels.shape[1], pixels.shape[0]
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))


def colour_bar(axes: Axes, low: float, high: float) -> None:
    """Fills axes with the scale of the colours, from bottom to top."""
    scale = np.linspace(0, 1, 256)[:, None]
    axes.imshow(scale, cmap=COLOURS, aspect="auto", origin="lower", extent=(0, 1, low, high))
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.tick_params(labelsize=6, width=0.6, length=2.5, labelfontfamily="DejaVu Sans")
    for spine in axes.spines.values():
        spine.set_linewidth(0.6)
