"""Turns stored images into what the network takes: resized, augmented, normalised float batches.

Order, flips, erased boxes and their noise come from streams keyed by seed, purpose and epoch: they are the
same on every device, and an epoch needs nothing of the one before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from sa_study.data.augmentation import ErasingNoise, erasing_boxes, mirror
from sa_study.data.device_images import DeviceImages, to_device
from sa_study.data.store import TrainingData
from sa_study.utils.errors import ConfigError
from sa_study.utils.randomness import generator

# ImageNet's, of RGB in [0, 1]: https://docs.pytorch.org/vision/stable/models.html
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def training_batches(
    data: TrainingData,
    images: DeviceImages,
    *,
    epoch: int,
    batch_size: int,
    height: int,
    width: int,
    flip: float = 0.5,
    random_erasing: float = 0.0,
    seed: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Returns one epoch of shuffled, augmented batches; the last incomplete one is dropped.

    Nothing in the loop waits for a GPU: the epoch's choices are sent there at its beginning.

    Args:
        data: Indices and labels of the training images.
        images: The images of its store.
        epoch: Which epoch's random choices to make, from 0 or 1 as the caller counts.
        batch_size: Images in a batch.
        height: Height of the images in pixels.
        width: Width of the images in pixels.
        flip: Probability that an image is mirrored.
        random_erasing: Probability that a box of an image is replaced by noise, see `erasing_boxes`.
        seed: Seed of the run.

    Returns:
        An iterator of (images, labels): float32 B×3×H×W in channels_last memory format, and int64 B, both on
        the device of `images`.

    Raises:
        ConfigError: There are fewer images than one batch holds.
    """
    count, device = len(data.train), images.device
    if count < batch_size:
        raise ConfigError(f"batch_size={batch_size}: only {count} training images; use at most {count}")
    order = torch.randperm(count, generator=generator(seed, "order", epoch)).numpy()
    order = order[: count // batch_size * batch_size]
    augmentation = generator(seed, "augmentation", epoch)
    labels = torch.from_numpy(data.labels[order])
    mirrored = (torch.rand(count, generator=augmentation) < flip)[: len(order)]
    chosen = [labels, mirrored]
    noise = None
    if random_erasing:
        boxes = erasing_boxes(count, height, width, random_erasing, augmentation)[: len(order)]
        random = generator(seed, "erasing-noise", epoch)
        noise = ErasingNoise(height, width, random, device)
        chosen += [boxes, noise.places(len(order), random)]
    drawn = [to_device(values, device).split(batch_size) for values in chosen]
    return _batches(
        images.batches(data.train[order], batch_size), drawn, Normaliser(height, width, device), noise
    )


def _batches(
    stored: Iterator[Tensor],
    drawn: Sequence[Sequence[Tensor]],
    normalise: Normaliser,
    noise: ErasingNoise | None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Applies to each batch what was drawn for it: labels, mirrored images and erased boxes."""
    for pixels, labels, mirrored, *erasing in zip(stored, *drawn, strict=True):
        batch = normalise(mirror(pixels, mirrored))
        yield noise.erase(batch, *erasing) if noise else batch, labels


def evaluation_batches(
    images: DeviceImages, index: npt.NDArray[np.int64], *, batch_size: int, height: int, width: int
) -> Iterator[Tensor]:
    """Yields the images of `index` in order; the last batch may be smaller.

    Args:
        images: The stored images.
        index: int64, the images to take.
        batch_size: Images in a batch.
        height: Height of the images in pixels.
        width: Width of the images in pixels.

    Yields:
        float32 B×3×H×W in channels_last memory format, on the device of `images`.
    """
    normalise = Normaliser(height, width, images.device)
    for pixels in images.batches(index, batch_size):
        yield normalise(pixels)


def resize(images: Tensor, height: int, width: int) -> Tensor:
    """Resizes as Pillow does with `Image.resize(..., BILINEAR)`: antialiased when it shrinks.

    Args:
        images: B×3×h×w, values 0 to 255; uint8 on the CPU, or floats on any device.
        height: Height of the result in pixels.
        width: Width of the result in pixels.

    Returns:
        B×3×H×W of the same type; bytes equal Pillow's, floats differ by its rounding.
    """
    return F.interpolate(images, size=(height, width), mode="bilinear", antialias=True)


class Normaliser:
    """Brings stored bytes to the network's input size and range.

    Args:
        height: Height of the result in pixels.
        width: Width of the result in pixels.
        device: Device of the images.
    """

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
