"""How the program was called is how it names itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sa_study.utils import program
from sa_study.utils.program import program_as_called, program_name, usual_program


def call(monkeypatch: pytest.MonkeyPatch, orig_argv: list[str], argv: list[str]) -> tuple[list[str], str]:
    monkeypatch.setattr(sys, "orig_argv", orig_argv)
    monkeypatch.setattr(sys, "argv", argv)
    return program_as_called(), program_name()


def test_the_script_of_a_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = ["python3", "-X", "dev", "src/run_study.py", "tune", "--quiet"]
    assert call(monkeypatch, typed, typed[3:]) == (typed[:4], "run_study.py")


def test_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    argv = ["/site-packages/sa_study/__main__.py", "status"]
    called = call(monkeypatch, ["python3", "-m", "sa_study", "status"], argv)
    assert called == (["python3", "-m", "sa_study"], "python -m sa_study")


def test_the_installed_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "sa-study"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    argv = [str(script), "status"]
    called = ["python3", *argv]
    monkeypatch.setenv("PATH", "/nowhere")
    assert call(monkeypatch, called, argv) == ([str(script)], "sa-study"), "not on the path"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert call(monkeypatch, called, argv) == (["sa-study"], "sa-study")


def test_another_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert usual_program() == ["python", "run_study.py"]
    notebook = ["/env/ipykernel_launcher.py", "-f", "kernel.json"]
    assert call(monkeypatch, ["python3", *notebook], notebook)[0] == usual_program()
    monkeypatch.setattr(program, "PROJECT_ROOT", tmp_path)
    assert usual_program() == ["sa-study"], "outside a checkout"
