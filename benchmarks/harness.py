"""Shared by the benchmarks: command-line options, timing, peak memory, text tables and the results' JSON.

Needs numpy and torch alone, so that the benchmarks of training and ranking run on a machine without Ray.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

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


class Table(NamedTuple):
    """A table of results, printed as text and shown in docs/benchmarks.md.

    Attributes:
        title: What was measured.
        columns: Headings.
        rows: Cells, as text.
        note: A sentence below.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def __str__(self) -> str:
        cells = [self.columns, *self.rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        cells.insert(1, ["-" * width for width in widths])
        lines = ["  ".join(_aligned(row, widths)).rstrip() for row in cells]
        return "\n".join([self.title, "", *lines, *filter(None, [self.note]), ""])


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], note: str = "") -> Table:
    """Makes a table of cells that may be numbers."""
    return Table(title, columns, [list(map(str, row)) for row in rows], note)


def finish(
    figures: Mapping[str, Any], path: Path, *tables: Table, runs: Sequence[Mapping[str, Any]] = ()
) -> None:
    """Prints the tables and writes the result as JSON.

    Args:
        figures: Everything measured, as plain values; figures beyond the finite ones are written as null.
        path: File to write.
        tables: The figures that are shown.
        runs: What was measured one by one, where that is what others read.
    """
    for shown in tables:
        sys.stdout.write(f"{shown}\n")
    write_result(figures, path, *tables, runs=runs)


def write_result(
    figures: Mapping[str, Any],
    path: Path,
    *tables: Table,
    runs: Sequence[Mapping[str, Any]] = (),
    run: Mapping[str, Any] | None = None,
) -> None:
    """Writes the result as JSON, as `finish` does; an earlier one of that name is replaced at once.

    Args:
        figures: As for `finish`.
        path: File to write.
        tables: The figures that are shown.
        runs: As for `finish`.
        run: What `this_run` gave before, where one process writes often.
    """
    from sa_study.utils.files import write_atomically

    shown = [one._asdict() for one in tables]
    result = {"run": run or this_run(), "tables": shown, "figures": _finite(figures)}
    if runs:
        result["runs"] = _finite(runs)
    text = json.dumps(result, indent=2, allow_nan=False) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write(text.encode()))


def this_run() -> dict[str, Any]:
    """Command, machine, versions, time and commit of this process."""
    from sa_study.provenance import describe_run

    run = describe_run()
    return {**run, "command": _published(run["command"])}


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Pads the cells: the first column to the right, the others to the left."""
    return [c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]


def _finite(value: Any) -> Any:
    """Replaces numbers that JSON does not have by None."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _published(command: str) -> str:
    """The command as the documents show it, without paths of this machine."""
    command = re.sub(r" /\S*/(?=\S)", " ", re.sub(r" --json[= ]\S+", "", command))
    return "python benchmarks/" + re.sub(r"(--data-dir)[= ]\S+", r"\1 DIR", command)


def _status_mib(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {field}")
