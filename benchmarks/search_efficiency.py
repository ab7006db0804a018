"""How many epochs a study needs to find good settings, compared with random search and Ray's OptunaSearch.

Usage: python benchmarks/search_efficiency.py [--seeds N] [--variants] [--budget EPOCHS] [--slots N] ...

Training is replaced by `simulation/landscapes.py`: a landscape a seed, with a known optimum. All else is the
real code, driven by `simulation/methods.py`. All methods have the same landscapes, luck, noise, slots and
epochs, and none knows anything beforehand: ours, which begins with a baseline that it never stops, gets one
drawn at random. Each is judged by the expected mAP of what its user would get, at the epoch whose weights are
offered.

A study has reached random search's result when it would, if ended then, return something at least as good.
One random study may be lucky, so there is also the typical result: the median of several on the landscape.
"""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import harness
import numpy as np
import optuna
from optuna.samplers import RandomSampler
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler
from simulation.landscapes import EPOCHS, Floats, draw_landscape
from simulation.methods import Method, OptunaMethod, Simulation, StudyMethod

from sa_study.metrics import names
from sa_study.settings.space import Scheduler

MARKS = 20
"""Points at which the regret is recorded."""

RANDOM_STUDIES = 9
"""Of which the median is random search's typical result."""

QUANTILES = {"quartile": 0.25, "median": 0.5, "upper quartile": 0.75, "worst": 1.0}


def asha(time_attr: str = "training_iteration", longest: int = EPOCHS[1]) -> AsyncHyperBandScheduler:
    """What one writes who follows Ray's examples: judged at 10, 30 and 90 epochs."""
    return AsyncHyperBandScheduler(
        time_attr, names.MAP, "max", max_t=longest, grace_period=10, reduction_factor=3
    )


Make = Callable[[int, int], Method]


def random_search(slots: int, seed: int) -> Method:
    """Every trial to its end."""
    return OptunaMethod(FIFOScheduler(), slots, seed, RandomSampler(seed))


METHODS: dict[str, Make] = {
    "random": random_search,
    "random + ASHA": lambda slots, seed: OptunaMethod(asha(), slots, seed, RandomSampler(seed)),
    "OptunaSearch + ASHA": lambda slots, seed: OptunaMethod(asha(), slots, seed),
    "ours": StudyMethod,
}
RANDOM, _, STOCK, OURS = METHODS

VARIANTS: dict[str, Make] = {
    "OptunaSearch, ASHA on progress": lambda slots, seed: OptunaMethod(
        asha(names.PROGRESS, longest=100), slots, seed
    ),
    "ours, tpe": partial(StudyMethod, sampler="tpe"),
    "ours, random": partial(StudyMethod, sampler="random"),
    "ours, no stopping": partial(StudyMethod, rule=Scheduler("none")),
    "ours, grace 5": partial(StudyMethod, rule=Scheduler(grace_period=5)),
    "ours, grace 15": partial(StudyMethod, rule=Scheduler(grace_period=15)),
    "ours, reduction 4": partial(StudyMethod, rule=Scheduler(reduction_factor=4)),
}


