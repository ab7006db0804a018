"""Images to matching features, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sa_study.data.batches import evaluation_batches
from sa_study.data.device_images import DeviceImages
from sa_study.model.network import SANet
from sa_study.settings.run import Settings
from sa_study.training.precision import (
    autocast,
    feature_precision,
    float32_products,
    memory_format,
    resolve_device,
)
from sa_study.utils.progress import ProgressCallback


@torch.inference_mode()
def extract_features(
    net: SANet,
    images: DeviceImages,
    index: NDArray[np.int64],
    settings: Settings,
    progress: ProgressCallback | None = None,
) -> Tensor:
    """The matching features of stored images, with batches half as large where the memory is too small.

    Args:
        net: The network, on the images' device; it is left in evaluation mode.
        images: The stored images.
        index: Which of them to take.
        settings: Give input size, batch size and precision.
        progress: Told the number of images done and in all.

    Returns:
        Float32 features N×D on the device, in the order of `index`.

    Raises:
        torch.OutOfMemoryError: The memory is too small for a single image.
    """
    net.eval()
    features = torch.empty(0, 0, device=images.device)
    done, batch_size = 0, settings.eval_batch_size
    while done < len(index):
        try:
            for batch in _feature_batches(net, images, index[done:], settings, batch_size):
                if not done:
                    features = batch.new_empty(len(index), batch.shape[1])
                features[done : done + len(batch)] = batch
                done += len(batch)
                if progress:
                    progress(done, len(index))
        except torch.OutOfMemoryError:
            if batch_size == 1:
                raise
            batch_size //= 2
        else:
            break
        torch.cuda.empty_cache()  # only now the error and the tensors of its frames are freed
    return features


def extract_features_from_array(
    net: SANet,
    settings: Settings,
    images: NDArray[np.uint8],
    index: NDArray[np.int64] | None = None,
    progress: ProgressCallback | None = None,
) -> Tensor:
    """Computes the features of images in an array, all or those of `index`, as `extract_features` does.

    The network is moved to the settings' device and memory layout.
    """
    device = resolve_device(settings)
    net.to(device).to(memory_format=memory_format(settings))
    index = np.arange(len(images)) if index is None else index
    return extract_features(net, DeviceImages(images, device, resident=False), index, settings, progress)


def _feature_batches(
    net: SANet, images: DeviceImages, index: NDArray[np.int64], settings: Settings, batch_size: int
) -> Iterator[Tensor]:
    precision = feature_precision(settings, images.device)
    size = {"height": settings.height, "width": settings.width}
    with float32_products(precision), autocast(precision, images.device):
        for batch in evaluation_batches(images, index, batch_size=batch_size, **size):
            yield net(batch.contiguous(memory_format=memory_format(settings)))[0].float()
