"""Hostile text: no markup, no formula, no terminal command, as independent readers see it."""

from __future__ import annotations

import re

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from sa_study.export.documents import latex, markdown
from sa_study.export.tables import spreadsheet_safe
from sa_study.utils.text import visible

HOSTILE = [
    "<script>alert(1)</script>",
    "a|b\\|c",
    "[click](http://evil.example) ![x](y)",
    "*bold* _it_ `code` ~~no~~ # & &lt; <!-- -->",
    "http://evil.example www.evil.example a@b.example mailto:a@b.example @user #12",
    "\x1b]0;title\x07\x1b[31mred\u202egnp.exe\u2028",
    "line\nbreak\r\ttab\0nul",
    "half \ud800 character",
    '\\input{/etc/passwd} $x^2$ 100% #1 {a} ~ "q" \\\\ \\end{tabular}',
    "=cmd|' /C calc'!A0",
    "ünïcödé 漢字 🙂",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_markdown_cell_shows_the_text_and_nothing_else(text: str) -> None:
    page = f"| a | b |\n| --- | --- |\n| {markdown(text)} | 1 |\n\nsays {markdown(text)} there"
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(page)
    assert sum(token.type == "tr_open" for token in tokens) == 2, "a line break"
    assert sum(token.type in ("td_open", "th_open") for token in tokens) == 4, "a cell more"
    inline = [token for token in tokens if token.type == "inline"]
    shown = [_plain(token) for token in inline]
    assert shown[2] == visible(text).strip() and shown[4] == f"says {visible(text)} there"


def _plain(token: Token) -> str:
    children = token.children or []
    assert {child.type for child in children} <= {"text", "text_special"}, children
    return "".join(child.content for child in children)


@pytest.mark.parametrize("text", HOSTILE)
def test_githubs_links_find_nothing(text: str) -> None:
    assert not re.search(r"(?i)https?://|www\.|mailto:|(?<!\\)@", markdown(text))


@pytest.mark.parametrize("text", HOSTILE)
def test_latex_sees_no_command_of_the_text(text: str) -> None:
    escaped = latex(text)
    words = "textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar|ldots"
    rest = re.sub(rf"\\(?:[{{}}$&#_%]|(?:{words})\{{\}})|{{\\char34}}", "", escaped)
    assert not re.search(r"[\\{}$&#_%^~\n]", rest), rest


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_moves_a_terminals_cursor(text: str) -> None:
    for made in (visible(text), spreadsheet_safe(text), markdown(text), latex(text)):
        made.encode("utf-8")
        assert made.isprintable()


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "＝1+1", "﹢1", '=HYPERLINK("http://x")']
)
def test_a_formula_gets_an_apostrophe(text: str) -> None:
    assert spreadsheet_safe(text) == f"'{visible(text)}"


@pytest.mark.parametrize("text", ["", "mean", "a=b", "1e-3", "trial -1", "'quoted"])
def test_other_text_stays(text: str) -> None:
    assert spreadsheet_safe(text) == text
