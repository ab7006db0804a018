"""Whether the disks hold what a study's trials will write, asked before any of it is written."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import torch
from torch import Tensor

from sa_study.data.store import TrainingData
from sa_study.model.backbones import BACKBONES
from sa_study.settings.run import Settings
from sa_study.settings.space import SearchSpace
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.training.trainer import build_network
from sa_study.tuning.launch.cluster import Slots
from sa_study.tuning.launch.session import SESSION_SIZE, Session, bytes_on_disk
from sa_study.utils.errors import StudyFolderError

_KEPT = 2
"""Checkpoints of a trial that stay: its best epoch's and its last."""

_HALF_COPIED = 1
"""Checkpoints of a running trial beside these; it is copied from another one, in the temporary folder."""

_WIDENS = ("num_features", "deep_supervision", "parts", "height")
"""Settings of which more makes no checkpoint smaller; the height because the parts need it."""


@dataclass(frozen=True)
class Disk:
    """What a launch will write to a file system, and where.

    Attributes:
        checkpoint: Bytes of one checkpoint of the largest network that may be drawn.
        need: Bytes of all that is there at most, kept and in flight.
        place: The folder that will hold it, or its nearest parent that exists; None for an object store.
        free: Bytes that are free there; None for an object store, which does not tell.
        temporary: Whether it holds only what is removed again.
    """

    checkpoint: int
    need: int
    place: Path | None
    free: int | None
    temporary: bool = False

    @property
    def suffices(self) -> bool:
        """Whether it fits, as far as is known."""
        return self.free is None or self.need <= self.free

    @property
    def shortage(self) -> str:
        """What is short, and what helps, in one line."""
        need, one, free = map(in_units, (self.need, self.checkpoint, self.free or 0))
        what = "temporary files need" if self.temporary else "the trials need"
        remedy = (
            "a smaller --max-concurrent or another folder by TMPDIR"
            if self.temporary
            else "fewer --trials or another --storage-path"
        )
        return (
            f"{self.place}: {what} {need} ({one} a checkpoint), but {free} are free; make room, give {remedy}"
        )


def measure_disks(
    folder: StudyFolder,
    config: StudyConfig,
    data: TrainingData,
    slots: Slots,
    trials: int,
    session: Session | None,
) -> list[Disk]:
    """What a launch needs of the disks that will hold its files, and what is free on them.

    To be called while the cluster is connected.

    Args:
        folder: The study's folder; need not exist.
        config: What is asked for.
        data: What is trained on.
        slots: How many trials run at a time.
        trials: How many are still to end.
        session: The launch's folders on this machine; None on a joined cluster.

    Returns:
        The disk of the trials, and those of temporary files where they are others.
    """
    checkpoint, weights = file_sizes(largest(config.space), data.num_classes)
    running = min(slots.concurrent, trials)
    kept = (_KEPT * trials + _HALF_COPIED * running) * checkpoint + 2 * weights  # best.pt, baseline.pt
    place = _place(config.storage_path or str(folder.trials))
    needs = {place: kept}
    if session:
        # Ray shares the images and the pretrained weights among the trials.
        shared = bytes_on_disk(data.store.images.nbytes + weights)
        for temporary, need in (
            (session.checkpoints.parent, running * checkpoint),
            (session.folder.parent, SESSION_SIZE + shared),
        ):
            same = next((known for known in needs if known and _same_disk(known, temporary)), temporary)
            needs[same] = needs.get(same, 0) + need
    return [
        Disk(checkpoint, need, where, shutil.disk_usage(where).free if where else None, where is not place)
        for where, need in needs.items()
    ]


def require_room(
    folder: StudyFolder,
    config: StudyConfig,
    data: TrainingData,
    slots: Slots,
    trials: int,
    session: Session | None,
) -> None:
    """Checks that the disks hold what a launch will write. Takes what `measure_disks` takes.

    Raises:
        StudyFolderError: One does not.
    """
    for disk in measure_disks(folder, config, data, slots, trials, session):
        if not disk.suffices:
            raise StudyFolderError(disk.shortage)


def _same_disk(one: Path, other: Path) -> bool:
    return one.stat().st_dev == other.stat().st_dev


def largest(space: SearchSpace) -> Settings:
    """The settings of the largest network that the space allows, in all else the baseline's."""
    most = {key: max(space.possible(key)) for key in _WIDENS if key in space.search}
    backbone = max(space.possible("backbone"), key=list(BACKBONES).index)
    return dataclasses.replace(space.settings({**space.baseline, **most}), backbone=backbone)


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
