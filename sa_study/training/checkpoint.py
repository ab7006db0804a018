"""Training checkpoints: everything that resuming a run needs, in one file, written atomically.

A trial of a study writes its checkpoint while the epoch is validated. The file then lacks this epoch's
figures, which follow in a small file beside it; only both together are a checkpoint.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from sa_study.model.tensor_file import is_count, load_tensors, plain_values_fault, reason, state_dict_fault
from sa_study.utils.errors import WeightsError
from sa_study.utils.files import read_bytes, write_atomically

FILE_NAME = "checkpoint.pt"
"""Name of the file inside a Ray checkpoint folder."""

FIGURES_NAME = "figures.json"
"""Name of the file beside one of the format `UNVALIDATED`: the figures of its last epoch."""

UNVALIDATED = 2
"""Format of a file that was written before its last epoch was validated: its history lacks that epoch."""

_FORMAT = 1
_MAX_FIGURES_BYTES = 2**20


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training run after an epoch.

    Attributes:
        state_dict: The network's parameters and buffers; with `ema_decay` their moving average.
        settings: The run's settings as plain values.
        num_classes: Identities that the classifiers tell apart.
        epoch: Completed epochs.
        history: The reported figures of every completed epoch, oldest first; in the format `UNVALIDATED`
            without the last.
        optimizer: The optimiser's state, or None in a file kept only for its weights.
        rng: Random number generators' states (`cpu`, and `cuda` per device), or None in such a file.
        format: Version of this layout.
        trained: The parameters and buffers that training goes on from, where `state_dict` is their average;
            else None, and the file lacks it.
    """

    state_dict: dict[str, Tensor]
    settings: dict[str, Any]
    num_classes: int
    epoch: int
    history: list[dict[str, float]]
    optimizer: dict[str, Any] | None = None
    rng: dict[str, Any] | None = None
    format: int = _FORMAT
    trained: dict[str, Tensor] | None = None

    def weights_only(self) -> Checkpoint:
        """This checkpoint without what only resuming needs."""
        return dataclasses.replace(self, optimizer=None, rng=None, trained=None)


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint atomically.

    Raises:
        OSError: The disk is full or not writable; an earlier file of that name is left as it was.
    """
    write_atomically(path, lambda file: write_checkpoint(file, checkpoint))


def write_checkpoint(file: BinaryIO, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint to a file that is open, from its beginning to its end.

    Raises:
        OSError: The disk is full or not writable.
    """
    try:
        torch.save(_fields(checkpoint), file)
    except RuntimeError as error:
        # PyTorch hides the write's OSError behind one of its own about the file's length.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _fields(checkpoint: Checkpoint) -> dict[str, Any]:
    """What a file holds; without an average it is what earlier versions write and read."""
    left_out = () if checkpoint.trained else ("trained",)
    return {name: value for name, value in vars(checkpoint).items() if name not in left_out}


def load_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint onto the CPU, without running code from the file.

    One of the format `UNVALIDATED` is completed by the figures beside it.

    Raises:
        WeightsError: The file is missing, damaged or incomplete, or not a checkpoint of this program.
    """
    try:
        values = load_tensors(path, "a checkpoint")
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such checkpoint") from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({reason(error)})") from None
    fields = {field.name for field in dataclasses.fields(Checkpoint)}
    if not isinstance(values, dict) or set(values) | {"trained"} != fields:
        raise WeightsError(f"{path}: is not a checkpoint written by sa_study")
    written = values["format"]
    if not is_count(written) or written not in (_FORMAT, UNVALIDATED):
        shown = f"checkpoint format {written}" if is_count(written) else "no checkpoint format"
        raise WeightsError(f"{path}: has {shown}; this version reads {_FORMAT}")
    if written == UNVALIDATED and isinstance(values["history"], list):
        values |= {"format": _FORMAT, "history": [*values["history"], _figures_beside(path)]}
    if fault := _fault(values):
        raise WeightsError(f"{path}: is damaged, or not written by sa_study ({fault})")
    return Checkpoint(**values)


def _figures_beside(path: Path) -> Any:
    """What the file beside a checkpoint holds; raises a WeightsError where it cannot be read."""
    beside = path.with_name(FIGURES_NAME)
    try:
        return json.loads(read_bytes(beside, _MAX_FIGURES_BYTES))
    except FileNotFoundError:
        raise WeightsError(f"{path}: is not complete ({FIGURES_NAME} beside it is missing)") from None
    except OSError as error:
        raise WeightsError(f"{beside}: cannot be read ({reason(error)})") from None
    except (ValueError, RecursionError):
        raise WeightsError(f"{beside}: is damaged (no JSON)") from None


def _fault(values: Mapping[str, Any]) -> str:
    """What is wrong with a checkpoint's fields; empty where they can be used."""
    for name in ("state_dict", "trained"):
        if name in values and (fault := state_dict_fault(values[name])):
            return fault
    if fault := plain_values_fault(values["settings"]):
        return f"its settings {fault}"
    if not is_count(values["num_classes"], 1):
        return "num_classes is no number of identities"
    epoch, history = values["epoch"], values["history"]
    if not is_count(epoch) or not isinstance(history, list) or bool(history) != bool(epoch):
        return "its epoch and its history contradict each other"
    for number, figures in enumerate(history, 1):
        if fault := plain_values_fault(figures):
            return f"epoch {number} of its history {fault}"
        if not all(isinstance(value, int | float) for value in figures.values()):
            return f"epoch {number} of its history has a figure that is no number"
    if not all(isinstance(values[name], dict | None) for name in ("optimizer", "rng")):
        return "its optimizer or rng is no dict"
    return ""


def rng_state() -> dict[str, Any]:
    """The states of PyTorch's global generators."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def restore_rng(state: dict[str, Any]) -> None:
    """Sets PyTorch's global generators; CUDA's only where the number of devices is the same."""
    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
