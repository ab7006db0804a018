"""What trials reported, read from Ray's result files wherever they lie; needs neither Ray nor PyTorch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.fs

from sa_study.metrics import names

_MAX_INTEGER = 2**1000
_MAX_FILE_BYTES = 2**28


@dataclass(frozen=True)
class ResultRow:
    """A line that Ray wrote of a trial: an epoch's figures, or why it ended.

    Attributes:
        session: Number of the launch.
        values: What the trial reported and Ray added.
    """

    session: int
    values: dict[str, Any]

    @property
    def epoch(self) -> int:
        """The epoch it tells of; 0 for none."""
        epoch: Any = self.values.get(names.EPOCH)
        return int(epoch) if is_number(epoch) and abs(epoch) < 2**31 else 0


class ResultFiles:
    """The files of a study's trials.

    Args:
        place: Path or URI of the trials' storage.

    Raises:
        OSError: It cannot be reached; so do the methods.
        ValueError: It is no place that can be read.
    """

    def __init__(self, place: str):
        self._filesystem, base = pyarrow.fs.FileSystem.from_uri(place)
        self._base = base.rstrip("/")

    def sessions(self) -> list[int]:
        """Launches of which Ray has a folder."""
        return self._numbered("", "session_")

    def trials(self, session: int) -> list[int]:
        """Trials that ran in a launch."""
        return self._numbered(f"session_{session}", "trial_")

    def rows(self, session: int, number: int, unreadable: list[str] | None = None) -> list[ResultRow]:
        """Rows that a trial reported in a launch.

        Args:
            session: The launch.
            number: The trial.
            unreadable: Takes a line about each line that is damaged.
        """
        path = f"session_{session}/trial_{number:04d}/result.json"
        return [
            ResultRow(session, values)
            for values in self._lines(path, [] if unreadable is None else unreadable)
        ]

    def names(self, folder: str) -> list[str]:
        """Names of the entries of a folder in the storage, sorted."""
        selector = pyarrow.fs.FileSelector(f"{self._base}/{folder}".rstrip("/"), allow_not_found=True)
        return sorted(info.base_name for info in self._filesystem.get_file_info(selector))

    def text(self, path: str) -> str:
        """A file's text; empty where there is none.

        Raises:
            ValueError: It has more bytes than any that Ray writes of a trial.
        """
        whole = f"{self._base}/{path}"
        found = self._filesystem.get_file_info(whole)
        if found.type != pyarrow.fs.FileType.File:
            return ""
        if found.size > _MAX_FILE_BYTES:
            raise ValueError(f"{path}: has {found.size} bytes, more than {_MAX_FILE_BYTES}")
        with self._filesystem.open_input_stream(whole) as stream:
            return str(stream.read().decode(errors="replace"))

    def _numbered(self, folder: str, prefix: str) -> list[int]:
        found = [re.fullmatch(rf"{prefix}(\d+)", name) for name in self.names(folder)]
        return sorted(int(match[1]) for match in found if match)

    def _lines(self, path: str, unreadable: list[str]) -> Iterator[dict[str, Any]]:
        """The lines that are whole; a driver that was killed may leave half of a last one."""
        lines = self.text(path).split("\n")
        for number, line in enumerate(lines, start=1):
            try:
                values = json.loads(line) if line else {}
            except (ValueError, RecursionError):
                values = None
            if isinstance(values, dict):
                if line:
                    yield values
            elif number < len(lines):
                unreadable.append(f"{path}: line {number} is damaged")


def is_number(value: Any) -> bool:
    """Whether a value is a number, finite or not, that a float can hold."""
    return isinstance(value, float) or (type(value) is int and abs(value) < _MAX_INTEGER)


def deterministic(values: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of an epoch that are the same whenever it is run, without the times that it took."""
    repeatable = {names.EPOCH, names.PROGRESS, names.TRAIN_ACCURACY, names.LR, names.LOSS, *names.RANKING}
    return {
        name: value
        for name, value in values.items()
        if name in repeatable or name.startswith(f"{names.LOSS}/")
    }
