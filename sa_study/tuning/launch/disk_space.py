"""Whether the disks hold what a study's trials will write, checked before any of it is written."""

from __future__ import annotations

import dataclasses
import platform
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import ray
import torch
from torch import Tensor

from sa_study.data.store import TrainingData
from sa_study.settings.run import Settings
from sa_study.settings.space import SearchSpace
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.training.optimizer import STATES
from sa_study.training.trainer import build_network
from sa_study.tuning.launch.cluster import Slots
from sa_study.tuning.launch.local_ray import SESSION_BYTES, Session
from sa_study.utils.errors import RunFailed, StudyFolderError
from sa_study.utils.files import DISK_FULL_ERRORS, format_bytes

_CHECKPOINTS_KEPT = 2
"""Checkpoints of a trial that stay: its best epoch's and its last."""

_CHECKPOINTS_WRITTEN = 1
"""Checkpoints of a running trial beside these: one is being written."""

_ENLARGING_SETTINGS = ("num_features", "deep_supervision", "parts", "height", "bn_neck", "ema_decay")
"""Settings of which larger values make no checkpoint smaller; the height because the parts need it."""

_SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class DiskNeed:
    """What a launch will write to a file system, and what is free there.

    Attributes:
        checkpoint: Bytes of one checkpoint of the largest network in the search space.
        need: Maximum number of bytes that are there at a time, kept and temporary.
        folder: The folder that will hold them, or its nearest parent that exists; None for an object store.
        free: Bytes that are free there; None for an object store, where that is unknown.
        temporary: Whether it holds only files that are removed again.
    """

    checkpoint: int
    need: int
    folder: Path | None
    free: int | None
    temporary: bool = False

    @property
    def suffices(self) -> bool:
        """Whether the free space is enough, as far as is known."""
        return self.free is None or self.need <= self.free

    @property
    def shortage(self) -> str:
        """A line that says which space is short and how to free it."""
        need, checkpoint, free = map(format_bytes, (self.need, self.checkpoint, self.free or 0))
        wanted = f"the trials need {need} ({checkpoint} a checkpoint)"
        remedy = "fewer --trials or another --storage-path"
        if self.temporary:
            wanted, remedy = f"temporary files need {need}", "another folder by TMPDIR"
        return f"{self.folder}: {wanted}, but {free} are free; make room, or give {remedy}"


def measure_disks(
    folder: StudyFolder,
    config: StudyConfig,
    data: TrainingData,
    slots: Slots,
    trials: int,
    session: Session | None,
) -> list[DiskNeed]:
    """Computes what a launch will write, by file system, while the cluster is connected.

    Args:
        folder: The study's folder; need not exist.
        config: The study.
        data: Training data.
        slots: How many trials run at a time.
        trials: How many trials have not ended yet.
        session: The session on this machine; None on a joined cluster.

    Returns:
        The disk of the trials, then that of temporary files where it is another.
    """
    checkpoint, weights = largest_files(config.space, data.num_classes)
    running = min(slots.concurrent, trials)
    # The weights once for best.pt and once for baseline.pt.
    kept = (_CHECKPOINTS_KEPT * trials + _CHECKPOINTS_WRITTEN * running) * checkpoint + 2 * weights
    storage = _existing_folder(config.storage_path or str(folder.trials))
    needs = {storage: kept}
    if session:
        # Ray shares the images and the pretrained weights among the trials.
        shared = _bytes_outside_memory(data.store.images.nbytes + weights)
        temporary = session.folder.parent
        same = storage is not None and storage.stat().st_dev == temporary.stat().st_dev
        disk = storage if same else temporary
        needs[disk] = needs.get(disk, 0) + SESSION_BYTES + shared
    return [
        DiskNeed(checkpoint, need, disk, shutil.disk_usage(disk).free if disk else None, disk is not storage)
        for disk, need in needs.items()
    ]


def require_disk_space(disks: Iterable[DiskNeed]) -> None:
    """Raises a StudyFolderError if a disk does not hold what a launch will write to it."""
    for disk in disks:
        if not disk.suffices:
            raise StudyFolderError(disk.shortage)


def largest_files(space: SearchSpace, num_classes: int) -> tuple[int, int]:
    """The `file_sizes` of the largest network in the space, with the optimiser of the largest state."""
    most = {key: max(space.possible(key)) for key in _ENLARGING_SETTINGS if key in space.search}
    optimizer = max(space.possible("optimizer"), key=STATES.__getitem__)
    settings = dataclasses.replace(space.settings({**space.baseline, **most}), optimizer=optimizer)
    return max(
        file_sizes(dataclasses.replace(settings, backbone=name), num_classes)
        for name in space.possible("backbone")
    )


def file_sizes(settings: Settings, num_classes: int) -> tuple[int, int]:
    """Bytes of a training checkpoint, the optimiser's state included, and of a file of the weights alone."""
    with torch.device("meta"):  # shapes without memory
        net = build_network(dataclasses.replace(settings, pretrained="none"), num_classes)
    weights = _bytes(net.state_dict().values())
    networks = 2 if settings.ema_decay else 1
    return networks * weights + STATES[settings.optimizer] * _bytes(net.parameters()), weights


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _bytes_outside_memory(objects: int) -> int:
    """How many of the bytes that processes share the connected session keeps in a file of its folder."""
    capacity = ray.cluster_resources().get("object_store_memory", 0)
    # Of shared memory that is smaller than the store may grow, Ray makes no use: the store is a file there.
    in_memory = _SHARED_MEMORY.is_dir() and capacity <= shutil.disk_usage(_SHARED_MEMORY).free
    return 0 if in_memory and objects <= capacity else objects


def _existing_folder(uri: str) -> Path | None:
    """The folder at a path, or its nearest parent that exists; None for an object store."""
    if "://" in uri:
        parts = urlsplit(uri)
        if parts.scheme != "file":
            return None
        uri = unquote(parts.path)
    path = Path(uri)
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


@contextmanager
def name_full_disk(root: Path, session: Session | None) -> Iterator[None]:
    """Raises a RunFailed that names the full disk where the error, of a library, names no file.

    Args:
        root: The study's folder.
        session: Ray's folders on this machine; None in a cluster.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL_ERRORS or error.filename:
            raise
        places = [root, session.folder.parent] if session else [root]
        full = min(places, key=lambda place: shutil.disk_usage(place).free)
        raise RunFailed(
            f"no room for a file in {full} on {platform.node()} ({error.strerror}); make room, then "
            f"'resume --study {root}'"
        ) from None
