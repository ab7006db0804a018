"""The command line's last resort: errors become one line and an exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sa_study import cli


def failing(error: Exception) -> Any:
    def run(**_: Any) -> None:
        raise error

    return lambda: run


def test_a_full_memory_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore lines")
    monkeypatch.setattr(cli, "_program", failing(error))
    assert cli.main() == 1
    said = capsys.readouterr().err
    assert said.startswith(
        "error: CUDA out of memory. Tried to allocate 2 GiB.; to train with less memory: --set accumulate=2"
    )
    assert said.count("\n") == 1


def test_memory_that_cannot_be_had_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RuntimeError) as refused:  # more than any machine has
        torch.empty(2**55, dtype=torch.uint8)
    for error in (refused.value, MemoryError(), MemoryError("Unable to allocate 9 EiB for an array")):
        monkeypatch.setattr(cli, "_program", failing(error))
        assert cli.main() == 1
        said = capsys.readouterr().err
        assert said.startswith("error: ") and said.count("\n") == 1
        assert "memory" in said or "allocate" in said


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "_program", failing(RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main()


def test_every_module_is_a_command() -> None:
    modules = {path.stem for path in Path(cli.__file__).parent.glob("[!_]*.py")}
    commands = [name for names in cli.COMMANDS.values() for name in names]
    assert modules == {*commands, "data", "options"} and len(commands) == len(set(commands))
