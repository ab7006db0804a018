"""Files are whole or not there."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import BinaryIO

import pytest

from sa_study.utils.files import write_atomically, write_json


def test_a_failed_write_leaves_the_earlier_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"earlier")

    def fill_the_disk(file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_atomically(path, fill_the_disk)
    assert path.read_bytes() == b"earlier"
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_json_holds_no_number_that_json_has_not(tmp_path: Path) -> None:
    write_json(tmp_path / "good.json", {"mAP": 0.5})
    assert json.loads((tmp_path / "good.json").read_text()) == {"mAP": 0.5}
    with pytest.raises(ValueError, match="nan"):
        write_json(tmp_path / "bad.json", {"mAP": float("nan")})
    assert not (tmp_path / "bad.json").exists()
