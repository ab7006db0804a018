"""Environment variables stand for the two options that are typed most, and for none that changes a study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import CommandLine
from sound_study import sound_study

from sa_study.version import VERSION


def test_the_study_and_the_data(tool: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = sound_study(tmp_path).root
    monkeypatch.setenv("SA_STUDY_STUDY", str(root))
    code, said, complaint = tool.run("status", "--quiet")
    assert code == 0 and "baseline" in said, complaint
    monkeypatch.setenv("SA_STUDY_STUDY", "/nowhere")
    tool.refuses("status", naming=["/nowhere"])
    assert tool.run("status", "--quiet", "--study", root)[0] == 0, "the command line goes first"
    monkeypatch.setenv("SA_STUDY_STUDY", "")
    tool.refuses("status", naming=["--study"])
    monkeypatch.setenv("SA_STUDY_DATA_DIR", "/no/data")
    monkeypatch.setenv("SA_STUDY_STUDY", str(root))
    tool.refuses("tune", "--study", root / "new", naming=["/no/data"])
    code, said, complaint = tool.run("evaluate", "--quiet")
    assert code == 0, f"of the study's own data: {complaint}"


def test_a_weights_file_goes_before_the_environments_study(
    made_study: Callable[..., Path], tool: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = made_study()
    monkeypatch.setenv("SA_STUDY_STUDY", str(root))
    words = ("evaluate", "--weights", root / "best.pt", "--data-dir", root.parent / "market", "--quiet")
    assert tool.run(*words)[0] == 0
    tool.refuses(*words, "--study", root, naming=["either --study or --weights"])


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_is_short_and_long(word: str, tool: CommandLine) -> None:
    for command in ((), ("tune",), ("data", "check")):
        code, said, _ = tool.run(*command, word)
        assert code == 0 and said.lstrip().startswith("Usage: run_study.py")
    _, said, _ = tool.run(word)
    assert "Judge it" in said and "--install-completion" in said


def test_versions(tool: CommandLine) -> None:
    code, said, _ = tool.run("--version")
    lines = said.splitlines()
    assert code == 0 and lines[0] == f"sa-study {VERSION}"
    assert [line.split()[0] for line in lines[1:]] == ["Python", "torch", "ray", "optuna"]
    assert "CUDA" in lines[2]
