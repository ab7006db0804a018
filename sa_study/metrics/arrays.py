"""Labels, distances and features as callers have them: arrays, tensors on any device, series, lists.

Converted and checked in one place; an error names the argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sa_study.utils.errors import DataError

Numbers: TypeAlias = ArrayLike | Tensor
"""What the functions of this package take: anything that NumPy reads, a tensor, or a list of tensors."""

_INTEGERS = {
    *(torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.uint8, torch.uint16, torch.uint32, torch.uint64),
}


def label_vectors(name: str, pids: Numbers, camids: Numbers) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pids and camids as int64 vectors of the same length; `name` stands in the errors.

    Raises:
        DataError: One is not a vector of integers, or the lengths differ.
    """
    first, second = _label_vector(f"{name}_pids", pids), _label_vector(f"{name}_camids", camids)
    if first.size != second.size:
        raise DataError(
            f"{name}_pids has {first.size} entries and {name}_camids {second.size};"
            " give one of each per image"
        )
    return first, second


def _label_vector(name: str, values: Numbers) -> NDArray[np.int64]:
    """Return integers that int64 can hold, shape (N,), as an int64 vector; `name` stands in the errors.

    Raises:
        DataError: They are not such integers.
    """
    found = _read(name, values)
    if len(found.shape) != 1 or (found.shape[0] and not _is_integer(found)):
        raise DataError(
            f"{name} has shape {tuple(found.shape)} and type {found.dtype}; it must be a vector of integers"
        )
    vector = found.cpu().numpy() if isinstance(found, Tensor) else found
    if vector.dtype == np.uint64 and vector.size and vector.max() > np.iinfo(np.int64).max:
        raise DataError(f"{name} holds {vector.max()}, which is more than int64 can hold")
    return vector.astype(np.int64)


def real_array(
    name: str, values: Numbers, expected: str, shape: Sequence[int | None]
) -> NDArray[Any] | Tensor:
    """Return integers or floats as they lie in memory: a tensor on its device, else an array.

    Args:
        name: The argument, for errors.
        values: The numbers.
        expected: What the argument must be, for errors.
        shape: The shape that it must have; None for a dimension of any length.

    Raises:
        DataError: The values are not real numbers, or have another shape.
    """
    found = _read(name, values)
    fits = len(found.shape) == len(shape) and all(
        wanted in (None, length) for wanted, length in zip(shape, found.shape, strict=True)
    )
    if not fits or not _is_real(found):
        raise DataError(
            f"{name} has shape {tuple(found.shape)} and type {found.dtype}; it must be {expected}"
        )
    return found


def as_tensor(values: NDArray[Any] | Tensor, *dtypes: torch.dtype) -> Tensor:
    """Return real numbers as a tensor without gradient on their device, sharing memory where possible.

    The result has one of `dtypes`: the values' own where that is among them, else the last one.
    """
    if isinstance(values, Tensor):
        return values.detach() if values.dtype in dtypes else values.detach().to(dtypes[-1])
    accepted = [torch.empty(0, dtype=dtype).numpy().dtype for dtype in dtypes]
    # PyTorch knows neither read-only arrays nor every memory order; these are copied.
    wanted = values.dtype if values.dtype in accepted else accepted[-1]
    return torch.from_numpy(np.require(values, wanted, ["C", "W"]))


def _read(name: str, values: Any) -> NDArray[Any] | Tensor:
    try:
        if isinstance(values, list | tuple) and values and all(isinstance(row, Tensor) for row in values):
            values = torch.stack(tuple(values))
        if isinstance(values, Tensor):
            if values.layout != torch.strided or values.is_meta:
                raise TypeError(f"a tensor of layout {values.layout} on {values.device}")
            return values.detach()
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        said = " ".join(str(error).split())
        raise DataError(f"{name} cannot be read as numbers in rows of equal length ({said})") from None


def _is_integer(values: NDArray[Any] | Tensor) -> bool:
    return values.dtype in _INTEGERS if isinstance(values, Tensor) else values.dtype.kind in "iu"


def _is_real(values: NDArray[Any] | Tensor) -> bool:
    floats = values.is_floating_point() if isinstance(values, Tensor) else values.dtype.kind == "f"
    return floats or _is_integer(values)
