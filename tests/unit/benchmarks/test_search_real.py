"""The benchmark of the search on real learning curves, with a small suite of recorded ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkout import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import search_real
from simulation.suites import load_suite

EPOCHS = 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two tasks of 64 configurations; of the first one is best at lr = 0.1, of the second at lr = 0.001."""
    rng = np.random.default_rng(0)
    configurations = np.column_stack([10 ** rng.uniform(-3, 0, 64), rng.uniform(0, 1, 64)])
    epoch = np.arange(1, EPOCHS + 1)
    curves = {}
    for name, best in (("one", -1), ("two", -3)):
        final = 1 - (np.log10(configurations[:, :1]) - best) ** 2 / 9
        curves[name] = final * (1 - np.exp(-epoch / 5))
    curves["two"][3, 5:] = np.nan
    np.savez(tmp_path / "curves.npz", hp=configurations, **curves)
    settings = {"lr": {"low": 1e-3, "high": 1.0, "log": True}, "dropout": {"low": 0.0, "high": 1.0}}
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    return tmp_path


def test_the_nearest_recorded_configuration_answers(folder: Path) -> None:
    suite = load_suite(folder)
    arrays = np.load(folder / "curves.npz")
    assert suite.epochs == EPOCHS and [task.name for task in suite.tasks] == ["one", "two"]
    assert suite.parameters["lr"].log and not suite.parameters["dropout"].log
    for row in (0, 3, 63):
        lr, dropout = arrays["hp"][row]
        run = suite.tasks[0].run(number=row, lr=lr * 1.0001, dropout=dropout)
        assert np.array_equal(run.reported, arrays["one"][row])
    diverged = suite.tasks[1].run(number=0, lr=arrays["hp"][3][0], dropout=arrays["hp"][3][1])
    assert np.isfinite(diverged.reported).all()
    task = suite.tasks[0]
    assert task.regret(task.best) == 0 and task.regret(task.median) == 1


def test_settings_may_be_a_list(folder: Path) -> None:
    named = json.loads((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(
        json.dumps([{"name": name, **entry} for name, entry in named.items()])
    )
    assert list(load_suite(folder).parameters) == ["lr", "dropout"]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("3", [0, 1, 2]), ("1:6:2", [1, 3, 5]), ("1::2", [1, 3, 5, 7]), ("2:4", [2, 3])],
)
def test_tasks_and_seeds_are_selected(text: str, numbers: list[int]) -> None:
    assert search_real.selected(text, 8) == numbers


def test_the_results_are_written(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    result = folder / "out.json"
    command = f"{folder} --tasks 0:2 --seeds 2 --methods ours,tpe,random-asha,random,stock --trainings 3,6"
    monkeypatch.setattr(
        sys, "argv", ["search_real.py", *command.split(), "--jobs", "1", "--json", str(result)]
    )
    search_real.main()
    runs = json.loads(result.read_text())["runs"]
    assert len(runs) == 2 * 2 * 5
    for run in runs:
        assert run["suite"] == folder.name and run["task"] in ("one", "two") and run["seed"] in (0, 1)
        assert (
            0 <= run["regret"]["6"] <= run["regret"]["3"] < 20 and run["trials"] >= 6 and run["seconds"] > 0
        )
    assert {run["method"] for run in runs} == {"ours", "tpe", "random-asha", "random", "stock"}
    shown = capsys.readouterr().out
    assert "1 development tasks, 2 seeds" in shown and "1 acceptance tasks, 2 seeds" in shown


def run_of(method: str, index: int, regret: float, seed: int = 0) -> dict[str, Any]:
    return {"method": method, "index": index, "task": f"t{index}", "seed": seed, "regret": {"20": regret}}


def test_methods_are_compared_by_task_in_logarithms() -> None:
    runs = [run_of("ours", i, 0.1 * (i + 1)) for i in range(4)]
    runs += [run_of("tpe", i, 0.2 * (i + 1)) for i in range(4)]
    assert search_real.compare(runs, "ours", "20") == ("ours", "20", "0.250", "", "", "")
    assert search_real.compare(runs, "tpe", "20") == ("tpe", "20", "0.500", "0.50", "0.50 to 0.50", "100 %")


def test_tasks_on_which_random_search_is_better_are_named() -> None:
    runs = [run_of("ours", 0, 0.1), run_of("ours", 1, 0.3)]
    runs += [run_of("random-asha", 0, 0.1), run_of("random-asha", 1, 0.1)]
    assert search_real.beaten_by_random(runs, "20").endswith(": t1")
    assert search_real.beaten_by_random(runs[:1], "20") == ""


def test_earlier_results_join_the_tables(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [folder.parent / name for name in ("theirs.json", "ours.json")]
    files[0].write_text(json.dumps({"runs": [{**run_of("DEHB", 0, 0.2), "suite": "s"}]}))
    files[1].write_text(json.dumps({"runs": [{**run_of("ours", i, 0.1), "suite": "s"} for i in (0, 2)]}))
    command = [str(folder), "--methods", "", "--trainings", "20", "--json", str(folder / "out.json")]
    monkeypatch.setattr(sys, "argv", ["search_real.py", *command, "--with", *map(str, files)])
    search_real.main()
    shown = capsys.readouterr().out
    assert "ours : it" in shown and "0.50 to 0.50" in shown and "Runs fewer than 2: DEHB 1" in shown
    assert "runs" not in json.loads((folder / "out.json").read_text())

    monkeypatch.setattr(
        sys, "argv", ["search_real.py", *command, "--trainings", "60", "--with", str(files[0])]
    )
    with pytest.raises(SystemExit, match="no regret after 60 trainings"):
        search_real.main()
