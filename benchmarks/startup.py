"""How long commands take that only show something, compared with the import of PyTorch or Ray alone.

Usage: python benchmarks/startup.py [--runs N] [--trials N] [--json FILE]

Each run is a new process: `--help`, `settings`, and `status` of a study of 200 trials, some of them stopped
early, in a temporary folder. About 15 seconds.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import harness
from simulation.written import write_study

PROGRAM = [sys.executable, str(harness.ROOT / "run_study.py")]
GOALS = {"--help": 0.5, "status": 1.5}
"""Limits in seconds."""


def run(command: list[str]) -> None:
    """Runs a command and discards its output."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")


def commands(study: Path) -> dict[str, list[str]]:
    """Returns the command lines by their names in the table."""
    return {
        "--help": [*PROGRAM, "--help"],
        "settings": [*PROGRAM, "settings"],
        "status": [*PROGRAM, "status", "--study", str(study)],
        "import torch": [sys.executable, "-c", "import torch"],
        "import ray": [sys.executable, "-c", "import ray"],
    }


def measure(runs: int, trials: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="startup_") as place:
        study = write_study(Path(place) / "study", trials).root
        works = {name: lambda c=command: run(c) for name, command in commands(study).items()}
        taken = harness.alternating_seconds(works, runs)
    rows = {
        name: {"median": statistics.median(seconds), "worst": max(seconds)} for name, seconds in taken.items()
    }
    met = {name: rows[name]["median"] < goal for name, goal in GOALS.items()}
    return {"runs": runs, "trials": trials, "seconds": rows, "goals": GOALS, "met": met}


def table(result: Mapping[str, Any]) -> harness.Table:
    rows = []
    for name, seconds in result["seconds"].items():
        goal = result["goals"].get(name)
        verdict = "" if goal is None else f"< {goal} s, {'met' if result['met'][name] else 'missed'}"
        shown = f"status, {result['trials']} trials" if name == "status" else name
        rows.append((shown, f"{seconds['median']:.2f} s", f"{seconds['worst']:.2f} s", verdict))
    title = f"Seconds from the start of a process to its end, of {result['runs']} runs in turns"
    return harness.table(title, ("command", "median", "worst", "goal"), rows)


def main() -> None:
    parser = harness.argument_parser(__doc__, "startup")
    parser.add_argument("--runs", type=int, default=5, help="processes of each command; default %(default)s")
    parser.add_argument("--trials", type=int, default=200, help="of the study; default %(default)s")
    options = parser.parse_args()
    result = measure(options.runs, options.trials)
    harness.finish(result, options.json, table(result))


if __name__ == "__main__":
    main()
