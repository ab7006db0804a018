"""The tables of docs/benchmarks.md are those that benchmarks/tables.py makes of the results."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from checkout import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import harness
import tables


def test_the_page_has_the_tables_that_are_made_from_the_results() -> None:
    page = tables.PAGE.read_text()
    assert tables.filled(page) == page, "run: python benchmarks/tables.py"


def test_every_result_is_in_a_table() -> None:
    named = {name for names in tables.TABLES.values() for name in names}
    assert {path.stem for path in tables.RESULTS.glob("*.json")} <= named
    assert {found[2] for found in tables.BLOCK.finditer(tables.PAGE.read_text())} == set(tables.TABLES)


def test_a_new_result_replaces_a_copied_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "RESULTS", tmp_path / "results")
    tables.RESULTS.mkdir()
    monkeypatch.setattr(sys, "argv", ["ranking.py", "--quick", "--json", str(tmp_path / "ranking.json")])
    figures = {"seconds": float("inf"), tables.RAW: [1, 2]}
    shown = harness.table("Ranking", ("what", "time"), [("argsort", 1)], "a note")
    assert str(shown).splitlines() == [
        "Ranking",
        "",
        "what     time",
        "-------  ----",
        "argsort     1",
        "a note",
    ]
    harness.finish(figures, tmp_path / "ranking.json", shown)
    assert "not measured yet" in tables.section(["ranking"])
    tables.take(tmp_path / "ranking.json")
    (kept,) = tables.RESULTS.iterdir()
    assert json.loads(kept.read_text())["figures"] == {"seconds": None}
    lines = tables.section([kept.stem]).splitlines()
    assert lines[0].startswith("`python benchmarks/ranking.py --quick`: ") and "PyTorch" in lines[0]
    assert lines[2:] == [
        "Ranking:",
        "",
        "| what | time |",
        "| --- | --- |",
        "| argsort | 1 |",
        "",
        "a note.",
    ]
