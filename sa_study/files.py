"""Writing files so that a reader, or the next run, never meets half of one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

_PLAIN = json.JSONEncoder(allow_nan=False)


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
    """Writes indented JSON atomically, a list of plain values on one line.

    Raises:
        ValueError: A figure is not finite (JSON has no such number).
    """
    write_text(path, _indented(values) + "\n")


def _indented(value: Any, margin: str = "") -> str:
    """As `json.dumps(indent=2)`, which gives each of a thousand numbers a line."""
    inner = margin + "  "
    if isinstance(value, Mapping) and value:
        items = [f"{json.dumps(str(key))}: {_indented(value[key], inner)}" for key in value]
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping | list | tuple) for item in value):
        items = [_indented(item, inner) for item in value]
    else:
        return "".join(_PLAIN.iterencode(value))
    opening, closing = "{}" if isinstance(value, Mapping) else "[]"
    return opening + ",".join(f"\n{inner}{item}" for item in items) + f"\n{margin}{closing}"


def write_text(path: Path, text: str) -> None:
    """Writes text atomically, in UTF-8."""

    def put(file: BinaryIO) -> None:
        file.write(text.encode("utf-8"))

    write_atomically(path, put)
