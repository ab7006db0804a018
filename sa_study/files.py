"""Writing files so that a reader, or the next run, never meets half of one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO


def write_atomically(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Writes a file beside its final name and renames it once it is on disk.

    Raises:
        OSError: The disk is full or not writable; an earlier file of that name is left as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Writes indented JSON atomically.

    Raises:
        ValueError: A figure is not finite (JSON has no such number).
    """
    text = json.dumps(values, indent=2, allow_nan=False) + "\n"
    write_text(path, text)


def write_text(path: Path, text: str) -> None:
    """Writes text atomically, in UTF-8."""

    def put(file: BinaryIO) -> None:
        file.write(text.encode("utf-8"))

    write_atomically(path, put)
