"""Fault tolerance: tiny studies killed at random and at chosen moments, resumed, audited and compared.

Usage: python benchmarks/faults.py [--kills N] [--seed N] [--studies DIR] [--json FILE]

Each study is launched, killed (a worker, the driver, its process group; Ctrl-C, SIGTERM, Ctrl-C twice),
resumed, killed again, and so on, and audited at its end. Studies whose outcome must not depend on timing
are compared with an undisturbed one: trials, settings, states and values must be equal to the last bit. A
kill whose moment did not come before its study's end is used on a further study. Clean studies are
deleted. About 15 minutes on two cores.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import random
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import harness
from fault_injection.campaign import Campaign, Case, Kill, Result, differences
from fault_injection.driver import KINDS
from fault_injection.moments import MOMENTS

from sa_study.data.sample import make_sample_data

CASES = (
    Case("random", "none", slots=1),
    Case("multifidelity", "asha", slots=1),
    Case("random", "none", slots=2, time_budget=15),
    Case("multifidelity", "asha", slots=2),
    Case("random", "asha", slots=1, time_budget=15),
    Case("multifidelity", "none", slots=2),
)
_UNFIT = (("worker",), (), ("worker", "ctrl-c", "sigterm", "ctrl-c twice"))
"""Kinds of kills without effect in a phase: at first there is no worker, and the end takes under a second."""

_ROUNDS = 3
"""Maximum number of further studies of each kind, for kills whose moment did not come."""


def plan(count: int, rng: random.Random) -> list[Kill]:
    """As many kills as asked for: every kind and moment in turn, and each study struck in several ways."""
    kinds, moments = rng.sample(KINDS, len(KINDS)), itertools.cycle(MOMENTS)
    kills = []
    for index, moment in enumerate(itertools.islice(moments, count)):
        turn = index + index // len(CASES)
        while kinds[turn % len(kinds)] in _UNFIT[moment.phase]:
            turn += 1
        kills.append(Kill(kinds[turn % len(kinds)], moment))
    return kills


def shares(kills: list[Kill]) -> Iterator[tuple[Case, list[Kill]]]:
    """Yields each study with its kills, in the order of a launch's phases."""
    for index, case in enumerate(CASES):
        mine = kills[index :: len(CASES)]
        if mine:
            yield case, sorted(mine, key=lambda kill: kill.moment.phase)


class Bench:
    """Runs studies, each compared to its undisturbed one, which is run once."""

    def __init__(self, folder: Path, rng: random.Random):
        self._folder = folder
        self._rng = rng
        self._references: dict[Case, Path] = {}
        self._data = folder / "data"
        self._numbers = itertools.count()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        make_sample_data(self._data, identities=10, images_per_camera=2)

    def run(self, case: Case, kills: list[Kill]) -> Result:
        """Runs one study through its kills."""
        result = self._campaign(case, kills, f"study_{next(self._numbers)}")
        if case.reference and not result.failures:
            result.differs = differences(result.folder, self._reference(case.reference))
        struck = ", ".join(f"{kill['kind']} ({kill['moment']})" for kill in result.kills)
        sys.stdout.write(f"{case}: {struck or 'nothing'}; {'clean' if result.clean else 'NOT CLEAN'}\n")
        if result.clean:
            shutil.rmtree(result.folder)
        return result

    def _reference(self, case: Case) -> Path:
        if case not in self._references:
            alone = self._campaign(case, [], f"alone_{len(self._references)}")
            if not alone.clean:
                raise SystemExit(f"{case}, left alone: {alone}")
            self._references[case] = alone.folder
        return self._references[case]

    def _campaign(self, case: Case, kills: list[Kill], name: str) -> Result:
        return Campaign(case, kills, self._folder / name, self._data, self._rng).run()


def run_all(bench: Bench, kills: list[Kill]) -> list[Result]:
    """Runs studies until every kill has happened."""
    results: list[Result] = []
    for _ in range(_ROUNDS):
        round_ = [bench.run(case, mine) for case, mine in shares(kills)]
        results += round_
        kills = [kill for result in round_ for kill in result.missed]
    return results


def table(results: list[Result]) -> harness.Table:
    rows = []
    for result in results:
        kinds = Counter(kill["kind"] for kill in result.kills)
        kills = ", ".join(f"{kinds[kind]} {kind}" for kind in KINDS if kinds[kind])
        alike = "–" if result.differs is None else "differs" if result.differs else "equal"
        found = "not done" if result.failures else f"{len(result.audit)} lines" if result.audit else "clean"
        rows.append((result.name, kills, result.launches, found, alike, len(result.left_behind) or "–"))
    struck = sum(len(result.kills) for result in results)
    survived = sum(len(result.kills) for result in results if result.clean)
    columns = ("study", "kills", "launches", "audit", "as undisturbed", "left behind")
    note = f"{survived} kills survived of {struck}"
    return harness.table("Studies under fault injection", columns, rows, note)


def summary(results: list[Result], options: argparse.Namespace) -> dict[str, Any]:
    return {
        "seed": options.seed,
        "kills": sum(len(result.kills) for result in results),
        "survived": sum(len(result.kills) for result in results if result.clean),
        "asked_for": options.kills,
        "studies": [
            {**dataclasses.asdict(result), "folder": str(result.folder), "missed": len(result.missed)}
            for result in results
        ],
    }


def main() -> None:
    parser = harness.argument_parser(__doc__, "faults")
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--studies", type=Path, default=Path("runs/faults"), metavar="DIR", help="emptied first"
    )
    options = parser.parse_args()
    rng = random.Random(options.seed)
    results = run_all(Bench(options.studies.absolute(), rng), plan(options.kills, rng))
    found = summary(results, options)
    harness.finish(found, options.json, table(results))
    for result in results:
        for line in (*result.failures, *result.audit, *(result.differs or ()), *result.left_behind):
            sys.stdout.write(f"{result.folder.name}: {line}\n")
    if found["survived"] < found["kills"] or found["kills"] < options.kills:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
