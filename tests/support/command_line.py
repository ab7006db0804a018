"""Runs the command line in this process and checks that a refusal leaves nothing behind."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from sa_study.cli import main


class CommandLine:
    """Runs the command line in this process, in a folder of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *words: object) -> tuple[int, str]:
        code, _, error = self.run(*words)
        return code, error

    def run(self, *words: object) -> tuple[int, str, str]:
        """Returns the exit code, standard output and standard error."""
        self._monkeypatch.setattr(sys, "argv", ["run_study.py", *map(str, words)])
        code = main()
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def refuses(self, *words: object, naming: Sequence[str], code: int = 2) -> None:
        before = self.contents()
        found, error = self(*words)
        assert found == code, error
        assert error.startswith("error: ") and error.count("\n") == 1, error
        for word in naming:
            assert word in error, error
        assert self.contents() == before

    def contents(self) -> dict[Path, bytes | None]:
        """Every file of the folder, by its path; None for folders."""
        return {path: path.read_bytes() if path.is_file() else None for path in self.folder.rglob("*")}
