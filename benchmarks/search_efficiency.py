"""How many epochs a study needs to find good settings, beside random search and Ray's stock Optuna search.

Usage: python benchmarks/search_efficiency.py [--seeds N] [--budget EPOCHS] [--slots N] [--jobs N]

Training is replaced by `surrogate.py`: a landscape a seed, with a known optimum. All else is the real code,
driven by `simulated_search.py`. All methods have the same landscapes, luck, noise, slots and epochs, and none
knows anything beforehand: ours, which begins with a baseline that it never stops, gets one drawn at random.
Each is judged by the expected mAP of what its user would get, at the epoch whose weights are offered. A study
has reached random search's result when it would, if ended then, return something at least as good.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import platform
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.samplers import RandomSampler
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from simulated_search import Method, OptunaMethod, Simulation, StudyMethod
from surrogate import EPOCHS, draw_landscape

from sa_study import keys

MARKS = 20
"""Points at which the regret is recorded."""

QUANTILES = {"quartile": 0.25, "median": 0.5, "upper quartile": 0.75, "worst": 1.0}


def epoch_asha() -> AsyncHyperBandScheduler:
    """What one writes who follows Ray's examples."""
    return AsyncHyperBandScheduler(
        "training_iteration", keys.MAP, "max", max_t=EPOCHS[1], grace_period=10, reduction_factor=3
    )


METHODS: dict[str, Callable[[int, int], Method]] = {
    "random": lambda slots, seed: OptunaMethod(FIFOScheduler(), slots, seed, RandomSampler(seed)),
    "random + ASHA": lambda slots, seed: OptunaMethod(epoch_asha(), slots, seed, RandomSampler(seed)),
    "OptunaSearch + ASHA": lambda slots, seed: OptunaMethod(epoch_asha(), slots, seed),
    "ours": StudyMethod,
}
RANDOM, _, STOCK, OURS = METHODS


def run_seed(seed: int, budget: int, slots: int) -> dict[str, dict[str, Any]]:
    """Every method on one landscape: regret over time, and when it reached random search's result."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("ray").setLevel(logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    landscape = draw_landscape(seed)
    results: dict[str, dict[str, Any]] = {}
    aim = math.inf
    for name, make in METHODS.items():
        simulation = Simulation(make(slots, seed), landscape, slots)
        values = np.fromiter(simulation.values(budget), float)
        if name == RANDOM:
            aim = values[-1]
        (reached,) = np.nonzero(values >= aim)
        marks = np.linspace(0, budget, MARKS + 1).astype(int)[1:] - 1
        results[name] = {
            "reached": (int(reached[0]) + 1) / budget if len(reached) else math.inf,
            "regret": landscape.optimum - values[-1],
            "regret_over_time": (landscape.optimum - values[marks]).tolist(),
            "trials": len(simulation.trials),
            "whole_trials": sum(trial.finished for trial in simulation.trials),
        }
    return results


def spread(values: Sequence[float]) -> dict[str, float]:
    """Quantiles, each a value that occurred (the greater of two), so that `never` may be among them."""
    return {name: float(np.quantile(values, q, method="higher")) for name, q in QUANTILES.items()}


def summarise(runs: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Each method over all seeds."""
    summary = {}
    for name in METHODS:
        results = [run[name] for run in runs]
        reached = [result["reached"] for result in results]
        summary[name] = {
            "reached": spread(reached),
            "never": sum(math.isinf(share) for share in reached),
            "regret": spread([result["regret"] for result in results]),
            "regret_over_time": np.median([r["regret_over_time"] for r in results], axis=0).tolist(),
            "trials": float(np.median([result["trials"] for result in results])),
            "whole_trials": float(np.median([result["whole_trials"] for result in results])),
        }
    return summary


def judge(summary: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The goals, and what was measured."""
    random, stock, ours = summary[RANDOM], summary[STOCK], summary[OURS]
    measured = [
        ("epochs to random's result, of random's own", ours["reached"], random["reached"], "median", 1 / 3),
        ("final regret, of stock's", ours["regret"], stock["regret"], "median", 1 / 4),
        ("final regret on the worst seed, of stock's", ours["regret"], stock["regret"], "worst", 1 / 2),
    ]
    goals = [
        {"goal": goal, "value": mine[place] / theirs[place], "limit": limit}
        for goal, mine, theirs, place, limit in measured
    ]
    goals.append({"goal": "seeds that never reach random's result", "value": ours["never"], "limit": 0})
    return [goal | {"met": goal["value"] <= goal["limit"]} for goal in goals]


def measure(seeds: int, budget: int, slots: int, jobs: int) -> dict[str, Any]:
    start = time.perf_counter()
    with ProcessPoolExecutor(jobs) as pool:
        runs = list(pool.map(partial(run_seed, budget=budget, slots=slots), range(seeds)))
    summary = summarise(runs)
    return {
        "seeds": seeds,
        "budget": budget,
        "slots": slots,
        "methods": summary,
        "goals": judge(summary),
        "runs": runs,
        "seconds": time.perf_counter() - start,
        "versions": {name: version(name) for name in ("ray", "optuna", "numpy")}
        | {"python": platform.python_version()},
    }


def share(value: float) -> str:
    return "never" if math.isinf(value) else f"{value:.2f}"


def table(result: dict[str, Any]) -> Table:
    title = f"{result['seeds']} landscapes, {result['budget']:,} epochs, {result['slots']} slots"
    view = Table(title=title, caption="quartile / median / upper quartile / worst")
    view.add_column("method")
    view.add_column("share of the epochs until\nrandom's final result", justify="right")
    view.add_column("never", justify="right")
    view.add_column("regret at the end, mAP", justify="right")
    view.add_column("trials\n(whole)", justify="right")
    for name, figures in result["methods"].items():
        view.add_row(
            name,
            " / ".join(map(share, figures["reached"].values())),
            str(figures["never"]),
            " / ".join(f"{value:.4f}" for value in figures["regret"].values()),
            f"{figures['trials']:.0f} ({figures['whole_trials']:.0f})",
        )
    return view


def goals_table(goals: list[dict[str, Any]]) -> Table:
    view = Table(title="Goals")
    for column in ("goal", "at most", "measured", "met"):
        view.add_column(column, justify="left" if column == "goal" else "right")
    for goal in goals:
        met = "yes" if goal["met"] else "no"
        view.add_row(goal["goal"], f"{goal['limit']:.3g}", f"{goal['value']:.3g}", met)
    return view


def finite(value: Any) -> Any:
    """The same without infinities, which JSON does not have: null is `never`."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=40, help="number of landscapes")
    parser.add_argument("--budget", type=int, default=6000, help="epochs of a study, all trials together")
    parser.add_argument("--slots", type=int, default=4, help="trials at a time")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--json", type=Path, default=Path("runs/benchmarks/search_efficiency.json"))
    options = parser.parse_args()
    result = measure(options.seeds, options.budget, options.slots, options.jobs)
    console = Console()
    console.print(table(result), goals_table(result["goals"]))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(finite(result), indent=2, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
