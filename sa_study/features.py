"""Images to matching features, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from sa_study.config import Settings
from sa_study.errors import ConfigError
from sa_study.model.network import SANet


def resolve_device(settings: Settings) -> torch.device:
    """The device that `settings.device` means on this machine.

    Raises:
        ConfigError: CUDA is asked for, and there is none.
    """
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: cuda, but PyTorch sees no CUDA device; use --set device=auto")
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
    batches: Iterable[Tensor],
    settings: Settings,
    device: torch.device,
    progress: Callable[[int], None] | None = None,
) -> Tensor:
    """The matching features of images.

    Args:
        net: The network; it is left in evaluation mode.
        batches: Float images, B×3×H×W each, on the device.
        settings: Decide the precision.
        device: Where the network lies.
        progress: Called with the number of images done after each batch.

    Returns:
        Float32 features N×D on the device.
    """
    net.eval()
    features: list[Tensor] = []
    done = 0
    with autocast(settings, device):
        for images in batches:
            images = images.contiguous(memory_format=memory_format(settings))
            features.append(net(images)[0].float())
            done += len(images)
            if progress:
                progress(done)
    return torch.cat(features)
