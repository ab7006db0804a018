"""What trials reported, read from Ray's result files; needs neither Ray nor PyTorch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.fs

from sa_study.metrics import names
from sa_study.study.folder import trial_folder

_MAX_INTEGER = 2**1000
_MAX_FILE_BYTES = 2**28


@dataclass(frozen=True)
class ResultRow:
    """A line of a trial's result file: an epoch's figures, or why the trial ended.

    Attributes:
        session: Number of the launch.
        values: What the trial reported and Ray added.
    """

    session: int
    values: dict[str, Any]

    @property
    def epoch(self) -> int:
        """Number of the epoch; 0 where the line has none."""
        epoch: Any = self.values.get(names.EPOCH)
        return int(epoch) if is_number(epoch) and abs(epoch) < 2**31 else 0


class ResultFiles:
    """The files that Ray wrote of a study's trials, in their storage.

    Raises:
        OSError: The storage cannot be reached; the methods raise this too.
        ValueError: `uri` is neither a path nor a URI.
    """

    def __init__(self, uri: str):
        self._filesystem, base = pyarrow.fs.FileSystem.from_uri(uri)
        self._base = base.rstrip("/")

    def sessions(self) -> list[int]:
        """Numbers of the launches that left a folder."""
        return self._numbered("", "session_")

    def trials(self, session: int) -> list[int]:
        """Numbers of the trials that ran in a launch."""
        return self._numbered(f"session_{session}", "trial_")

    def rows(self, session: int, number: int, unreadable: list[str] | None = None) -> list[ResultRow]:
        """The lines that a trial reported in a launch; a killed driver may have left half a line at the end.

        A note on each damaged line is appended to `unreadable`.
        """
        path, rows = f"session_{session}/{trial_folder(number)}/result.json", []
        lines = self.text(path).split("\n")
        for line_number, line in enumerate(lines, start=1):
            try:
                values = json.loads(line or "{}")
            except (ValueError, RecursionError):
                values = None
            if isinstance(values, dict):
                rows += [ResultRow(session, values)] if line else []
            elif line_number < len(lines) and unreadable is not None:
                unreadable.append(f"{path}: line {line_number} is damaged")
        return rows

    def entries(self, folder: str) -> list[str]:
        """Sorted names of the entries of a folder in the storage."""
        selector = pyarrow.fs.FileSelector(f"{self._base}/{folder}".rstrip("/"), allow_not_found=True)
        return sorted(info.base_name for info in self._filesystem.get_file_info(selector))

    def text(self, path: str) -> str:
        """A file's text, empty where there is none; ValueError if it is larger than any that Ray writes."""
        whole = f"{self._base}/{path}"
        found = self._filesystem.get_file_info(whole)
        if found.type != pyarrow.fs.FileType.File:
            return ""
        if found.size > _MAX_FILE_BYTES:
            raise ValueError(f"{path}: has {found.size} bytes, more than {_MAX_FILE_BYTES}")
        with self._filesystem.open_input_stream(whole) as stream:
            return str(stream.read().decode(errors="replace"))

    def _numbered(self, folder: str, prefix: str) -> list[int]:
        found = [re.fullmatch(rf"{prefix}(\d+)", name) for name in self.entries(folder)]
        return sorted(int(match[1]) for match in found if match)


def is_number(value: Any) -> bool:
    """Whether a value is a number, finite or not, that a float can hold."""
    return isinstance(value, float) or (type(value) is int and abs(value) < _MAX_INTEGER)


def deterministic(values: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of an epoch that another run on the same CPU repeats: progress, losses, lr and rates."""
    repeatable = {names.EPOCH, names.PROGRESS, names.TRAIN_ACCURACY, names.LR, names.LOSS, *names.RANKING}
    return {
        name: value
        for name, value in values.items()
        if name in repeatable or name.startswith(f"{names.LOSS}/")
    }
