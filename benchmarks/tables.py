"""Makes the tables of docs/benchmarks.md from the results in benchmarks/results.

Usage: python benchmarks/tables.py [RESULT.json ...]

Results that are named, such as runs/benchmarks/ranking.json, are copied to benchmarks/results first. A result
holds `tables` (see `harness.Table`) and either `run` (command, machine, time, commit) or, where the figures
were copied from an earlier document, `source`.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"

TABLES = {
    "speed": ("training", "recipe", "packing", "ranking", "reranking", "decoding", "startup", "scaling"),
    "avx2": ("training_avx2", "ranking_avx2", "reranking_avx2", "decoding_avx2"),
    "gpu": ("gpu", "training_gpu", "packing_gpu", "ranking_gpu", "reranking_gpu"),
    "trust": ("coverage",),
    "studies": (
        "sample_data",
        "demo_confirm",
        "faults",
        "overhead",
        "first_trials",
        "memory",
        "search_efficiency",
        "search_real",
        "search_real_development",
    ),
    "market": ("market_resume", "market_confirm", "market_test", "market_search", "market_recipe"),
}
"""Names of results by table of the page."""

RAW = "runs"
"""Key of figures that are too large to be committed."""

BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def take(path: Path) -> None:
    """Copies a result to benchmarks/results without its raw figures, a GPU's or AVX2's under its own name."""
    result = json.loads(path.read_text())
    for part in (result, result["figures"]):
        part.pop(RAW, None)
    hardware = result["run"]["hardware"]
    kind = "gpu" if hardware["gpus"] else hardware["instruction_set"].lower()
    suffix = f"_{kind}" if f"{path.stem}_{kind}" in TABLES.get(kind, ()) else ""
    text = json.dumps(result, indent=2, ensure_ascii=False)
    (RESULTS / f"{path.stem}{suffix}.json").write_text(f"{text}\n")


def section(names: Iterable[str]) -> str:
    """Returns the tables of some benchmarks, each with its command and where its figures come from."""
    lines = []
    for name in names:
        path = RESULTS / f"{name}.json"
        script = f"python benchmarks/{name.removesuffix('_gpu').removesuffix('_avx2')}.py"
        if not path.exists():
            lines += [f"`{script}`: not measured yet.", ""]
            continue
        result = json.loads(path.read_text())
        lines += [f"`{result.get('run', result.get('source'))['command']}`: {origin(result)}.", ""]
        for shown in result["tables"]:
            lines += markdown(**shown)
    return "\n".join(lines)


def markdown(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> list[str]:
    """Returns the lines of a table in Markdown."""
    heading = [f"{title}:", ""] if title else []
    below = [f"{note}.", ""] if note else []
    lines = [columns, ["---"] * len(columns), *rows]
    return [*heading, *(f"| {' | '.join(cells)} |" for cells in lines), "", *below]


def origin(result: dict[str, Any]) -> str:
    """Machine, versions, date and commit of a result, in words."""
    if "source" in result:
        source = result["source"]
        return f"copied from {source['document']} at commit {source['commit']} ({source['machine']})"
    run, hardware = result["run"], result["run"]["hardware"]
    machine = ", ".join(hardware["gpus"]) or f"{hardware['cpus']} cores of {hardware['cpu']}"
    git = run["git"]
    commit = f"commit {git['commit'][:10]}{' with changes' if git['dirty'] else ''}" if git else "no commit"
    return f"{machine}, PyTorch {run['packages']['torch']}, {run['time'][:10]}, {commit}"


def filled(page: str) -> str:
    """The page with its tables made from the results."""
    return BLOCK.sub(lambda found: f"{found[1]}{section(TABLES[found[2]])}\n{found[3]}", page)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="*", type=Path, metavar="RESULT.json", help="results to take in")
    for path in parser.parse_args().results:
        take(path)
    PAGE.write_text(filled(PAGE.read_text()))


if __name__ == "__main__":
    main()
