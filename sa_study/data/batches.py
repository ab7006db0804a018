"""An epoch's batches: the order of the images, and each resized, augmented and normalised for the network.

Order and augmentation come from streams keyed by seed, purpose and epoch, are drawn on the CPU and applied to
whole batches: they are the same on every device, and an epoch needs nothing of the one before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from sa_study.data.augmentation import Augmentation, apply_changes, draw_augmentation
from sa_study.data.device_images import DeviceImages, to_device
from sa_study.data.store import TrainingData
from sa_study.settings.run import Settings
from sa_study.utils.randomness import generator

# ImageNet's, of RGB in [0, 1]: https://docs.pytorch.org/vision/stable/models.html
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def training_batches(
    data: TrainingData, images: DeviceImages, settings: Settings, epoch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Returns one epoch of augmented batches, in the order of `epoch_order`.

    There must be at least a batch of images, which `find_folds` checks. Nothing in the loop waits for a GPU:
    the epoch's choices are sent there at its beginning.

    Returns:
        An iterator of (images, labels): float32 B×3×H×W in channels_last memory format, and int64 B, both on
        the device of `images`.
    """
    device, order = images.device, epoch_order(data.labels, settings, epoch)
    augmentation = draw_augmentation(settings, len(data.train), len(order), epoch, device)
    labels = to_device(torch.from_numpy(data.labels[order]), device)
    stored = images.batches(data.train[order], settings.batch_size)
    return _augmented(stored, labels, augmentation, Normaliser(settings.height, settings.width, device))


def _augmented(
    stored: Iterator[Tensor], labels: Tensor, augmentation: Augmentation, normalise: Normaliser
) -> Iterator[tuple[Tensor, Tensor]]:
    """Applies to each batch what was drawn for it."""
    start = 0
    for pixels in stored:
        part = slice(start, start + len(pixels))
        images = normalise.resize(apply_changes(augmentation.stored, pixels, part))
        images = normalise.scale(apply_changes(augmentation.resized, images, part))
        yield apply_changes(augmentation.normalised, images, part), labels[part]
        start = part.stop


def epoch_order(labels: npt.NDArray[np.int64], settings: Settings, epoch: int) -> npt.NDArray[np.int64]:
    """The places of an epoch's images among the training images, in whole batches: int64.

    An epoch always has as many batches as fit into the training images, so that its cost, and a trial's
    progress, do not depend on the order. Without `images_per_identity` each image comes once at most.
    `labels` are the images' classes, from 0, with at least one image of each.
    """
    random = generator(settings.seed, "order", epoch)
    batches = len(labels) // settings.batch_size
    if not settings.images_per_identity:
        order = torch.randperm(len(labels), generator=random).numpy()
        return order[: batches * settings.batch_size]
    return np.concatenate([np.empty(0, np.int64), *_identity_batches(labels, settings, batches, random)])


def _identity_batches(
    labels: npt.NDArray[np.int64], settings: Settings, batches: int, random: torch.Generator
) -> list[npt.NDArray[np.int64]]:
    """Batches of several images of each of some identities, identity by identity.

    Identities come in shuffled rounds: each once before any comes again, but for a remainder of a round that
    fills no batch, which is left out; where there are too few, rounds follow each other within a batch. So do
    the images of an identity; one with fewer than are wanted gives some of them twice.
    """
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels))[:-1])
    wanted, of_batch = settings.images_per_identity, settings.identities_per_batch
    round_length = len(members) // of_batch * of_batch or len(members)
    rounds = math.ceil(batches * of_batch / round_length)
    identities = torch.cat(
        [torch.randperm(len(members), generator=random)[:round_length] for _ in range(rounds)]
    )
    waiting: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64) for _ in members]

    def take(identity: int) -> npt.NDArray[np.int64]:
        if len(waiting[identity]) < wanted:
            own = members[identity]
            orders = (torch.randperm(len(own), generator=random) for _ in range(math.ceil(wanted / len(own))))
            waiting[identity] = np.concatenate([own[order.numpy()] for order in orders])
        taken, waiting[identity] = waiting[identity][:wanted], waiting[identity][wanted:]
        return taken

    found = []
    for number in range(batches):
        of_this = identities[number * of_batch : (number + 1) * of_batch].tolist()
        found.append(np.concatenate([take(identity) for identity in of_this])[: settings.batch_size])
    return found


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
        return self.scale(self.resize(pixels))

    def resize(self, pixels: Tensor) -> Tensor:
        """uint8 B×h×w×3 to B×3×H×W, 0 to 255: bytes on the CPU, else floats; channels_last."""
        images = pixels.permute(0, 3, 1, 2)
        # PyTorch resizes bytes on the CPU only, and there about ten times as fast as floats.
        if images.device.type != "cpu":
            images = images.float()
        return resize(images, *self._size)

    def scale(self, images: Tensor) -> Tensor:
        """Images as `resize` gives them to float32, normalised; floats are overwritten."""
        return images.float().sub_(self._mean).div_(self._std)
