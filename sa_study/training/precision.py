"""Device, precision and memory layout of a network's computation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sa_study.settings.run import Settings
from sa_study.utils.errors import ConfigError

_HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


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


def feature_precision(settings: Settings, device: torch.device) -> str:
    """The precision of the features that are ranked, on a device: fp32, tf32, bf16 or fp16."""
    asked = settings.precision if settings.eval_precision == "same" else settings.eval_precision
    return _resolved(asked, device)


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The autocast context of a forward pass for a setting of precision."""
    half = _HALVES.get(_resolved(precision, device))
    return torch.autocast(device.type, half or torch.bfloat16, enabled=half is not None)


@contextmanager
def float32_products(precision: str) -> Iterator[None]:
    """A context in which CUDA multiplies float32 numbers in TF32 if `precision` is tf32, else in full.

    PyTorch's own default is TF32 in convolutions alone. What was set before is set again, so that distances
    are not touched.
    """
    convolutions, matrices = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, matrices.allow_tf32
    convolutions.allow_tf32 = matrices.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        convolutions.allow_tf32, matrices.allow_tf32 = before


def memory_format(settings: Settings) -> torch.memory_format:
    """The layout of the network and its input."""
    return torch.channels_last if settings.channels_last else torch.contiguous_format


def _resolved(precision: str, device: torch.device) -> str:
    """The precision that a setting stands for on a device: a CPU has no TF32."""
    on_cuda = device.type == "cuda"
    if precision == "auto":
        return "bf16" if on_cuda else "fp32"
    return precision if on_cuda or precision != "tf32" else "fp32"
