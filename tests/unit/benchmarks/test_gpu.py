"""The benchmark of a GPU, rehearsed on the CPU where only PyTorch and what it needs are installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from checkout import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import gpu
from gpu_checks.checks import found
from gpu_checks.sizes import DEVICE, TINY, Sizes

BARE = """
import runpy, sys
for name in ("ray", "optuna", "yaml", "rich", "typer", "sklearn", "pandas", "tensorboard", "timm"):
    sys.modules[name] = None
sys.path.insert(0, "benchmarks")
runpy.run_path(sys.argv[0], run_name="__main__")
"""
SECTIONS = [name for name in gpu.SECTIONS if name != "trials"]  # whose processes would not find this program


def test_everything_is_measured_or_said_not_to_be(tmp_path: Path) -> None:
    file = tmp_path / "gpu.json"
    words = ["benchmarks/gpu.py", "--tiny", "--json", str(file), "--only", *SECTIONS]
    program = f"import sys; sys.argv = {words!r}\n{BARE}"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(file.read_text())
    sections = result["figures"]["sections"]
    assert list(sections) == SECTIONS and all(sections.values())
    results = {row["what"]: row["result"] for row in sections["checks"]}
    assert set(results.values()) == {"right", None}
    assert [what for what, found in results.items() if not found] == [
        "no step waits for the GPU: the paper's",
        "no step waits for the GPU: all additions",
    ]
    (row, _) = sections["training"]
    assert row["training"] > 0 and row["plain step"] > 0 and row["h/100 epochs"] > 0 and row["GiB"] is None
    assert len(result["tables"]) == len(SECTIONS) and "not measured" in done.stdout
    assert all(row["training"] is None for row in sections["compiled"])
    assert all(row["ranking, s"] > 0 and row["re-ranking, s"] > 0 for row in sections["rankings"])


def test_trials_side_by_side_are_measured(tmp_path: Path) -> None:
    file = tmp_path / "gpu.json"
    words = [sys.executable, "benchmarks/gpu.py", "--tiny", "--json", str(file), "--only", "trials"]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    (row,) = json.loads(file.read_text())["figures"]["sections"]["trials"]
    assert row["what"] == "1 at a time" and row["images/s, all"] > 0 and row["trials/hour"] > 0


def test_a_later_run_of_one_section_keeps_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "gpu.json"
    for name in ("a", "b"):
        monkeypatch.setitem(gpu.SECTIONS, name, gpu.Section(name, lambda sizes: iter([("one", dict)])))
    gpu.run(TINY, ["a"], 60, file)
    assert list(gpu.run(TINY, ["b"], 60, file)) == ["a", "b"]
    assert list(json.loads(file.read_text())["figures"]["sections"]) == ["a", "b"]
    monkeypatch.setattr(
        gpu, "this_run", lambda: {"git": {}, "sources": "", "hardware": {"gpus": ["another"]}}
    )
    assert list(gpu.run(TINY, ["b"], 60, file)) == ["b"], "another machine's figures are not mixed in"


def test_what_fails_is_told_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def jobs(sizes: Sizes) -> Any:
        yield "broken", lambda: [][1]
        yield "wrong", lambda: found(0.2, 0.1)
        yield "not a number", lambda: found(float("nan"), 0.1)
        yield "right", lambda: found(0.1, 0.1)

    monkeypatch.setitem(gpu.SECTIONS, "made", gpu.Section("Made", jobs))
    rows = gpu.run(TINY, ["made"], 60, tmp_path / "made.json")["made"]
    assert rows[0]["error"] == "IndexError: list index out of range"
    assert [gpu.is_wrong(row) for row in rows] == [True, True, True, False]
    late = gpu.run(TINY, ["made"], 0, tmp_path / "made.json")["made"]
    assert {row["error"] for row in late} == {"not measured: time was up"}
    assert not any(gpu.is_wrong(row) for row in late)
    kept = json.loads((tmp_path / "made.json").read_text())
    assert [row["what"] for row in kept["figures"]["sections"]["made"]] == [row["what"] for row in rows]


@pytest.mark.skipif(DEVICE.type == "cuda", reason="there is a GPU")
def test_without_a_gpu_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--json", str(tmp_path / "gpu.json")])
    with pytest.raises(SystemExit, match=r"no CUDA device.* --tiny"):
        gpu.main()
    assert not list(tmp_path.iterdir())
