"""Images to matching features, batch by batch."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sa_study.config import Settings
from sa_study.data.batches import evaluation_batches
from sa_study.data.images import Progress
from sa_study.data.store import ImageStore
from sa_study.errors import ConfigError
from sa_study.model.network import SANet


def prepare_device(settings: Settings) -> torch.device:
    """The device that `settings.device` means on this machine, with fp32 meaning fp32 on it.

    Raises:
        ConfigError: CUDA is asked for, and there is none.
    """
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: cuda, but PyTorch sees no CUDA device; use --set device=auto")
    torch.backends.cudnn.allow_tf32 = False  # PyTorch's default rounds convolutions to 10 bits
    if settings.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(settings.device)


def autocast(settings: Settings, device: torch.device) -> torch.autocast:
    """The arithmetic that `settings.precision` means on this device."""
    bf16 = settings.precision == "bf16" or (settings.precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16)


def memory_format(settings: Settings) -> torch.memory_format:
    """The layout of the network and its input."""
    return torch.channels_last if settings.channels_last else torch.contiguous_format


@torch.inference_mode()
def extract_features(
    net: SANet,
    store: ImageStore,
    index: NDArray[np.int64],
    settings: Settings,
    progress: Progress | None = None,
) -> Tensor:
    """The matching features of stored images.

    Args:
        net: The network, on the settings' device; it is left in evaluation mode.
        store: The images.
        index: Which of them, int64.
        settings: Decide input size, batches, precision and device.
        progress: Told the number of images done and in all.

    Returns:
        Float32 features N×D on the device, in the order of `index`.
    """
    net.eval()
    device = prepare_device(settings)
    batches = evaluation_batches(
        store,
        index,
        batch_size=settings.eval_batch_size,
        height=settings.height,
        width=settings.width,
        device=device,
    )
    features: list[Tensor] = []
    done = 0
    with autocast(settings, device):
        for images in batches:
            images = images.contiguous(memory_format=memory_format(settings))
            features.append(net(images)[0].float())
            done += len(images)
            if progress:
                progress(done, len(index))
    return torch.cat(features)
