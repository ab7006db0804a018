"""Augmentation of whole batches: what is drawn for each image of an epoch, and how it is applied.

Everything is drawn on the CPU from streams keyed by seed, purpose and epoch, and applied on the device, so
that every device makes the same choices. No kind of augmentation shifts what another one draws.

To add one, add its setting, and in `draw_augmentation` a `Change`, drawn from a stream of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sa_study.data.device_images import to_device
from sa_study.settings.run import Settings
from sa_study.utils.randomness import generator

ERASED_AREA = (0.02, 0.2)
ERASED_ASPECT = (0.3, 1 / 0.3)
_ERASING_ATTEMPTS = 100

_NOISE_WINDOWS = 2**20  # places in an epoch's strip of noise at which an image's noise can begin
_GREY = (0.299, 0.587, 0.114)  # shares of red, green and blue in an image's brightness: Pillow's, ITU-R 601


@dataclass(frozen=True)
class Change:
    """One kind of augmentation in one epoch.

    Attributes:
        drawn: What was drawn, a row for each of the epoch's images in their order; on the device.
        apply: Applies the rows of a batch to its images.
    """

    drawn: Tensor
    apply: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Augmentation:
    """All that changes an epoch's images, by what it is applied to, in order.

    Attributes:
        stored: Changes of stored bytes, uint8, B×h×w×3.
        resized: Changes of images of the input's size, 0 to 255, B×3×H×W, bytes or floats.
        normalised: Changes of normalised images, float32, B×3×H×W.
    """

    stored: tuple[Change, ...]
    resized: tuple[Change, ...]
    normalised: tuple[Change, ...]


def draw_augmentation(
    settings: Settings, images: int, used: int, epoch: int, device: torch.device
) -> Augmentation:
    """Draws an epoch's augmentation for all training images, of which its batches hold the number `used`."""
    height, width, seed = settings.height, settings.width, settings.seed
    random = generator(seed, "augmentation", epoch)
    stored = [Change((torch.rand(images, generator=random) < settings.flip)[:used], _flip)]
    resized: list[Change] = []
    normalised: list[Change] = []
    if settings.color_jitter:
        shift = 2 * torch.rand(used, 3, generator=generator(seed, "color-jitter", epoch)) - 1
        stored.append(Change(1 + settings.color_jitter * shift, jitter))
    if padding := settings.random_crop_padding:
        places = torch.randint(2 * padding + 1, (used, 2), generator=generator(seed, "crop", epoch))
        resized.append(Change(places, lambda images, drawn: crop(images, drawn, padding)))
    if settings.random_erasing:
        boxes = erasing_boxes(images, height, width, settings.random_erasing, random)[:used]
        if settings.random_erasing_fill == "mean":
            normalised.append(Change(boxes, _erase_to_mean))
        else:
            random = generator(seed, "erasing-noise", epoch)
            noise = ErasingNoise(height, width, random, device)
            places = torch.randint(_NOISE_WINDOWS, (used,), generator=random)
            normalised.append(Change(torch.cat([boxes, places[:, None]], 1), noise.erase))
    stages = (stored, resized, normalised)
    return Augmentation(
        *(tuple(Change(to_device(one.drawn, device), one.apply) for one in stage) for stage in stages)
    )


def apply_changes(changes: Iterable[Change], images: Tensor, part: slice) -> Tensor:
    """A batch's images after some changes; `part` says which of the epoch's images they are."""
    for change in changes:
        images = change.apply(images, change.drawn[part])
    return images


def jitter(pixels: Tensor, factors: Tensor) -> Tensor:
    """Changes brightness, contrast and saturation, in this order, as Pillow's `ImageEnhance` does.

    Args:
        pixels: uint8, B×h×w×3, RGB.
        factors: float32, B×3; 1 leaves an image as it is.

    Returns:
        uint8, B×h×w×3; rounded once, where Pillow rounds after each.
    """
    brightness, contrast, saturation = factors.view(-1, 3, 1, 1, 1).unbind(1)
    images = pixels.float().mul_(brightness).clamp_(max=255)
    images = _grey(images).mean((1, 2, 3), keepdim=True).lerp(images, contrast).clamp_(0, 255)
    images = _grey(images).lerp(images, saturation).clamp_(0, 255)
    return images.round_().to(torch.uint8)


def crop(images: Tensor, places: Tensor, padding: int) -> Tensor:
    """Pads images with black on every side, and cuts a piece of their size out of each.

    Args:
        images: B×3×H×W, 0 to 255, of any type.
        places: int64, B×2: top and left of the piece, from 0 to 2·padding.
        padding: Pixels on each side.

    Returns:
        B×3×H×W in channels_last memory format.
    """
    count, _, height, width = images.shape
    padded = F.pad(images, (padding, padding, padding, padding)).permute(0, 2, 3, 1)
    image = torch.arange(count, device=images.device).view(-1, 1, 1)
    rows = places[:, 0].view(-1, 1, 1) + torch.arange(height, device=images.device).view(1, -1, 1)
    columns = places[:, 1].view(-1, 1, 1) + torch.arange(width, device=images.device)
    return padded[image, rows, columns].permute(0, 3, 1, 2)


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

    def erase(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Fills a box of each image with noise, all on one device; the result is channels_last.

        Args:
            images: float32, B×3×H×W.
            drawn: int64, B×5: a box as `erasing_boxes` gives it, and where its noise begins.
        """
        noise = self._windows[drawn[:, 4]].view(-1, *self._shape).permute(0, 3, 1, 2)
        return torch.where(_inside(drawn[:, :4], images), noise, images)


def _inside(boxes: Tensor, images: Tensor) -> Tensor:
    """Which pixels of images B×3×H×W lie in their boxes: bool, B×1×H×W."""
    top, left, bottom, right = boxes.view(-1, 4, 1, 1, 1).unbind(1)
    rows = torch.arange(images.shape[2], device=images.device).view(-1, 1)
    columns = torch.arange(images.shape[3], device=images.device)
    return (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)


def _erase_to_mean(images: Tensor, boxes: Tensor) -> Tensor:
    """Fills a box of each normalised image with the data's mean colour, which is 0 there."""
    # masked_fill would not keep channels_last, nor a plain 0 stay on the device.
    return torch.where(_inside(boxes, images), images.new_zeros(()), images)


def _flip(pixels: Tensor, mirrored: Tensor) -> Tensor:
    return torch.where(mirrored.view(-1, 1, 1, 1), pixels.flip(2), pixels)


def _grey(images: Tensor) -> Tensor:
    """float32 B×h×w×3 to B×h×w×1."""
    red, green, blue = images.split(1, 3)
    # A tensor of the shares would be sent to the device every time.
    grey: Tensor = red * _GREY[0] + green * _GREY[1] + blue * _GREY[2]
    return grey


def _between(bounds: tuple[float, float], share: Tensor) -> Tensor:
    low, high = bounds
    return low + (high - low) * share
