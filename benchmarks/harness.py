"""What the benchmarks share: options, clocks, peak memory, a plain table, and the JSON beside it.

Needs the standard library, numpy and torch alone, so that a bare machine with a GPU can run what imports it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
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


def options(doc: str | None, name: str) -> argparse.ArgumentParser:
    """A parser with the benchmark's own text as help, and `--json`."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = ROOT / "runs" / "benchmarks" / f"{name}.json"
    parser.add_argument(
        "--json", type=Path, default=default, metavar="FILE", help="figures; default %(default)s"
    )
    return parser


def seconds(work: Callable[[], object]) -> float:
    """The wall-clock time of one call, that of the GPU's work included."""
    wait()
    start = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - start


def in_turns(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of several pieces of work, taken in turns, so that a machine that slows down slows them all.

    Returns:
        By name the seconds of every round; a round before them warms up.
    """
    for work in works.values():
        work()
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            taken[name].append(seconds(work))
    return taken


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over rounds of ours to theirs."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def wait() -> None:
    """Waits for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@contextmanager
def peak_memory() -> Iterator[dict[str, float]]:
    """Measures the peak of resident memory within, beyond what the process held at its beginning.

    Yields:
        A dict that afterwards holds `before_mib`, `peak_mib` and `growth_mib`; on a GPU also `gpu_mib`, the
        growth of PyTorch's allocations there. Linux only: its high-water mark can be set back.
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


def apart(function: Callable[..., T], *arguments: Any) -> T:
    """Calls a module's function in a fresh process, whose memory nothing else has touched."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def fitted_exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The exponent of the power law that fits costs by size best, in logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table of plain text: the first column at the left, the others at the right."""
    cells = [[str(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(columns))]
    lines = [
        "  ".join(
            c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    return "\n".join([title, "", lines[0], "  ".join("-" * width for width in widths), *lines[1:], ""])


def finish(result: Mapping[str, Any], path: Path, *tables: str) -> None:
    """Prints the tables and writes the figures with the machine's description."""
    for text in tables:
        sys.stdout.write(f"{text}\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**result, "machine": machine()}, indent=2) + "\n")


def machine() -> dict[str, Any]:
    """Processor, cores, GPU and versions."""
    from sa_study.utils.machine import usable_cpus

    return {
        "processor": _processor(),
        "cores": usable_cpus(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def _processor() -> str:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.machine()


def _status_mib(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {field}")