def run_seed(seed: int, budget: int, slots: int, methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Every method on one landscape: regret over time, and when it reached random search's result."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("ray").setLevel(logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    landscape = draw_landscape(seed)

    def study(make: Make, search_seed: int) -> tuple[Floats, Simulation]:
        simulation = Simulation(make(slots, search_seed), landscape, slots)
        return np.fromiter(simulation.values(budget), float), simulation

    others = range(seed + 1, seed + RANDOM_STUDIES)
    results = [study(random_search, search_seed)[0][-1] for search_seed in (seed, *others)]
    aims = {"reached": results[0], "reached_typical": float(np.median(results))}
    marks = np.linspace(0, budget, MARKS + 1).astype(int)[1:] - 1
    found = {}
    for name in methods:
        values, simulation = study((METHODS | VARIANTS)[name], seed)
        found[name] = {
            **{aim: first_share(values, least) for aim, least in aims.items()},
            "regret": landscape.optimum - values[-1],
            "regret_over_time": (landscape.optimum - values[marks]).tolist(),
            "trials": len(simulation.trials),
            "whole_trials": sum(trial.finished for trial in simulation.trials),
        }
    return found


def first_share(values: Floats, least: float) -> float:
    """The share of the epochs after which a value was first reached, infinite for never."""
    (reached,) = np.nonzero(values >= least)
    return (int(reached[0]) + 1) / len(values) if len(reached) else math.inf


def spread(values: Sequence[float]) -> dict[str, float]:
    """Quantiles, each a value that occurred (the greater of two), so that `never` may be among them."""
    return {name: float(np.quantile(values, q, method="higher")) for name, q in QUANTILES.items()}


def summarise(results: list[dict[str, Any]]) -> dict[str, Any]:
    """One method over all seeds."""
    columns = {name: [result[name] for result in results] for name in results[0]}
    return {
        **{name: spread(columns[name]) for name in ("reached", "reached_typical", "regret")},
        "never": sum(map(math.isinf, columns["reached"])),
        "never_typical": sum(map(math.isinf, columns["reached_typical"])),
        "regret_over_time": np.median(columns["regret_over_time"], axis=0).tolist(),
        **{name: float(np.median(columns[name])) for name in ("trials", "whole_trials")},
    }


def judge(methods: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The goals, and what was measured."""
    random, stock, ours = methods[RANDOM], methods[STOCK], methods[OURS]
    reached, regret, beside = ours["reached"]["median"], ours["regret"], stock["regret"]
    goals: list[tuple[str, float, float]] = [
        ("epochs to random's result, of random's budget, median", reached, 1 / 3),
        (
            "... of the epochs until random itself had it, median",
            reached / random["reached"]["median"],
            1 / 3,
        ),
        ("final regret, of stock's, median", regret["median"] / beside["median"], 1 / 4),
        ("final regret, of stock's, worst seed", regret["worst"] / beside["worst"], 1 / 2),
        ("seeds that never reach random's result", ours["never"], 0),
        ("seeds that never reach random's typical result", ours["never_typical"], 0),
    ]
    return [{"goal": g, "limit": limit, "value": value, "met": value <= limit} for g, value, limit in goals]


def measure(seeds: int, budget: int, slots: int, jobs: int, methods: Sequence[str]) -> dict[str, Any]:
    start = time.perf_counter()
    work = partial(run_seed, budget=budget, slots=slots, methods=methods)
    with ProcessPoolExecutor(jobs) as pool:
        runs = list(pool.map(work, range(seeds)))
    summary = {name: summarise([run[name] for run in runs]) for name in methods}
    return {
        "seeds": seeds,
        "budget": budget,
        "slots": slots,
        "methods": summary,
        "goals": judge(summary),
        "runs": runs,
        "seconds": time.perf_counter() - start,
    }


def share(value: float) -> str:
    return "never" if math.isinf(value) else f"{value:.2f}"


def tables(result: dict[str, Any]) -> list[harness.Table]:
    rows = [
        (
            name,
            " / ".join(map(share, figures["reached"].values())),
            figures["never"],
            " / ".join(map(share, figures["reached_typical"].values())),
            figures["never_typical"],
            " / ".join(f"{value:.4f}" for value in figures["regret"].values()),
            f"{figures['trials']:.0f} ({figures['whole_trials']:.0f})",
        )
        for name, figures in result["methods"].items()
    ]
    columns = (
        "method",
        "share of the epochs until random's result",
        "never",
        "until random's typical result",
        "never",
        "regret at the end, mAP",
        "trials (whole)",
    )
    title = f"{result['seeds']} landscapes, {result['budget']:,} epochs, {result['slots']} slots"
    goals = [
        (goal["goal"], f"{goal['limit']:.3g}", f"{goal['value']:.3g}", "yes" if goal["met"] else "no")
        for goal in result["goals"]
    ]
    return [
        harness.table(title, columns, rows, "quartile / median / upper quartile / worst"),
        harness.table("Goals", ("goal", "at most", "measured", "met"), goals),
    ]


def main() -> None:
    parser = harness.argument_parser(__doc__, "search_efficiency")
    parser.add_argument("--seeds", type=int, default=40, help="number of landscapes")
    parser.add_argument("--budget", type=int, default=6000, help="epochs of a study, all trials together")
    parser.add_argument("--slots", type=int, default=4, help="trials at a time")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--variants", action="store_true", help="also measure other settings of ours")
    options = parser.parse_args()
    methods = [*METHODS, *(VARIANTS if options.variants else ())]
    result = measure(options.seeds, options.budget, options.slots, options.jobs, methods)
    harness.finish(result, options.json, *tables(result))


if __name__ == "__main__":
    main()
