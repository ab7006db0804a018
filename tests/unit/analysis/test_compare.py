"""`compare`: two evaluations of the same images, and everything that is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine
from scipy import stats
from synthetic_runs import DATA, evaluation, scores

Compare = Callable[..., tuple[int, str, str]]


@pytest.fixture
def compare(tool: CommandLine) -> Compare:
    return lambda *words: tool.run("compare", *words)


def reranked(mean: float) -> dict[str, Any]:
    return evaluation(mean, reranked=evaluation(mean))


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_single_evaluations(compare: Compare, tmp_path: Path) -> None:
    a = write(tmp_path / "a.json", reranked(0.5))
    b = write(tmp_path / "b" / "evaluation.json", reranked(0.6))
    code, text, _ = compare(a, b.parent)
    assert code == 0 and "B is better in mAP" in text and "not other seeds" in text and "re-ranked" in text
    found = json.loads(compare(a, b.parent, "--json")[1])
    row = found["plain"]["mAP"]
    means = [scores(mean, 0, fold=0).average_precision.reshape(60, 3).mean(axis=1) for mean in (0.5, 0.6)]
    test = stats.ttest_rel(means[1], means[0])
    assert row["difference"] == pytest.approx(row["second"] - row["first"])
    expected = test.confidence_interval(0.95)
    assert [row["low"], row["high"]] == pytest.approx([expected.low, expected.high], abs=0.003)
    assert row["better"] + row["worse"] <= row["queries"] == 180 and row["better"] > row["worse"]


def test_several_seeds_cover_seeds(compare: Compare, tmp_path: Path) -> None:
    for seed in (0, 1, 2):
        write(tmp_path / "a" / f"seed_{seed}" / "evaluation.json", evaluation(0.5, seed))
        write(tmp_path / "b" / f"seed_{seed}" / "evaluation.json", evaluation(0.502, seed + 5))
    code, text, _ = compare(tmp_path / "a", tmp_path / "b")
    assert code == 0 and "No difference in mAP is shown" in text and "other seeds" in text
    assert "3 runs" in " ".join(text.split()) and max(map(len, text.splitlines()[:6])) <= 80


def test_a_file_with_itself(compare: Compare, tmp_path: Path) -> None:
    a = write(tmp_path / "a.json", evaluation(0.5))
    found = json.loads(compare(a, a, "--json")[1])["plain"]["rank1"]
    assert (found["difference"], found["low"], found["high"], found["p"]) == (0, 0, 0, 1)


@pytest.mark.parametrize(
    ("content", "naming"),
    [
        ("", "cannot be read as an evaluation"),
        ("[1]", "cannot be read as an evaluation"),
        ('{"mAP": NaN}', "cannot be read as an evaluation"),
        ("{}", "is not an evaluation"),
        ({"mAP": 0.5, "data": DATA}, "run 'evaluate' again"),
        (reranked(0.5) | {"reranked": {"mAP": 1}}, "run 'evaluate' again"),
        (evaluation(0.5) | {"reranked": 3}, "run 'evaluate' again"),
        (evaluation(0.5, data={**DATA, "gallery": "c"}), "they ranked different gallery images"),
        (evaluation(0.5, data=None), "which query images were ranked is not recorded"),
        (evaluation(0.5, per_query={"pid": []}), "scores of single queries are damaged"),
        (
            evaluation(0.5, per_query={"pid": [1], "average_precision": [0.5], "first_match": [1]}),
            "did not rank the same queries",
        ),
    ],
)
def test_what_is_no_evaluation_of_these_images(
    compare: Compare, tmp_path: Path, content: Any, naming: str
) -> None:
    a, b = write(tmp_path / "a.json", evaluation(0.5)), write(tmp_path / "b.json", content)
    code, out, error = compare(a, b)
    assert (code, out) == (2, "") and error.startswith("error: ") and error.count("\n") == 1
    assert naming in error


def test_nothing_there(compare: Compare, tmp_path: Path) -> None:
    a = write(tmp_path / "a.json", evaluation(0.5))
    for missing in (tmp_path / "gone", tmp_path):
        code, _, error = compare(a, missing)
        assert code == 2 and "no evaluation.json there" in error


def test_hostile_names_are_shown_harmlessly(compare: Compare, tmp_path: Path) -> None:
    a = write(tmp_path / "[red]\x1b[31m.json", evaluation(0.5))
    code, text, _ = compare(a, a)
    assert code == 0 and "\x1b[31m" not in text and "[red]" in "".join(text.split())
