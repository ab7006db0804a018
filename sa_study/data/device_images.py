"""Stored images on the device that computes: all of them in a GPU's memory, or copied batch by batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

RESIDENT_SHARE = 0.25
"""The share of a GPU's free memory that images may take; the networks of all its trials need the rest."""

_UPLOAD_BATCH = 4096  # images per copy to the GPU, so that the staging memory does not double the host's


class DeviceImages:
    """Gives batches of stored images on a device, without waiting for what the device is doing.

    On a CPU a batch is gathered from the array. A GPU holds the whole array if it has room for it, so that a
    batch is one gather there; else batches are gathered into page-locked memory and copied asynchronously.

    Args:
        images: uint8, N×h×w×3; only read.
        device: Device on which the batches are needed.
        resident: Whether the device holds all images; None decides by its free memory.
    """

    def __init__(self, images: npt.NDArray[np.uint8], device: torch.device, resident: bool | None = None):
        self.device = device
        self._images = images
        self.resident = _fits(images.nbytes, device) if resident is None else resident
        self._on_device = self._upload() if self.resident else None

    def batches(self, index: npt.NDArray[np.int64], size: int) -> Iterator[Tensor]:
        """Yields the images of `index` in its order, `size` at a time; the last batch may be smaller.

        Yields:
            uint8, B×h×w×3, on the device.
        """
        if self._on_device is None:
            for start in range(0, len(index), size):
                yield self._gather(index[start : start + size])
        elif len(index):
            for batch in to_device(torch.from_numpy(index), self.device).split(size):
                yield self._on_device.index_select(0, batch)

    def _upload(self) -> Tensor:
        whole = torch.empty(self._images.shape, dtype=torch.uint8, device=self.device)
        for start in range(0, len(whole), _UPLOAD_BATCH):
            rows = np.arange(start, min(start + _UPLOAD_BATCH, len(whole)))
            whole[start : start + _UPLOAD_BATCH] = self._gather(rows)
        return whole

    def _gather(self, index: npt.NDArray[np.int64]) -> Tensor:
        # PyTorch keeps page-locked memory from other use until the copy out of it is done.
        batch = torch.empty(
            (len(index), *self._images.shape[1:]), dtype=torch.uint8, pin_memory=self.device.type == "cuda"
        )
        self._images.take(index, axis=0, out=batch.numpy(), mode="clip")  # the other modes copy once more
        return batch.to(self.device, non_blocking=True)


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """A CPU tensor on the device; a GPU gets it without the CPU waiting for what is under way there."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values


def _fits(size: int, device: torch.device) -> bool:
    """Whether a GPU has room for this many bytes of images; a CPU needs no second copy."""
    return device.type == "cuda" and size <= RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]
