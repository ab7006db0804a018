"""The paper's table as Markdown and as LaTeX."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sa_study.export.citations import bibtex
from sa_study.export.paper import Paper
from sa_study.export.text import latex, markdown


def to_markdown(paper: Paper) -> str:
    """A Markdown file: results, settings, what the study was, what to cite (Pandoc's way, and BibTeX)."""
    heads = ["", *(f"{group}: {column}" for group, columns in paper.groups for column in columns)]
    results = [[markdown(label), *_figures(paper, index)] for index, (label, _) in enumerate(paper.rows)]
    names = ("setting", "searched", "best", "baseline")
    settings = [[markdown(cell) for cell in row] for row in paper.settings]
    cited = [f"- {markdown(name)} [@{key}]" for name, key in paper.cited]
    return "\n".join(
        [
            f"# Results of the study {markdown(paper.name)}\n",
            *markdown_table(heads, results, "right"),
            "",
            *(f"{markdown(note)}  " for note in paper.notes),
            "\n## Settings\n",
            *markdown_table(names, settings, "left"),
            "\n## Study\n",
            *markdown_table(("", ""), [[markdown(cell) for cell in row] for row in paper.about], "left"),
            "\n## To cite\n",
            *cited,
            f"\n```bibtex\n{bibtex([key for _, key in paper.cited])}```\n",
        ]
    )


def to_latex(paper: Paper) -> str:
    """LaTeX tables for an `input`, which need booktabs; keys are those of `references.bib`."""
    groups = [rf"\multicolumn{{{len(columns)}}}{{c}}{{{latex(group)}}}" for group, columns in paper.groups]
    heads = [latex(column) for _, columns in paper.groups for column in columns]
    results = [[latex(label), *_figures(paper, index)] for index, (label, _) in enumerate(paper.rows)]
    if paper.difference:
        results[-1][0] = rf"\midrule {results[-1][0]}"
    cited = ", ".join(rf"{latex(name)}~\cite{{{key}}}" for name, key in paper.cited)
    body = [
        r"% \usepackage{booktabs}; \bibliography{references}",
        *_latex_table(
            caption=f"Results of the study {latex(paper.name)}. {' '.join(map(latex, paper.notes))}",
            label="tab:sa-study-results",
            align="l" + "r" * len(heads),
            head=[["", *groups], [f"{_rules(paper)} ", *heads]],
            rows=results,
        ),
        "",
        *_latex_table(
            caption=f"Settings of the study {latex(paper.name)}.",
            label="tab:sa-study-settings",
            align="llrr",
            head=[["setting", "searched", "best", "baseline"]],
            rows=[[latex(cell) for cell in row] for row in paper.settings],
        ),
        "",
        *_latex_table(
            caption=f"The study {latex(paper.name)}. It used {cited}.",
            label="tab:sa-study",
            align=r"lp{0.75\linewidth}",
            head=[],
            rows=[[latex(cell) for cell in row] for row in paper.about],
        ),
    ]
    return "\n".join(body) + "\n"


def _rules(paper: Paper) -> str:
    """A line below each group of columns."""
    rules, first = "", 2
    for _, columns in paper.groups:
        rules += rf"\cmidrule(lr){{{first}-{first + len(columns) - 1}}}"
        first += len(columns)
    return rules


def _figures(paper: Paper, index: int) -> list[str]:
    """A row's values in per cent; those of the last row with a sign where they are differences."""
    sign = "+" if paper.difference and index == len(paper.rows) - 1 else ""
    return ["–" if value is None else f"{100 * value:{sign}.1f}" for value in paper.rows[index][1]]


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]], align: str) -> list[str]:
    """Lines of a Markdown table whose first column is text.

    Args:
        heads: Column heads.
        rows: Cells, escaped.
        align: Of the other columns: `left` or `right`.
    """
    rule = "---:" if align == "right" else "---"
    lines = [heads, ["---", *[rule] * (len(heads) - 1)], *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _latex_table(
    *, caption: str, label: str, align: str, head: Sequence[Sequence[str]], rows: Iterable[Sequence[str]]
) -> list[str]:
    def lines(cells: Iterable[Sequence[str]]) -> list[str]:
        return [rf"{' & '.join(row)} \\" for row in cells]

    return [
        r"\begin{table}",
        r"\centering",
        r"\small",
        r"\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{caption}}}",
        rf"\label{{{label}}}",
        rf"\begin{{tabular}}{{{align}}}",
        r"\toprule",
        *([*lines(head), r"\midrule"] if head else []),
        *(line.replace("–", "--") for line in lines(rows)),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
