"""Markdown and LaTeX of an export, from the templates in `templates/` and the BibTeX in `references.bib`."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jinja2

from sa_study.report.text import setting_text, settings_text
from sa_study.utils.text import visible

_HERE = Path(__file__).parent

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


def ablation_markdown(found: Mapping[str, Any]) -> str:
    """A Markdown file of what `ablate` found, the content of `ablation.json`."""
    from sa_study.report.terminal.repeats import cells_table, effects_table  # imports Rich

    runs, seeds = found["runs"], ", ".join(map(str, found["seeds"]))
    summary = (
        f"{runs['ended']} of {runs['asked']} runs, {runs['failed']} failed; seeds {seeds}. Each run is "
        "scored by its best epoch on held-out training identities; the test set was not opened. Changes "
        f"begin from: {settings_text(found['reference'])}."
    )
    return render("ablation.md.j2", summary=summary, sections=[effects_table(found), cells_table(found)])


def bibtex(keys: Iterable[str]) -> str:
    """The entries of `references.bib` with these keys, as a BibTeX file."""
    entries = bibliography()
    return "\n\n".join(entries[key] for key in keys) + "\n"


@functools.cache
def bibliography() -> dict[str, str]:
    """All that can be cited: BibTeX entries by key."""
    entries = (_HERE / "references.bib").read_text(encoding="utf-8").strip().split("\n\n")
    return {entry.partition("{")[2].partition(",")[0]: entry for entry in entries}


def render(template: str, **values: Any) -> str:
    """Fills in a template; it escapes what it prints by the filters `markdown` and `latex`."""
    return _environment().get_template(template).render(values)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    filters = {"markdown": markdown, "latex": latex, "braced": "{{{}}}".format, "plain": _plain}
    environment.filters |= filters
    return environment


def _plain(value: Any) -> str:
    return "not known" if value is None else setting_text(value)


def markdown(text: str) -> str:
    """For running text and table cells of Markdown, GitHub's links included."""
    text = _MARKDOWN.sub(r"\\\1", visible(text))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"(?i)(www)\.", r"\1\\.", text)


def latex(text: str) -> str:
    """For running text and table cells of LaTeX."""
    return "".join(_LATEX.get(character, character) for character in visible(text))
