"""The example notebook runs in a real kernel, and an interrupt there leaves a study that goes on."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import nbformat
import pytest
from checkout import ROOT, SEARCH_PATH
from nbclient import NotebookClient
from study_processes import TINY, trials_of, wait_for_epoch

from sa_study import load_study
from sa_study.data.sample import make_sample_data

NOTEBOOK = ROOT / "examples" / "study.ipynb"


def texts(cell: Any) -> str:
    """All that a cell printed and displayed, as text."""
    outputs = (output.get("text") or output["data"].get("text/plain", "") for output in cell.outputs)
    return "".join(outputs)


def client(notebook: Any, folder: Path) -> NotebookClient:
    return NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(folder)}})


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", SEARCH_PATH)
    notebook = nbformat.read(NOTEBOOK, 4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are not committed"
    for cell in notebook.cells:  # as in the other tests, the work is made smaller
        cell.source = cell.source.replace('"resnet18"', '"narrow"').replace('"epochs": 6', '"epochs": 2')
        cell.source = cell.source.replace("trials=4", "trials=2")
    client(notebook, tmp_path).execute()
    _, tuned, table, best, confirmed, evaluated, features = (
        texts(cell) for cell in notebook.cells if cell.cell_type == "code"
    )
    assert "trial   0 (baseline)  epoch 2/2" in tuned and "2 COMPLETE" in tuned
    assert "param_lr" in table and "best: trial" in best and "report.html" in best
    assert "baseline" in confirmed and "'best'" in evaluated
    assert features.count("→") == 5
    assert load_study(tmp_path / "runs" / "notebook" / "study").summary().ledger.count == 1


def test_an_interrupt_leaves_a_study_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", SEARCH_PATH)
    data = make_sample_data(tmp_path / "data", identities=10, images_per_camera=2)
    space = {"fixed": {**TINY, "epochs": 500, "val_identities": 2}}
    lines = [
        f"import signal; before = signal.getsignal(signal.SIGTERM); from sa_study import tune\n"
        f"study = tune({str(data)!r}, 'study', {space!r}, trials=1)\n"
        "print(study.stopped, before == signal.getsignal(signal.SIGTERM))",
        "study.summary().trials[0].state",
    ]
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, lines)))
    executor = client(notebook, tmp_path)

    def interrupt() -> None:
        wait_for_epoch(tmp_path / "study", 0)
        os.kill(executor.km.provisioner.pid, signal.SIGINT)  # type: ignore[union-attr]

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    executor.execute()
    watcher.join()
    said, state = map(texts, notebook.cells)
    assert said.endswith("interrupted True\n") and "saved in" not in said.splitlines()[-1]
    assert "RUNNING" in state or "PAUSED" in state
    assert trials_of(tmp_path / "study")[0].state.name == "RUNNING", "resume goes on with it"
