"""Text from a study, made harmless: it must not become markup, a formula or a terminal's command."""

from __future__ import annotations

import functools
import re
import unicodedata

from sa_study.utils.text import visible

_FORMULA = tuple("=+-@")

_MARKDOWN = re.compile(r"([\\`*_{}\[\]#!|~$@^]|:(?=\S))")

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\char34}",
    "–": "--",
    "…": r"\ldots{}",
    "×": r"$\times$",
    "−": "$-$",
    **{mark: rf"\{mark}" for mark in "{}$&#_%"},
}


@functools.lru_cache(maxsize=4096)  # a column says the same few things in a million rows
def csv_text(text: str) -> str:
    """For a cell that a spreadsheet may read: a formula gets an apostrophe before it (OWASP's advice).

    Full-width signs count too: some versions take them for the plain ones.
    """
    text = visible(text)
    begins = unicodedata.normalize("NFKC", text).lstrip()
    return f"'{text}" if begins.startswith(_FORMULA) else text


def markdown(text: str) -> str:
    """For running text and table cells of Markdown, GitHub's links included."""
    text = _MARKDOWN.sub(r"\\\1", visible(text))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"(?i)(www)\.", r"\1\\.", text)


def latex(text: str) -> str:
    """For running text and table cells of LaTeX."""
    return "".join(_LATEX.get(character, character) for character in visible(text))
