"""Turns stored images into what the network takes: resized, augmented, normalised float batches.

Order, flips, erased boxes and their noise come from streams keyed by seed, purpose and epoch, are drawn on
the CPU and applied to whole batches: they are the same on every device, and an epoch needs nothing of the one
before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from sa_study.data.device_images import DeviceImages, to_device
from sa_study.data.store import TrainingData
from sa_study.settings.run import Settings
from sa_study.utils.randomness import generator

# ImageNet's, of RGB in [0, 1]: https://docs.pytorch.org/vision/stable/models.html
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

ERASED_AREA = (0.02, 0.2)
ERASED_ASPECT = (0.3, 1 / 0.3)
_ERASING_ATTEMPTS = 100

_NOISE_WINDOWS = 2**20
"""Places in an epoch's strip of noise at which an image's noise can begin."""


def training_batches(
    data: TrainingData, images: DeviceImages, settings: Settings, epoch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Returns one epoch of shuffled, augmented batches; the last incomplete one is dropped.

    There must be at least a batch of images, which `load_folds` checks. Nothing in the loop waits for a GPU:
    the epoch's choices are sent there at its beginning.

    Args:
        data: Indices and labels of the training images.
        images: The images of its store.
        settings: Give size, batch size, augmentation and seed.
        epoch: Which epoch's random choices to make.

    Returns:
        An iterator of (images, labels): float32 B×3×H×W in channels_last memory format, and int64 B, both on
        the device of `images`.
    """
    count, device, batch_size = len(data.train), images.device, settings.batch_size
    height, width, seed = settings.height, settings.width, settings.seed
    order = torch.randperm(count, generator=generator(seed, "order", epoch)).numpy()
    order = order[: count // batch_size * batch_size]
    augmentation = generator(seed, "augmentation", epoch)
    labels = torch.from_numpy(data.labels[order])
    mirrored = (torch.rand(count, generator=augmentation) < settings.flip)[: len(order)]
    chosen = [labels, mirrored]
    noise = None
    if settings.random_erasing:
        boxes = erasing_boxes(count, height, width, settings.random_erasing, augmentation)[: len(order)]
        random = generator(seed, "erasing-noise", epoch)
        noise = ErasingNoise(height, width, random, device)
        chosen += [boxes, noise.draw_offsets(len(order), random)]
    drawn = [to_device(values, device).split(batch_size) for values in chosen]
    stored = images.batches(data.train[order], batch_size)
    return _augmented(stored, drawn, Normaliser(height, width, device), noise)


def _augmented(
    stored: Iterator[Tensor],
    drawn: Sequence[Sequence[Tensor]],
    normalise: Normaliser,
    noise: ErasingNoise | None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Applies to each batch what was drawn for it: labels, mirrored images and erased boxes."""
    for pixels, labels, mirrored, *erasing in zip(stored, *drawn, strict=True):
        flipped = torch.where(mirrored.view(-1, 1, 1, 1), pixels.flip(2), pixels)
        batch = normalise(flipped)
        yield noise.erase(batch, *erasing) if noise else batch, labels


def evaluation_batches(
    images: DeviceImages, index: npt.NDArray[np.int64], *, batch_size: int, height: int, width: int
) -> Iterator[Tensor]:
    """Yields the images of `index` in order; the last batch may be smaller.

    Yields:
        float32 B×3×H×W in channels_last memory format, on the device of `images`.
    """
    normalise = Normaliser(height, width, images.device)
    for pixels in images.batches(index, batch_size):
        yield normalise(pixels)


def resize(images: Tensor, height: int, width: int) -> Tensor:
    """Resizes as Pillow does with `Image.resize(..., BILINEAR)`: antialiased when it shrinks.

    Takes B×3×h×w, values 0 to 255, uint8 on the CPU or floats on any device; the result is of the same type.
    Bytes equal Pillow's, floats differ by its rounding.
    """
    return F.interpolate(images, size=(height, width), mode="bilinear", antialias=True)


class Normaliser:
    """Brings stored bytes on a device to the network's input size in pixels, and to its range."""

    def __init__(self, height: int, width: int, device: torch.device):
        self._size = height, width
        self._mean, self._std = (
            torch.tensor(values, device=device).mul(255).view(3, 1, 1) for values in (MEAN, STD)
        )

    def __call__(self, pixels: Tensor) -> Tensor:
        """uint8 B×h×w×3 to float32 B×3×H×W in channels_last memory format."""
        images = pixels.permute(0, 3, 1, 2)
        # PyTorch resizes bytes on the CPU only, and there about ten times as fast as floats.
        if images.device.type != "cpu":
            images = images.float()
        return resize(images, *self._size).float().sub_(self._mean).div_(self._std)


def erasing_boxes(count: int, height: int, width: int, probability: float, random: torch.Generator) -> Tensor:
    """Draws the boxes of random erasing (Zhong et al., AAAI 2020) as the published code does.

    An image is erased with the given probability. Its box has an area uniform in `ERASED_AREA` (a share of
    the image's) and a ratio of height to width uniform in `ERASED_ASPECT`. Both are drawn anew until the
    rounded box is smaller than the image in both directions, at most 100 times; the image stays whole if no
    box is. Its place is uniform among all in which it fits. Every round draws for all images without a box
    yet, which gives the same distribution as one image after the other.

    Args:
        count: Number of images.
        height: Their height in pixels.
        width: Their width in pixels.
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
    """

    def __init__(self, height: int, width: int, random: torch.Generator, device: torch.device):
        self._shape = (height, width, 3)
        pixels = 3 * height * width
        strip = to_device(torch.randn(_NOISE_WINDOWS + pixels - 1, generator=random), device)
        self._windows = strip.unfold(0, pixels, 1)

    @staticmethod
    def draw_offsets(count: int, random: torch.Generator) -> Tensor:
        """Draws where each image's noise begins: int64, count, on the CPU."""
        return torch.randint(_NOISE_WINDOWS, (count,), generator=random)

    def erase(self, images: Tensor, boxes: Tensor, offsets: Tensor) -> Tensor:
        """Fills a box of each image with noise, all on one device; the result is channels_last.

        Args:
            images: float32, B×3×H×W.
            boxes: int64, B×4, as `erasing_boxes` gives them.
            offsets: int64, B, as `draw_offsets` gives them.
        """
        height, width, _ = self._shape
        top, left, bottom, right = boxes.view(-1, 4, 1, 1, 1).unbind(1)
        rows = torch.arange(height, device=images.device).view(-1, 1)
        columns = torch.arange(width, device=images.device)
        inside = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
        noise = self._windows[offsets].view(-1, *self._shape).permute(0, 3, 1, 2)
        return torch.where(inside, noise, images)


def _between(bounds: tuple[float, float], share: Tensor) -> Tensor:
    low, high = bounds
    return low + (high - low) * share
