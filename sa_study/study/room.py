"""Whether the disk holds what a study's trials will write, asked before any of it is written."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import torch
from torch import Tensor

from sa_study.config import Settings
from sa_study.engine import build_network
from sa_study.errors import StudyFolderError
from sa_study.space import SearchSpace
from sa_study.study.cluster import Slots
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder

_KEPT = 2
"""Checkpoints of a trial that stay: its best epoch's and its last."""

_IN_FLIGHT = 2
"""Checkpoints of a running trial beside these: one in the worker's temporary folder, one half copied."""

_WIDENS = ("depth", "num_features", "deep_supervision", "parts", "height")
"""Settings of which more makes no checkpoint smaller; the height because the parts need it."""


@dataclass(frozen=True)
class Disk:
    """What trials will write, and where.

    Attributes:
        checkpoint: Bytes of one checkpoint of the largest network that may be drawn.
        need: Bytes of all that is kept and in flight at the end.
        place: The folder that will hold it, or its nearest parent that exists; None for an object store.
        free: Bytes that are free there; None for an object store, which does not tell.
    """

    checkpoint: int
    need: int
    place: Path | None
    free: int | None

    @property
    def suffices(self) -> bool:
        """Whether it fits, as far as is known."""
        return self.free is None or self.need <= self.free

    @property
    def shortage(self) -> str:
        """What is short, and what helps, in one line."""
        need, one, free = map(in_units, (self.need, self.checkpoint, self.free or 0))
        return (
            f"{self.place}: the trials need {need} ({one} a checkpoint), but {free} are free; "
            "make room, give fewer --trials or another --storage-path"
        )


def measure_disk(
    folder: StudyFolder, config: StudyConfig, num_classes: int, slots: Slots, trials: int
) -> Disk:
    """What a launch needs of the disk that will hold its trials, and what is free on it.

    Args:
        folder: The study's folder; need not exist.
        config: What is asked for.
        num_classes: Identities that are trained on.
        slots: How many trials run at a time.
        trials: How many are still to end.
    """
    checkpoint, weights = file_sizes(largest(config.space), num_classes)
    count = _KEPT * trials + _IN_FLIGHT * min(slots.concurrent, trials)
    place = _place(config.storage_path or str(folder.trials))
    free = shutil.disk_usage(place).free if place else None
    return Disk(checkpoint, count * checkpoint + 2 * weights, place, free)  # weights: best.pt, baseline.pt


def require_room(
    folder: StudyFolder, config: StudyConfig, num_classes: int, slots: Slots, trials: int
) -> None:
    """Checks that the disk holds what the trials will write. Takes what `measure_disk` takes.

    Raises:
        StudyFolderError: It does not.
    """
    disk = measure_disk(folder, config, num_classes, slots, trials)
    if not disk.suffices:
        raise StudyFolderError(disk.shortage)


def largest(space: SearchSpace) -> Settings:
    """The settings of the largest network that the space allows, in all else the baseline's."""
    most = {key: max(space.possible(key)) for key in _WIDENS if key in space.search}
    return space.settings({**space.baseline, **most})


def file_sizes(settings: Settings, num_classes: int) -> tuple[int, int]:
    """Bytes of a training checkpoint (weights and momentum), and of a file of the weights alone."""
    with torch.device("meta"):  # shapes without memory
        net = build_network(dataclasses.replace(settings, pretrained="none"), num_classes)
    weights = _bytes(net.state_dict().values())
    return weights + _bytes(net.parameters()), weights


def in_units(count: float) -> str:
    """A number of bytes in decimal units."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _place(uri: str) -> Path | None:
    """The nearest folder that exists on the way to a path, or None for an object store."""
    if "://" in uri:
        parts = urlsplit(uri)
        if parts.scheme != "file":
            return None
        uri = unquote(parts.path)
    path = Path(uri)
    return next(folder for folder in (path, *path.parents) if folder.is_dir())
