"""Shared by the benchmarks: command-line options, timing, peak memory, text tables and the results' JSON.

Needs numpy and torch alone, so that the benchmarks of training and ranking run on a machine without Ray.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # sa_study, wherever the script is started

T = TypeVar("T")


def argument_parser(doc: str | None, name: str) -> argparse.ArgumentParser:
    """Returns a parser with the benchmark's docstring as help, and `--json`."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = ROOT / "runs" / "benchmarks" / f"{name}.json"
    parser.add_argument(
        "--json", type=Path, default=default, metavar="FILE", help="result; default %(default)s"
    )
    return parser


def seconds(work: Callable[[], object]) -> float:
    """Measures the wall-clock time of one call, including the GPU work that it starts."""
    synchronize()
    start = time.perf_counter()
    work()
    synchronize()
    return time.perf_counter() - start


def alternating_seconds(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Times several functions in turns, so that a machine that slows down slows all of them.

    Returns:
        The seconds of each round, by name. One round before them warms up.
    """
    for work in works.values():
        work()
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            taken[name].append(seconds(work))
    return taken


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over the rounds of `ours / theirs`."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def synchronize() -> None:
    """Waits for the GPU's work, if there is a GPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@contextmanager
def peak_memory() -> Iterator[dict[str, float]]:
    """Measures the peak resident memory of the code inside the `with` block. Linux only.

    Yields:
        A dict that after the block holds `before_mib`, `peak_mib` and `growth_mib` (their difference); with a
        GPU also `gpu_mib`, the growth of PyTorch's allocations there.
    """
    found: dict[str, float] = {}
    Path("/proc/self/clear_refs").write_text("5")
    before = _status_mib("VmRSS")
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.reset_peak_memory_stats()
        gpu_before = torch.cuda.memory_allocated()
    yield found
    peak = _status_mib("VmHWM")
    found |= {"before_mib": before, "peak_mib": peak, "growth_mib": peak - before}
    if gpu:
        found["gpu_mib"] = (torch.cuda.max_memory_allocated() - gpu_before) / 2**20


def in_fresh_process(function: Callable[..., T], *arguments: Any) -> T:
    """Calls a module-level function in a new process, so that earlier work does not affect its memory."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def fitted_exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Fits costs = c · sizes^exponent by least squares on logarithms and returns the exponent."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Formats a plain-text table: the first column left-aligned, the others right-aligned."""
    cells = [[str(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(columns))]
    lines = [
        "  ".join(
            c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    return "\n".join([title, "", lines[0], "  ".join("-" * width for width in widths), *lines[1:], ""])


def row(what: str, measured: str, compared: str = "") -> dict[str, str]:
    """A row for docs/benchmarks.md: what was measured, its value, and what to compare it with."""
    return {"what": what, "measured": measured, "compared": compared}


def finish(
    figures: Mapping[str, Any], path: Path, *tables: str, rows: Sequence[Mapping[str, str]] = ()
) -> None:
    """Prints the tables and writes the result as JSON.

    Args:
        figures: Everything measured, as plain values.
        path: File to write.
        tables: Printed as they are.
        rows: Rows for docs/benchmarks.md; see `row`.
    """
    from sa_study.provenance import describe_run

    for text in tables:
        sys.stdout.write(f"{text}\n")
    run = describe_run()
    run["command"] = _published(run["command"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"run": run, "rows": list(rows), "figures": figures}, indent=2) + "\n")


def _published(command: str) -> str:
    """The command as the documents show it, without paths of this machine."""
    command = re.sub(r" --json[= ]\S+", "", command)
    return "python benchmarks/" + re.sub(r"(--data-dir)[= ]\S+", r"\1 DIR", command)


def _status_mib(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {field}")
