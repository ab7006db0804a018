"""What trials reported of their epochs, from Ray's result files, wherever they lie."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pyarrow.fs

from sa_study import keys
from sa_study.export.trials import Epochs, is_figure
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder


def read_epochs(folder: StudyFolder, config: StudyConfig) -> tuple[Epochs, str]:
    """Reads all results; of an epoch that was run again the last one counts, as in the database.

    Returns:
        The figures, and what could not be read, in words; then the database's are all there is.
    """
    epochs: Epochs = {}
    place = config.storage_path or str(folder.trials)
    try:
        filesystem, base = pyarrow.fs.FileSystem.from_uri(place)
        for number, path in sorted(_files(filesystem, base.rstrip("/"))):
            for figures in _lines(filesystem, path):
                epochs.setdefault(number[1], {})[int(figures[keys.EPOCH])] = {
                    name: float(value)
                    for name, value in figures.items()
                    if is_figure(name) and _number(value)
                }
    except (OSError, ValueError) as error:
        return epochs, f"{place}: cannot be read ({' '.join(str(error).split())[:200]})"
    return epochs, "" if epochs else f"{place}: holds no results"


def _files(filesystem: pyarrow.fs.FileSystem, base: str) -> Iterator[tuple[tuple[int, int], str]]:
    """Each result file with the numbers of its launch and its trial."""
    for session, launch in _numbered(filesystem, base, "session_"):
        for path, trial in _numbered(filesystem, session, "trial_"):
            yield (launch, trial), f"{path}/result.json"


def _numbered(filesystem: pyarrow.fs.FileSystem, base: str, prefix: str) -> Iterator[tuple[str, int]]:
    for info in filesystem.get_file_info(pyarrow.fs.FileSelector(base, allow_not_found=True)):
        if match := re.fullmatch(rf"{prefix}(\d+)", info.base_name):
            yield info.path, int(match[1])


def _lines(filesystem: pyarrow.fs.FileSystem, path: str) -> Iterator[dict[str, Any]]:
    """The lines that tell of an epoch; a driver that was killed may leave half of one."""
    if filesystem.get_file_info(path).type != pyarrow.fs.FileType.File:
        return
    with filesystem.open_input_stream(path) as stream:
        text = stream.read().decode(errors="replace")
    for line in text.split("\n"):
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if isinstance(values, dict) and _number(values.get(keys.EPOCH)):
            yield values


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
