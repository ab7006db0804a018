"""All that only a GPU can tell, in one run of at most ten minutes: is what it computes right, and how fast?

Usage: python benchmarks/gpu.py [--minutes N] [--only SECTION ...] [--tiny] [--json FILE]

Needs PyTorch, torchvision, numpy, SciPy and Pillow. Results are compared with those of the CPU, of eager
PyTorch, and of images that are streamed; `WRONG` is a difference beyond what is allowed. Speeds are those of
the paper's configuration (ResNet-50, 384×128) beside a plain PyTorch step and the rate of a large matrix
product, measured in turns. The file is written after every measurement, so that a run that was cut counts;
what there was no time for is "not measured"; --only measures it later, and keeps the other sections of a file
that the same commit wrote on the same machine. --tiny rehearses all on a CPU, whose figures mean nothing.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from gpu_checks import beside, checks, rankings, speed
from gpu_checks.sizes import DEVICE, FULL, TINY, Job, Sizes
from harness import Table, argument_parser, table, this_run, write_result

from sa_study.utils.errors import one_line

NOT_MEASURED = "not measured"

Row = dict[str, Any]


class Section(NamedTuple):
    """A table, and what fills it."""

    title: str
    jobs: Callable[[Sizes], Iterator[Job]]


SECTIONS = {
    "checks": Section("Is it right?", checks.jobs),
    "training": Section("Training and features, images a second", speed.jobs),
    "rankings": Section("Ranking and re-ranking", rankings.jobs),
    "loader": Section("Beside a conventional pipeline", beside.loader_jobs),
    "trials": Section("Trials at a time on one GPU", beside.trial_jobs),
    "compiled-checks": Section("Is it right when it is compiled?", checks.compiled_jobs),
    "compiled": Section("Compiled training, images a second", speed.compiled_jobs),
}
"""In the order of what matters most where time is short."""


def measure(job: Callable[[], Row]) -> Row:
    """The figures of a job; of one that fails the reason, so that the others go on."""
    try:
        return job()
    except Exception as error:  # whatever a GPU, a driver or a compiler may raise
        return {"error": f"{type(error).__name__}: {one_line(error)}"}
    finally:
        if DEVICE.type == "cuda":
            gc.collect()  # networks are parts of cycles
            torch.cuda.empty_cache()


def as_table(title: str, rows: list[Row]) -> Table:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [[cell(row[column]) if column in row else "" for column in columns] for row in rows]
    return table(title, columns, cells)


def cell(value: Any) -> str:
    if value is None:
        return NOT_MEASURED
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def run(sizes: Sizes, names: list[str], seconds: float, file: Path) -> dict[str, list[Row]]:
    """Measures the sections that are named; after this many seconds no further one is begun."""
    end = time.monotonic() + seconds
    about = this_run()
    found = earlier_sections(file, about) if len(names) < len(SECTIONS) else {}
    for name in names:
        rows = found[name] = []
        for what, job in SECTIONS[name].jobs(sizes):
            start = time.monotonic()
            figures = measure(job) if start < end else {"error": f"{NOT_MEASURED}: time was up"}
            rows.append({"what": what, **figures, "took, s": time.monotonic() - start})
            tables = (as_table(SECTIONS[done].title, of_section) for done, of_section in found.items())
            write_result({"sections": found}, file, *tables, run=about)
        sys.stdout.write(f"{as_table(SECTIONS[name].title, rows)}\n")
        sys.stdout.flush()
    return found


def earlier_sections(file: Path, about: dict[str, Any]) -> dict[str, list[Row]]:
    """What a file holds already, if the same commit measured it on the same machine."""
    with suppress(OSError, ValueError, KeyError):
        earlier = json.loads(file.read_text())
        if all(earlier["run"][part] == about[part] for part in ("git", "sources", "hardware")):
            return dict(earlier["figures"]["sections"])
    return {}


def main() -> None:
    parser = argument_parser(__doc__, "gpu")
    parser.add_argument("--minutes", type=float, default=8.0, help="time after which nothing more is begun")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), metavar="SECTION")
    parser.add_argument("--tiny", action="store_true", help="rehearse on a CPU, in seconds")
    asked = parser.parse_args()
    if DEVICE.type == "cpu" and not asked.tiny:
        sys.exit("PyTorch sees no CUDA device, which this benchmark measures; --tiny rehearses it on the CPU")
    found = run(TINY if asked.tiny else FULL, asked.only, 60 * asked.minutes, asked.json)
    wrong = [row["what"] for rows in found.values() for row in rows if is_wrong(row)]
    if wrong:
        sys.exit(f"wrong, or failed: {'; '.join(wrong)}")


def is_wrong(row: Row) -> bool:
    failed = "error" in row and not row["error"].startswith(NOT_MEASURED)
    return failed or row.get("result") == "WRONG"


if __name__ == "__main__":
    main()
