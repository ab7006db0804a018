"""Files of `torch.save`, read without running, unpacking or believing what they hold; state dicts in them."""

from __future__ import annotations

import contextlib
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sa_study.utils.errors import WeightsError
from sa_study.utils.files import require_regular

MAX_SCANNED_BYTES = 2**20
"""Maximum number of bytes of a pickle that are searched for what it would import."""

MAX_NESTING = 8
"""Maximum number of levels of nested dicts that are searched for a state dict."""

_HOLDERS = ("state_dict", "model_state_dict", "model", "net", "network", "teacher")
"""Keys under which training programs keep a network's state dict; they may be nested. DINO's is `teacher`."""

_WRAPPERS = ("module", "_orig_mod")
"""What DataParallel and torch.compile put into the names of the network, or of the part, that they wrap."""

_NO_STATE_DICT = "expected tensors by name, as state_dict() gives them"


@dataclass(frozen=True)
class WeightsFile:
    """State dict of a weights file, and how it was found in it.

    Attributes:
        state: The state dict, under the network's own names.
        beside: What lies beside it, such as `epoch`.
        found: Where it was found and what was taken off its names, in words; empty for a plain one.
    """

    state: dict[str, Tensor]
    beside: dict[str, Any] = field(default_factory=dict)
    found: str = ""


def load_tensors(path: Path, what: str) -> Any:
    """Reads a file of `torch.save` onto the CPU, a zip or an older bare pickle; nothing in it is run.

    Args:
        path: The file.
        what: What it should hold, for messages, such as `a checkpoint`.

    Raises:
        OSError: It is missing, no regular file, or cannot be read.
        WeightsError: It does not hold that, is damaged, would run code, or unpacks to more bytes than it has.
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


def unwrap(content: object, source: str) -> WeightsFile:
    """Finds the state dict in what other programs put around it: dicts that hold it, prefixes of its names.

    Raises:
        WeightsError: There is none, there are several, or two of its names are the same without wrappers.
    """
    held: Any = content
    beside: dict[str, Any] = {}
    under: list[str] = []
    while len(under) < MAX_NESTING and (holders := _holders(held)):
        if len(holders) > 1:
            raise WeightsError(f"{source}: holds weights under {' and '.join(holders)}; keep one of them")
        beside |= {key: value for key, value in held.items() if key != holders[0]}
        under.append(holders[0])
        held = held[holders[0]]
    if fault := state_dict_fault(held):
        raise WeightsError(f"{source}: is not a weights file ({fault})")
    names, taken_off = _plain_names(held)
    state: dict[str, Tensor] = {}
    for key, name in names.items():
        if name in state:
            first = next(other for other in names if names[other] == name)
            raise WeightsError(f"{source}: holds {name} twice, as {first} and as {key}; keep one of them")
        state[name] = held[key]
    found = []
    if taken_off or under not in ([], ["state_dict"]):
        found.append(f"weights found under {'.'.join(under)}" if under else "weights found")
    if taken_off:
        found.append(f"their names read without {' and '.join(f'{name}.' for name in taken_off)}")
    return WeightsFile(state, beside, ", ".join(found))


def state_dict_fault(state: object) -> str:
    """Why a value is no state dict whose numbers are all there; empty for one that is."""
    if not isinstance(state, dict) or not state:
        return _NO_STATE_DICT
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            return _NO_STATE_DICT
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
        if type(value) not in (str, int, float, bool, type(None)):
            return f"has {name} of type {type(value).__name__}"
    return ""


def is_count(value: object, least: int = 0) -> bool:
    """Whether a value is a whole number from `least` to 2³¹."""
    return type(value) is int and least <= value <= 2**31


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


def _holders(values: object, depth: int = 0) -> list[str]:
    """The keys of a dict under which there is a state dict, perhaps deeper; a damaged one may hold itself."""
    if not isinstance(values, dict) or depth == MAX_NESTING:
        return []
    inner = {name: values[name] for name in _HOLDERS if isinstance(values.get(name), dict)}
    return [
        name
        for name, held in inner.items()
        if any(isinstance(value, Tensor) for value in held.values()) or _holders(held, depth + 1)
    ]


def _plain_names(state: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """The network's own name for each name in a state dict, and the prefixes that were removed."""
    taken_off: dict[str, None] = {}
    names = {}
    for key in state:
        *parents, last = key.split(".")
        taken_off |= dict.fromkeys(name for name in parents if name in _WRAPPERS)
        names[key] = [*(name for name in parents if name not in _WRAPPERS), last]
    # Lightning and others keep the network as a part of theirs.
    while (outer := _common_outer(names.values())) in _HOLDERS:
        taken_off[outer] = None
        names = {key: parts[1:] for key, parts in names.items()}
    return {key: ".".join(parts) for key, parts in names.items()}, list(taken_off)


def _common_outer(names: Iterable[list[str]]) -> str:
    """The first part of all names, where they have more than one and it is the same; else empty."""
    first = {parts[0] if len(parts) > 1 else "" for parts in names}
    return first.pop() if len(first) == 1 else ""


def _tensor_fault(value: Tensor) -> str:
    """Why a tensor is no plain stored one, which may claim more memory than the file has; else empty."""
    if type(value) not in (Tensor, nn.Parameter) or value.layout != torch.strided or value.is_nested:
        return "is no plain tensor"
    if value.device.type != "cpu" or value.is_quantized or value.is_complex():
        kind = str(value.dtype).removeprefix("torch.")
        return f"is a tensor of {kind} on {value.device}, not plain numbers"
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return f"claims to be {shape(value)}, but the file holds fewer numbers"
    return ""


def _require_stored(path: Path, size: int) -> None:
    """Raises a WeightsError if a zip's entries are compressed or overlap: they could unpack to any size."""
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return
    try:
        with zipfile.ZipFile(path) as archive:
            claimed = sum(entry.file_size for entry in archive.infolist())
    except Exception:  # zipfile can raise anything on a damaged archive
        raise RuntimeError("it is a damaged zip archive") from None
    if claimed > size:
        unpacked = f"its entries unpack to {claimed} bytes, but it has {size}"
        raise WeightsError(f"{path}: {unpacked}; torch.save packs nothing")


def shape(tensor: Tensor) -> str:
    """A tensor's shape in words."""
    return "×".join(map(str, tensor.shape)) or "a scalar"
