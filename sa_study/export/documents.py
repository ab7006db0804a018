"""Markdown and LaTeX of an export, from the templates in `templates/` and the BibTeX in `references.bib`."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from sa_study.export.escaping import latex, markdown

if TYPE_CHECKING:
    from sa_study.export.paper import Paper

_HERE = Path(__file__).parent


def paper_document(template: str, paper: Paper) -> str:
    """The paper's tables by `table.md.j2` (Pandoc's citations) or `table.tex.j2` (needs booktabs)."""
    citations = ", ".join(rf"{latex(name)}~\cite{{{key}}}" for name, key in paper.cited)
    return render(
        template, paper=paper, citations=citations, references=bibtex(key for _, key in paper.cited)
    )


def ablation_markdown(found: Mapping[str, Any]) -> str:
    """A Markdown file of what `ablate` found.

    Args:
        found: The content of `ablation.json`.
    """
    # A network's page needs none of these.
    from sa_study.report.terminal.repeats import cells_table, effects_table
    from sa_study.report.text import settings_text

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
    braced = "{{{}}}".format
    environment.filters |= {"markdown": markdown, "latex": latex, "braced": braced, "plain": _plain}
    return environment


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else "not known" if value is None else str(value)
