"""Writes a trial's checkpoint to where it will stay, while the trial's epoch is validated."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow.fs
import torch
from ray import tune

from sa_study.training.checkpoint import FIGURES_NAME, FILE_NAME, Checkpoint, write_checkpoint
from sa_study.utils.files import write_atomically


class CheckpointWriter:
    """Writes the checkpoint of one epoch in a thread of its own; use it as a context manager.

    The tensors are not copied: they must stay as they are until `finish` returns. A checkpoint that is not
    finished when the context ends, because an epoch or a write failed, is removed.

    Args:
        folder: Where the checkpoint will stay, on any file system; made if it is missing.
    """

    def __init__(self, folder: tune.Checkpoint):
        self._filesystem: Any = folder.filesystem
        self._folder = folder.path
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._tensors: Future[None] | None = None
        self._finished = False

    def __enter__(self) -> CheckpointWriter:
        return self

    def start(self, checkpoint: Checkpoint) -> None:
        """Begins to write a checkpoint of the format `UNVALIDATED`."""
        self._tensors = self._thread.submit(self._write_tensors, checkpoint)

    def finish(self, figures: Mapping[str, float]) -> None:
        """Waits until the tensors are written, and adds the epoch's figures.

        Raises:
            OSError: The disk is full or not writable.
        """
        assert self._tensors, "nothing was begun"
        self._tensors.result()
        self._write(FIGURES_NAME, lambda file: file.write(json.dumps(figures).encode()))
        self._finished = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()
        if self._finished:
            return
        if self._filesystem.get_file_info(self._folder).type == pyarrow.fs.FileType.Directory:
            self._filesystem.delete_dir(self._folder)

    def _write_tensors(self, checkpoint: Checkpoint) -> None:
        self._filesystem.create_dir(self._folder)
        # A stream of its own: on the usual one each copy from the GPU would wait for the validation.
        stream = torch.cuda.Stream() if torch.cuda.is_initialized() else None
        with torch.cuda.stream(stream):
            self._write(FILE_NAME, partial(write_checkpoint, checkpoint=checkpoint))

    def _write(self, name: str, write: Callable[[Any], object]) -> None:
        """Writes a file, in the place of what a killed process may have left there."""
        path = f"{self._folder}/{name}"
        if isinstance(self._filesystem, pyarrow.fs.LocalFileSystem):
            for half in Path(self._folder).glob(f".{name}.*.tmp"):
                half.unlink()
            # Most checkpoints are removed two epochs later: the system need not bring each to the disk.
            write_atomically(Path(path), write, durably=False)
        else:
            with self._filesystem.open_output_stream(path) as stream:
                write(stream)
