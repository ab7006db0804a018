"""What is shown of hostile strings, and commands that a shell reads as they were meant."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from typing import Any

import pytest
from rich.console import Console

from sa_study.report.terminal.console import Output, capture_stray_output, say
from sa_study.report.text import command, quote, setting_text, settings_text, sparkline
from sa_study.utils.text import visible

WORDS = ["plain", "two words", "it's", "$HOME `x`", "a\nb", "\x1b[31m", "back\\slash", "\\'\n", "ünï", ""]


@pytest.mark.parametrize("word", WORDS)
def test_a_shell_reads_the_word_that_was_quoted(word: str) -> None:
    quoted = quote(word)
    assert visible(quoted) == quoted, "what is printed is safe"
    code = "import sys; sys.stdout.write(repr(sys.argv[1]))"
    line = f"{quote(sys.executable)} -c {quote(code)} {quoted}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout == repr(word)


def test_a_path_that_is_no_text_is_quoted_by_its_bytes() -> None:
    done = subprocess.run(["bash", "-c", f"printf %s {quote(chr(0xDCFF))}"], capture_output=True, check=True)
    assert done.stdout == b"\xff"


def test_a_command_is_as_it_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = ["/my env/python", "-X", "dev", "src/run_study.py", "tune", "--study", "a"]
    monkeypatch.setattr(sys, "orig_argv", typed)
    monkeypatch.setattr(sys, "argv", typed[3:])
    wanted = "'/my env/python' -X dev src/run_study.py resume --study 'my study'"
    assert command("resume", "--study", "my study") == wanted
    monkeypatch.setattr(sys, "argv", ["pytest"])
    assert command("status") == "python run_study.py status"


def test_controls_are_shown_and_not_obeyed() -> None:
    assert visible("a\x1b[2Jb\nc\x9b\u202e\udcff") == "a\\x1b[2Jb\\nc\\x9b\\u202e\\udcff"
    assert visible("Zürich 漢字 🙂") == "Zürich 漢字 🙂"
    assert settings_text({"lr": 0.123456, "a\n": "[b]\x07"}) == "lr=0.1235 a\\n=[b]\\x07"
    assert setting_text(True) == "true" and setting_text(3) == "3"


def test_curves_in_one_line() -> None:
    assert sparkline([0.0, 0.5, 1.0], 10, 0.0, 1.0) == "▁▅█"
    assert sparkline([], 10, 0.0, 1.0) == ""
    assert sparkline([0.5, 0.5], 10, 0.5, 0.5) == "▅▅"
    assert sparkline([0.2, math.nan, math.inf], 10, 0.0, 1.0) == "▂??"
    long = sparkline([value / 100 for value in range(101)], 5, 0.0, 1.0)
    assert len(long) == 5 and long[0] == "▁" and long[-1] == "█"


def test_a_line_stays_one_line() -> None:
    file = io.StringIO()
    say(Console(file=file, width=20), "[bold]" + "long " * 20 + "\n:smile:")
    assert (
        file.getvalue().count("\n") == 1 and "[bold]" in file.getvalue() and "\\n:smile:" in file.getvalue()
    )


def test_quiet_says_the_end_alone(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(quiet=True)
    output.say("on the way")
    output.document({"no": "document"})
    output.conclude("the end")
    assert capsys.readouterr().out == "the end\n"


def test_json_is_all_there_is_on_the_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(as_json=True)
    with capture_stray_output(output.console):
        print("a library talks")
        print("(raylet) A worker died", file=sys.stderr)
        sys.stdout.write("no line end")
    output.say("on the way")
    output.conclude("the end")
    output.document({"value": 1, "text": "\x1b[31m"})
    said = capsys.readouterr()
    assert json.loads(said.out) == {"value": 1, "text": "\x1b[31m"} and "\x1b" not in said.out
    assert said.err == "a library talks\nno line end\n"


def test_a_terminal_of_few_characters_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    stream: Any = io.TextIOWrapper(raw, encoding="ascii")
    monkeypatch.setattr("sys.stdout", stream)
    Output().conclude("mAP – 漢")
    stream.flush()
    assert raw.getvalue() == b"mAP \\u2013 \\u6f22\n"
