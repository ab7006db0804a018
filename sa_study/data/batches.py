"""Turns stored images into what the network takes: resized, augmented, normalised float batches.

Order, flips and erased boxes are drawn on the CPU from streams keyed by seed, purpose and epoch: they are the
same on every device, and an epoch needs nothing of the one before it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from sa_study.data.store import ImageStore, TrainingData
from sa_study.errors import ConfigError
from sa_study.randomness import generator

# ImageNet's, of RGB in [0, 1]: https://docs.pytorch.org/vision/stable/models.html
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

ERASED_AREA = (0.02, 0.2)
ERASED_ASPECT = (0.3, 1 / 0.3)
_ERASING_ATTEMPTS = 100


def training_batches(
    data: TrainingData,
    *,
    epoch: int,
    batch_size: int,
    height: int,
    width: int,
    flip: float = 0.5,
    random_erasing: float = 0.0,
    seed: int,
    device: torch.device,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Returns one epoch of shuffled, augmented batches; the last incomplete one is dropped.

    Args:
        data: Images and labels; only read.
        epoch: Which epoch's random choices to make, from 0 or 1 as the caller counts.
        batch_size: Images in a batch.
        height: Height of the images in pixels.
        width: Width of the images in pixels.
        flip: Probability that an image is mirrored.
        random_erasing: Probability that a box of an image is replaced by noise, see `erasing_boxes`.
        seed: Seed of the run.
        device: Where the batches are needed.

    Returns:
        An iterator of (images, labels): float32 B×3×H×W in channels_last memory format, and int64 B.

    Raises:
        ConfigError: There are fewer images than one batch holds.
    """
    count = len(data.train)
    if count < batch_size:
        raise ConfigError(f"batch_size={batch_size}: only {count} training images; use at most {count}")
    order = torch.randperm(count, generator=generator(seed, "order", epoch)).numpy()
    augmentation = generator(seed, "augmentation", epoch)
    mirrored = (torch.rand(count, generator=augmentation) < flip).numpy()
    boxes = erasing_boxes(count, height, width, random_erasing, augmentation)
    noise = generator(seed, "erasing-noise", epoch, device)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, count - batch_size + 1, batch_size):
            batch = slice(start, start + batch_size)
            pixels = data.store.images[data.train[order[batch]]]
            images = _prepare(pixels, mirrored[batch], height, width, device)
            _erase(images, boxes[batch], noise)
            yield images, torch.from_numpy(data.labels[order[batch]]).to(device)

    return batches()


def evaluation_batches(
    store: ImageStore,
    index: npt.NDArray[np.int64],
    *,
    batch_size: int,
    height: int,
    width: int,
    device: torch.device,
) -> Iterator[Tensor]:
    """Yields the images of `index` in order, the last batch as small as it comes.

    Args:
        store: Images; only read.
        index: int64, which of them.
        batch_size: Images in a batch.
        height: Height of the images in pixels.
        width: Width of the images in pixels.
        device: Where the batches are needed.

    Yields:
        float32 B×3×H×W in channels_last memory format.
    """
    for start in range(0, len(index), batch_size):
        pixels = store.images[index[start : start + batch_size]]
        yield _prepare(pixels, np.zeros(len(pixels), bool), height, width, device)


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


def _between(bounds: tuple[float, float], share: Tensor) -> Tensor:
    low, high = bounds
    return low + (high - low) * share


def _erase(images: Tensor, boxes: Tensor, noise: torch.Generator) -> None:
    for image, (top, left, bottom, right) in zip(images, boxes.tolist(), strict=True):
        if bottom > top:
            image[:, top:bottom, left:right].normal_(generator=noise)


def _prepare(
    pixels: npt.NDArray[np.uint8],
    mirrored: npt.NDArray[np.bool_],
    height: int,
    width: int,
    device: torch.device,
) -> Tensor:
    """Mirrors (in place), uploads, resizes and normalises B×h×w×3 bytes."""
    pixels[mirrored] = pixels[mirrored, :, ::-1]
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device)
    # PyTorch resizes bytes on the CPU only, and there about ten times as fast as floats.
    if device.type != "cpu":
        images = images.float()
    images = resize(images, height, width).float()
    mean, std = (torch.tensor(values, device=device).mul(255).view(3, 1, 1) for values in (MEAN, STD))
    return images.sub_(mean).div_(std)
