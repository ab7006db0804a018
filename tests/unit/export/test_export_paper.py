"""The results table for a paper: figures, which AP they are, what is cited; Markdown and LaTeX."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from written_study import SPACE, Trial, evaluate, make_study

from sa_study.export.documents import bibliography, render
from sa_study.export.paper import _COLUMNS, describe
from sa_study.settings.space_file import parse_space
from sa_study.study.summary import StudySummary
from sa_study.utils.errors import StudyFolderError
from sa_study.utils.files import write_json

TRIALS = [Trial(), Trial("PRUNED", (0.15, 0.05), lr=0.2), Trial(curve=(0.1, 0.3, 0.5, 0.5), lr=0.03)]
BEST = 2


def markdown(paper: dict[str, Any]) -> str:
    return render("table.md.j2", **paper)


def latex(paper: dict[str, Any]) -> str:
    return render("table.tex.j2", **paper)


def tables(text: str) -> list[list[list[str]]]:
    """The tables of a Markdown page, as a parser sees them."""
    found: list[list[list[str]]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and token.level == 4:
            found[-1][-1].append("".join(child.content for child in token.children or []))
    return found


def test_best_baseline_and_difference(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", TRIALS)
    evaluate(folder, folder.evaluation, BEST, TRIALS)
    evaluate(folder, folder.baseline_evaluation, 0, TRIALS, rank1=0.6, mAP=0.4321, reranked=None)
    text = markdown(describe(StudySummary.read(folder.root)))
    results, settings, about = tables(text)
    assert results == [
        [
            "",
            *(f"validation: {head}" for head in ("rank-1", "mAP")),
            *(f"test: {head}" for head in ("rank-1", "mAP", "mAP (trapezoid)")),
            *(f"test, re-ranked: {head}" for head in ("rank-1", "mAP")),
        ],
        ["best (trial 2)", "60.0", "50.0", "70.0", "50.0", "60.0", "80.0", "65.0"],
        ["baseline (trial 0)", "50.0", "40.0", "60.0", "43.2", "60.0", "–", "–"],
        ["difference", "+10.0", "+10.0", "+10.0", "+6.8", "+0.0", "–", "–"],
    ]
    assert settings[1] == ["lr", "0.01 … 0.3, log", "0.03", "0.1"]
    assert settings[2] == ["attention", "mean | softmax | none", "mean", "mean"]
    said = dict(row for row in about[1:])
    assert said["trials"] == "3 of 5: 2 complete, 1 stopped early"
    assert "10 epochs, 15.0 s of training" in said["cost"]
    assert "f" * 16 in said["training images"] and "at most 20 %" in said["validation"]
    assert "scikit-learn" in text and "trapezoid" in text and "9 queries, 20 gallery" in text
    assert "chosen by validation mAP among 2 complete trials" in text


@pytest.mark.parametrize(
    ("trials", "rows"),
    [
        ([], [["best: none yet", "–", "–"]]),
        (
            [Trial("FAIL", (), failure="loss is nan")],
            [
                ["best: none yet", "–", "–"],
                ["baseline (trial 0, FAIL)", "–", "–"],
                ["difference", "–", "–"],
            ],
        ),
        (
            [Trial("RUNNING", (0.2,))],
            [
                ["best: none yet", "–", "–"],
                ["baseline (trial 0, RUNNING)", "30.0", "20.0"],
                ["difference", "–", "–"],
            ],
        ),
        ([Trial(), Trial("PRUNED", (0.9,))], [["best = baseline (trial 0)", "50.0", "40.0"]]),
        (
            [Trial("FAIL", (0.3,), failure="died"), Trial(lr=0.05)],
            [
                ["best (trial 1)", "50.0", "40.0"],
                ["baseline (trial 0, FAIL)", "40.0", "30.0"],
                ["difference", "+10.0", "+10.0"],
            ],
        ),
    ],
)
def test_studies_in_every_state(tmp_path: Path, trials: list[Trial], rows: list[list[str]]) -> None:
    paper = describe(StudySummary.read(make_study(tmp_path / "study", trials).root))
    text = markdown(paper)
    assert tables(text)[0][1:] == rows
    assert ("No trial is complete yet" in text) == (rows[0][0] == "best: none yet")
    balanced(latex(paper))


def test_reordered_columns_keep_their_headings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_study(tmp_path / "study", TRIALS)
    evaluate(folder, folder.evaluation, BEST, TRIALS)

    def columns() -> dict[str, list[str]]:
        heads, *rows = tables(markdown(describe(StudySummary.read(folder.root))))[0]
        return dict(zip(heads, zip(*rows, strict=True), strict=True))  # type: ignore[arg-type]

    before = columns()
    for kind, figures in list(_COLUMNS.items()):
        monkeypatch.setitem(_COLUMNS, kind, figures[::-1])
    after = columns()
    assert after == before and list(after) != list(before)


def test_an_evaluation_of_an_earlier_winner_is_left_out(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", TRIALS)
    evaluate(folder, folder.evaluation, 0, TRIALS)
    text = markdown(describe(StudySummary.read(folder.root)))
    assert "evaluation.json is of an earlier winner" in text and "test: " not in text
    evaluate(folder, folder.evaluation, BEST, TRIALS, checkpoint_epoch=1)
    assert "evaluation.json is of an earlier winner" in markdown(describe(StudySummary.read(folder.root)))


def test_a_damaged_evaluation_is_named(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", TRIALS)
    for content in ("", "[]", "{}", '{"reranked": null, "mAP": "<b>"}'):
        folder.evaluation.write_text(content)
        with pytest.raises(StudyFolderError, match=r"evaluation\.json: is damaged"):
            StudySummary.read(folder.root).require_whole()


def test_hostile_text_of_a_study_stays_text(tmp_path: Path) -> None:
    name = "<script>x</script> | [a](http:b) \\input{x} \x1b[31m & 100%"
    folder = make_study(tmp_path / name.replace("/", "∕"), TRIALS)
    launch = {
        "hardware": {"gpus": ["<img src=x>\n\n# H | $\\LaTeX$"], "cpus": "*8*"},
        "packages": {"torch": "`2`", "ray": [1]},
        "git": {"commit": "_a_\x07"},
    }
    for launches in ([launch], ["no launch"], [{"hardware": [], "packages": 3, "git": "x"}]):
        write_json(folder.provenance, {"data_fingerprint": "%&_<b>", "launches": launches})
        paper = describe(StudySummary.read(folder.root))
        for text in (markdown(paper), latex(paper)):
            assert "\x1b" not in text and "\x07" not in text
        html = MarkdownIt("commonmark").enable("table").render(markdown(paper))
        assert not re.search(r"<(script|img|b|a|em|strong)\b", html)
        assert re.findall(r"<h\d>(.*?)</h\d>", html)[1:] == ["Settings", "Study", "To cite"]
        balanced(latex(paper))


def balanced(text: str) -> None:
    """LaTeX whose braces, environments, columns and citations are right, as far as that shows without TeX."""
    bare = re.sub(r"\\[\\{}$&#_%]", lambda match: r"\\" if match[0] == r"\\" else "", text)
    depth = 0
    for mark in bare:
        depth += {"{": 1, "}": -1}.get(mark, 0)
        assert depth >= 0
    assert depth == 0 and "\x1b" not in text
    for kind in ("begin", "end"):
        assert re.findall(rf"\\{kind}{{(\w+)}}", text).count("tabular") == 3
    for columns, body in re.findall(r"\\begin{tabular}{(l.*?)}\n(.*?)\\end{tabular}", bare, re.DOTALL):
        columns = re.sub(r"{.*", "", columns)
        for row in re.findall(r"^(.*) \\\\$", body, re.MULTILINE):
            spans = [int(number) - 1 for number in re.findall(r"\\multicolumn{(\d+)}", row)]
            assert row.count("&") + sum(spans) == len(columns) - 1, row
    for key in re.findall(r"\\cite{(.*?)}", text):
        assert key in bibliography()


def test_latex_says_what_markdown_says(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "a_b", TRIALS)
    evaluate(folder, folder.evaluation, BEST, TRIALS)
    paper = describe(StudySummary.read(folder.root))
    text = latex(paper)
    balanced(text)
    assert r"best (trial 2) & 60.0 & 50.0 & 70.0 & 50.0 & 60.0 & 80.0 & 65.0 \\" in text
    assert r"study a\_b" in text and r"\multicolumn{3}{c}{test}" in text and r"\cmidrule(lr){4-6}" in text
    assert r"0.01 \ldots{} 0.3, log & 0.03 & 0.1" in text


def cited(paper: dict[str, Any]) -> set[str]:
    return {key for _, key in paper["cited"]}


def test_what_was_used_is_cited(tmp_path: Path) -> None:
    always = {"wang2018parameter", "he2016deep", "akiba2019optuna", "liaw2018tune"}
    folder = make_study(tmp_path / "one", TRIALS)
    assert cited(describe(StudySummary.read(folder.root))) == always | {
        "zheng2015scalable",
        "kandasamy2017multi",
        "li2020system",
    }
    evaluate(folder, folder.evaluation, BEST, TRIALS)
    assert "zhong2017reranking" in cited(describe(StudySummary.read(folder.root)))
    plain = {**SPACE, "sampler": "random", "scheduler": {"name": "none"}}
    plain["fixed"] = {**SPACE["fixed"], "random_erasing": 0.5}
    other = make_study(
        tmp_path / "two", TRIALS, space=parse_space(plain, "space"), data_dir=Path("/data/sample")
    )
    assert cited(describe(StudySummary.read(other.root))) == always | {"zhong2020random"}
    plain["fixed"] = {**SPACE["fixed"], "optimizer": "adamw", "label_smoothing": 0.1, "bn_neck": True}
    recipe = make_study(
        tmp_path / "three", TRIALS, space=parse_space(plain, "space"), data_dir=Path("/data/sample")
    )
    found = cited(describe(StudySummary.read(recipe.root)))
    assert found == always | {"loshchilov2019decoupled", "szegedy2016rethinking", "luo2019bag"}


def test_the_entries_are_bibtex() -> None:
    for key, entry in bibliography().items():
        head, *fields, end = entry.split("\n")
        assert re.fullmatch(rf"@(article|inproceedings)\{{{key},", head) and end == "}"
        assert entry.count("{") == entry.count("}") and all(field.startswith("  ") for field in fields)
        assert {"title", "author", "year"} <= {field.split()[0] for field in fields}
    assert "arXiv:1811.12150" in bibliography()["wang2018parameter"]
