"""Random augmentation: which images are mirrored, which boxes are erased and by what noise.

All are drawn on the CPU and applied to whole batches, so that every device makes the same choices.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sa_study.data.device_images import to_device

ERASED_AREA = (0.02, 0.2)
ERASED_ASPECT = (0.3, 1 / 0.3)
_ERASING_ATTEMPTS = 100

_NOISE_WINDOWS = 2**20
"""Places in an epoch's strip of noise at which an image's noise can begin."""


def mirror(images: Tensor, mirrored: Tensor) -> Tensor:
    """Mirrors some images left to right.

    Args:
        images: B×h×w×3, any type.
        mirrored: bool, B, on the same device.
    """
    return torch.where(mirrored.view(-1, 1, 1, 1), images.flip(2), images)


def erasing_boxes(count: int, height: int, width: int, probability: float, random: torch.Generator) -> Tensor:
    """Draws the boxes of random erasing (Zhong et al., AAAI 2020) as the published code does.

    An image is erased with the given probability. Its box has an area uniform in `ERASED_AREA` (a share of
    the image's) and a ratio of height to width uniform in `ERASED_ASPECT`. Both are drawn anew until the
    rounded box is smaller than the image in both directions, at most 100 times; the image stays whole if none
    is. The place is uniform among all that the box fits. Every round draws for all images that still lack a
    box, which gives the same distribution as one image after the other.

    Args:
        count: Number of images.
        height: Height of the images in pixels.
        width: Width of the images in pixels.
        probability: Probability that an image is erased.
        random: Source of the draws, on the CPU.

    Returns:
        int64, count×4: top, left, bottom, right, the last two exclusive; all 0 where nothing is erased.
    """
    boxes = torch.zeros(count, 4, dtype=torch.int64)
    pending = torch.nonzero(torch.rand(count, generator=random) < probability).squeeze(1)
    for _ in range(_ERASING_ATTEMPTS):
        if not len(pending):
            break
        draws = torch.rand(4, len(pending), generator=random, dtype=torch.float64)
        area = height * width * _between(ERASED_AREA, draws[0])
        aspect = _between(ERASED_ASPECT, draws[1])
        tall, wide = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
        top, left = (draws[2] * (height - tall + 1)).floor(), (draws[3] * (width - wide + 1)).floor()
        fits = (tall < height) & (wide < width)
        boxes[pending[fits]] = torch.stack([top, left, top + tall, left + wide], 1)[fits].long()
        pending = pending[~fits]
    return boxes


class ErasingNoise:
    """Standard normal noise for one epoch's boxes: a long strip, of which every image takes a random window.

    Drawing it anew for each image would be slow, and give other numbers on each kind of device.

    Args:
        height: Height of the images in pixels.
        width: Width of the images in pixels.
        random: Source of the draws, on the CPU.
        device: Device of the images.
    """

    def __init__(self, height: int, width: int, random: torch.Generator, device: torch.device):
        self._shape = (height, width, 3)
        pixels = 3 * height * width
        strip = to_device(torch.randn(_NOISE_WINDOWS + pixels - 1, generator=random), device)
        self._windows = strip.unfold(0, pixels, 1)

    @staticmethod
    def places(count: int, random: torch.Generator) -> Tensor:
        """Draws where each image's noise begins: int64, count, on the CPU."""
        return torch.randint(_NOISE_WINDOWS, (count,), generator=random)

    def erase(self, images: Tensor, boxes: Tensor, places: Tensor) -> Tensor:
        """Fills a box of each image with noise.

        Args:
            images: float32, B×3×H×W.
            boxes: int64, B×4, as `erasing_boxes` gives them, on the images' device.
            places: int64, B, of `places`, on the images' device.

        Returns:
            The images in channels_last memory format.
        """
        height, width, _ = self._shape
        top, left, bottom, right = boxes.view(-1, 4, 1, 1, 1).unbind(1)
        rows = torch.arange(height, device=images.device).view(-1, 1)
        columns = torch.arange(width, device=images.device)
        inside = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
        noise = self._windows[places].view(-1, *self._shape).permute(0, 3, 1, 2)
        return torch.where(inside, noise, images)


def _between(bounds: tuple[float, float], share: Tensor) -> Tensor:
    low, high = bounds
    return low + (high - low) * share
