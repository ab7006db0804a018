"""Reads W&B's files of runs, which are logs in LevelDB's format; W&B's own reader is a Go program."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wandb.proto.wandb_internal_pb2 import Record

_FILE_HEADER = b":W&B\xe1\xbe\x00"
_BLOCK = 32768
_HEADER = 7
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


def read_records(file: Path) -> Iterator[Record]:
    """The records of a `.wandb` file up to the first that is not whole."""
    content = file.read_bytes()
    assert content.startswith(_FILE_HEADER), content[:_HEADER]
    place, parts = len(_FILE_HEADER), b""
    while place + _HEADER <= len(content):
        if _BLOCK - place % _BLOCK < _HEADER:  # what is left of a block is padding
            place += _BLOCK - place % _BLOCK
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        place += _HEADER
        parts += content[place : place + length]
        place += length
        if place > len(content) or kind not in (_FULL, _FIRST, _MIDDLE, _LAST):
            return
        if kind in (_FULL, _LAST):
            yield Record.FromString(parts)
            parts = b""
