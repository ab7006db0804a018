"""How time and memory grow, one size at a time: images, identities, gallery, trials, nodes.

Usage: python benchmarks/scaling.py [--only SECTION,SECTION…] [--json FILE]

Costs of training and testing are those of a fresh process. A table's last line is the exponent of the power
law that fits best: 0 for a cost that stays, 1 for one that is proportional, 2 for one that is quadratic; a
part that stays makes it look smaller. Everything is drawn; the network is small; nodes are Ray's on this
machine, whose trials sleep. About two and a half minutes on two cores.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import harness

SECTIONS = {
    "images": ("growth.training", "Images: decoding, and one epoch's batches of 256×128"),
    "identities": ("growth.training", "Identities: a step of 16 images of 64×32, ResNet-18 from scratch"),
    "gallery": ("growth.testing", "Gallery: 1,000 queries, 256 columns"),
    "trials": ("growth.study", "Trials: one more in a study that has so many"),
    "nodes": ("growth.nodes", "Nodes: of one CPU each on this machine; trials of 4 s that only sleep"),
}
NOT_EVERYWHERE = {"ray": "Ray", "optuna": "Optuna", "yaml": "PyYAML"}


def measure(section: str) -> dict[str, Any]:
    """A section's rows and exponents, or why there are none."""
    module, title = SECTIONS[section]
    start = time.perf_counter()
    try:
        rows = getattr(importlib.import_module(module), section)()
    except ModuleNotFoundError as error:
        if error.name not in NOT_EVERYWHERE:
            raise
        return {"title": title, "missing": f"{NOT_EVERYWHERE[error.name]} is not installed"}
    return {
        "title": title,
        "rows": rows,
        "exponents": exponents(section, rows),
        "seconds": time.perf_counter() - start,
    }


def exponents(size: str, rows: Sequence[Mapping[str, float]]) -> dict[str, float | None]:
    """By cost its exponent; None for one that is 0 somewhere."""
    found: dict[str, float | None] = {}
    for name in rows[0]:
        costs = [row[name] for row in rows]
        if name != size:
            fits = min(costs) > 0
            found[name] = harness.fitted_exponent([row[size] for row in rows], costs) if fits else None
    return found


def table(section: str, result: Mapping[str, Any]) -> harness.Table:
    if "missing" in result:
        return harness.table(result["title"], (section,), [], f"not measured: {result['missing']}")
    costs = list(result["exponents"])
    rows = [[f"{row[section]:,}", *(f"{row[name]:.3g}" for name in costs)] for row in result["rows"]]
    fits = ["–" if found is None else f"{found:.2f}" for found in result["exponents"].values()]
    title = f"{result['title']} ({result['seconds']:.0f} s)"
    return harness.table(title, (section, *costs), [*rows, ["exponent", *fits]])


def main() -> None:
    parser = harness.argument_parser(__doc__, "scaling")
    parser.add_argument("--only", metavar="SECTIONS", help=f"some of {','.join(SECTIONS)}")
    options = parser.parse_args()
    chosen = options.only.split(",") if options.only else list(SECTIONS)
    for section in chosen:
        if section not in SECTIONS:
            parser.error(f"--only: {section!r} is not one of {', '.join(SECTIONS)}")
    results = {section: measure(section) for section in chosen}
    tables = [table(name, found) for name, found in results.items()]
    harness.finish({"sections": results}, options.json, *tables)


if __name__ == "__main__":
    main()
