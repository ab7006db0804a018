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
    figures = {"seconds": 0.1, tables.RAW: [1, 2]}
    harness.finish(figures, tmp_path / "ranking.json", rows=[harness.row("ranking", "0.1 s", "argsort: 1 s")])
    assert "not measured yet" in tables.table(["ranking"])
    tables.take(tmp_path / "ranking.json")
    (kept,) = tables.RESULTS.iterdir()
    assert tables.RAW not in json.loads(kept.read_text())["figures"]
    lines = tables.table([kept.stem]).splitlines()
    assert lines[2] == "| ranking | 0.1 s | argsort: 1 s | `python benchmarks/ranking.py --quick` |"
    assert lines[4].startswith("*ranking: ") and "PyTorch" in lines[4]
