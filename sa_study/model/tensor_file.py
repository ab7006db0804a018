"""Files of `torch.save`, read without running, unpacking or believing what they hold."""

from __future__ import annotations

import contextlib
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sa_study.utils.errors import WeightsError
from sa_study.utils.files import require_regular

MAX_SCANNED_BYTES = 2**20
"""Most bytes of a pickle that are searched for what it would import."""

_PLAIN = (str, int, float, bool, type(None))


def load_tensors(path: Path, what: str) -> Any:
    """Reads a file's content onto the CPU; nothing in it is run.

    Args:
        path: A file of `torch.save` in either format, also one written by Python 2.
        what: What the file should be, for errors.

    Raises:
        OSError: It is missing, no regular file, or cannot be read.
        WeightsError: It is damaged, would run code, or unpacks to more than it holds.
    """
    size = require_regular(path)
    # What NumPy 1 and 2 pickle a scalar with, such as the published file's best_top1; none of it runs code.
    scalar: Any = np.float64(0).__reduce__()[0]
    numpy_scalars: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        np.dtype,
        *(type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64)),
    ]
    try:
        _require_stored(path, size)
        with torch.serialization.safe_globals(numpy_scalars), warnings.catch_warnings():
            # In files by Python 2 a scalar's raw bytes stand as text. torch honours `encoding`, but warns.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, encoding="latin1")
    except (OSError, WeightsError):
        raise
    except Exception as error:  # on a damaged file the reader can raise anything
        said = reason(error)
        if isinstance(error, pickle.UnpicklingError) and (named := _named_in_pickle(path)):
            said = _would_run(named)
        raise WeightsError(f"{path}: is not {what}, or is damaged ({said})") from error


def reason(error: Exception) -> str:
    """Says in one line why a file was not read; torch's own texts advise to run what the file holds."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if found := re.search(r"GLOBAL (\S+)", str(error)):
        return _would_run(found[1])
    if isinstance(error, RuntimeError):
        return " ".join(str(error).split(". ")[0].split())
    return "it is empty or ends early" if isinstance(error, EOFError) else type(error).__name__


def _would_run(name: str) -> str:
    return f"it refers to {name}; only tensors and plain values are read, nothing is run"


def _named_in_pickle(path: Path) -> str:
    """The first thing that a bare pickle would import, read without unpickling; empty where nothing shows."""
    texts: list[str] = []
    with path.open("rb") as file, contextlib.suppress(ValueError):
        for opcode, value, _ in pickletools.genops(file.read(MAX_SCANNED_BYTES)):
            if isinstance(value, str):
                texts.append(value)
            if opcode.name == "GLOBAL":
                return str(value).replace(" ", ".")
            if opcode.name == "STACK_GLOBAL":
                return ".".join(texts[-2:])
    return ""


def state_dict_fault(state: object) -> str:
    """Why a value is no state dict whose numbers are all there; empty for one that is."""
    if not isinstance(state, dict) or not state:
        return "expected tensors by name, as state_dict() gives them"
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            return "expected tensors by name, as state_dict() gives them"
        if fault := _tensor_fault(value):
            return f"{name} {fault}"
    return ""


def plain_values_fault(values: object) -> str:
    """Why a value is no mapping of names to plain values, without showing it; empty for one that is."""
    if not isinstance(values, dict):
        return f"is of type {type(values).__name__}, not names and values"
    for name, value in values.items():
        if not isinstance(name, str):
            return f"has a name of type {type(name).__name__}"
        if type(value) not in _PLAIN:
            return f"has {name} of type {type(value).__name__}"
    return ""


def is_count(value: object, least: int = 0, most: int = 2**31) -> bool:
    """Whether a value is a whole number in a range."""
    return type(value) is int and least <= value <= most


def shape_faults(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
    """What a state dict lacks of a network's, and where its shapes differ, in words."""
    # Files from before PyTorch 0.4.1 lack the counter, which nothing here uses.
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    differing = [
        f"{key} ({_shape(state[key])} in the file, {_shape(value)} in the network)"
        for key, value in own.items()
        if key in state and state[key].shape != value.shape
    ]
    return missing, differing


def _tensor_fault(value: Tensor) -> str:
    """Why a tensor cannot be copied as it is: others would take memory that no file holds."""
    if type(value) not in (Tensor, nn.Parameter) or value.layout != torch.strided or value.is_nested:
        return "is no plain tensor"
    if value.device.type != "cpu" or value.is_quantized or value.is_complex():
        return (
            f"is a tensor of {str(value.dtype).removeprefix('torch.')} on {value.device}, not plain numbers"
        )
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return f"claims to be {_shape(value)}, but the file holds fewer numbers"
    return ""


def _require_stored(path: Path, size: int) -> None:
    """A zip's entries stand in it as they are; packed or overlapping ones would unpack to any size."""
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return
    try:
        with zipfile.ZipFile(path) as archive:
            claimed = sum(entry.file_size for entry in archive.infolist())
    except Exception:  # as of Pillow and torch: a damaged one can raise anything
        raise RuntimeError("it is a damaged zip archive") from None
    if claimed > size:
        raise WeightsError(
            f"{path}: its entries unpack to {claimed} bytes, but it has {size}; torch.save packs nothing"
        )


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a scalar"
