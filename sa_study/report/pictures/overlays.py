"""Images coloured by a map of numbers, such as attention or the evidence for a class."""

from __future__ import annotations

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
"""An image in RGB, H×W×3, or several, N×H×W×3."""

COLOURS = "inferno"
"""Brightness grows with the value throughout, so that it is read without colour too."""

OPACITY = 0.6

FOR, AGAINST = np.array([202, 0, 32]), np.array([5, 95, 190])
"""Red and blue, which people who confuse red and green can distinguish too."""

_STRONGEST = 0.85


def grey(pixels: Pixels, veil: float) -> Pixels:
    """The brightness of an image, with a share of white over it."""
    brightness = pixels @ np.array([0.299, 0.587, 0.114])
    shade = (1 - veil) * brightness + 255 * veil
    return np.repeat(np.rint(shade).astype(np.uint8)[:, :, None], 3, axis=2)


def overlay(pixels: Pixels, values: NDArray[np.float32], low: float, high: float) -> Pixels:
    """Colours an image, H×W×3, whose brightness stays visible, by a map, h×w, from `low`, dark, to `high`.

    The map is brought to the image's size by bilinear interpolation.
    """
    share = np.clip((_enlarged(values, pixels) - low) / (high - low or 1.0), 0, 1)
    colours = 255 * matplotlib.colormaps[COLOURS](share)[:, :, :3]
    mixed: Pixels = np.rint(OPACITY * colours + (1 - OPACITY) * grey(pixels, 0.0)).astype(np.uint8)
    return mixed


def evidence(pixels: Pixels, values: NDArray[np.float32], largest: float) -> Pixels:
    """As `overlay`, with evidence for a class in red and against it in blue; 0 stays clear.

    The strongest colours stand for the absolute value `largest`.
    """
    share = np.clip(_enlarged(values, pixels) / (largest or 1.0), -1, 1)[:, :, None]
    opacity = _STRONGEST * np.abs(share)
    colours = opacity * np.where(share > 0, FOR, AGAINST)
    mixed: Pixels = np.rint(colours + (1 - opacity) * grey(pixels, 0.3)).astype(np.uint8)
    return mixed


def _enlarged(values: NDArray[np.float32], pixels: Pixels) -> NDArray[np.float32]:
    size = pixels.shape[1], pixels.shape[0]
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
