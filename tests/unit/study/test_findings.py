"""Evaluation files: a figure that the program has learnt since is no damage, a missing metric is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sa_study.metrics import names
from sa_study.report.terminal.tables import evaluation_table
from sa_study.study.findings import read_evaluation


@pytest.mark.parametrize(("missing", "readable"), [("mINP", True), ("rank5", True), ("mAP", False)])
def test_a_file_without_a_figure(
    tmp_path: Path, missing: str, readable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where studies have learnt to maximise that figure."""
    monkeypatch.setattr(names, "STUDY_METRICS", (*names.STUDY_METRICS, "rank5"))
    figures = {name: 0.5 for name in names.TEST_FIGURES if name != missing}
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps({**figures, "queries": 9, "gallery": 20, "settings": {}}))
    if not readable:
        with pytest.raises(KeyError, match=missing):
            read_evaluation(path)
    else:
        found = read_evaluation(path)
        table = evaluation_table({"best": {**found, "seconds": {}}})
        shown = dict(zip(table.headings, table.rows[0], strict=True))
        assert shown[names.heading(missing)] == "–" and shown["mAP"] == "50.0"


@pytest.mark.parametrize("seconds", [None, [1.0], {"decode": "long"}])
def test_damaged_seconds_are_no_evaluation(tmp_path: Path, seconds: object) -> None:
    content = {name: 0.5 for name in names.TEST_FIGURES}
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps({**content, "queries": 9, "gallery": 20, "settings": {}, "seconds": seconds}))
    with pytest.raises(ValueError, match="seconds"):
        read_evaluation(path)
