"""How good the settings are that a study finds on real learning curves, beside random search and Ray's own.

Usage: python benchmarks/search_real.py SUITE [--tasks START:STOP:STEP] [--seeds N] [--methods ours,tpe] ...

The suite, a folder of LCBench's surrogate or of recorded curves (see `simulation/suites.py`), takes the
place of training. All else is the real code in simulated time, driven by `simulation/methods.py`. A study's
cost is the epochs that its slots train: as many as in `--trainings` whole trainings. Its regret is what the
score lacks that it would return at that moment, as a share of what the median of random configurations lacks.
Even tasks (0:34:2) are for development, odd ones (1:34:2) for one last measurement.

Methods: `ours`; `tpe` and other samplers of this package in the same machinery; `stock`, Ray's OptunaSearch
with ASHA; `random-asha`, the same with random suggestions; `random`, each trial to its end. Ray's ASHA has
our grace period. None knows anything beforehand: our baseline, which is never stopped, is drawn at random.

Methods are compared by task: the mean over the seeds of the logarithm of one regret over the other's, and its
interval over tasks drawn anew. Regrets below a thousandth count as one.

`--with` adds the runs of earlier results, of this script or of `search_peers.py`, to the tables; `ours` comes
first in them. `--methods ""` runs nothing and only prints.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import sys
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

import harness
import numpy as np
import optuna
from optuna.samplers import BaseSampler, RandomSampler
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler
from simulation.landscapes import Floats
from simulation.methods import Method, OptunaMethod, Simulation, Study, StudyMethod
from simulation.suites import Suite, SuiteTask, load_suite

from sa_study.metrics import names
from sa_study.settings.run import Settings
from sa_study.settings.space import Scheduler, SearchSpace
from sa_study.tuning.search.samplers import SAMPLERS
from sa_study.tuning.search.suggest import distribution

OURS = "multifidelity"
"""The sampler that is measured as `ours`."""

METHODS = ("ours", "tpe", "random-asha", "random", "stock")
MIN_REGRET = 1e-3
RESAMPLES = 10_000

HUNDREDTH = slice(90, 110)
"""The suggestions whose mean time is given as that of the hundredth."""

Run = dict[str, Any]

Simulate = Callable[[str, Suite, SuiteTask, int, int], Study]
"""Makes a study of a method's name, a suite, its task, a number of slots and a seed."""


class SuiteSpace(SearchSpace):
    """A search space of settings that are not this program's."""

    def settings(self, suggested: Any) -> Settings:
        """Any settings: the suite reads what was suggested."""
        return Settings()


@cache
def suite_of(folder: Path) -> Suite:
    """The suite, read once in a process."""
    return load_suite(folder)


def make_method(name: str, suite: Suite, slots: int, seed: int) -> Method:
    """The searcher and the scheduler that a method's name stands for."""
    distributions = {key: distribution(parameter) for key, parameter in suite.parameters.items()}
    drawn = optuna.create_study(sampler=RandomSampler(seed)).ask(distributions)
    space = SuiteSpace(suite.parameters, {}, drawn.params)
    if name == "ours" or name in {*SAMPLERS} - {"random"}:
        return StudyMethod(slots, seed, OURS if name == "ours" else name, space=space)
    sampler: BaseSampler | None = None if name == "stock" else RandomSampler(seed)
    if name == "random":
        return OptunaMethod(FIFOScheduler(), slots, seed, sampler, space)
    rule = Scheduler()
    asha = AsyncHyperBandScheduler(
        "training_iteration",
        names.MAP,
        "max",
        max_t=suite.epochs,
        grace_period=max(1, round(suite.epochs * rule.grace_period / 100)),
        reduction_factor=rule.reduction_factor,
    )
    return OptunaMethod(asha, slots, seed, sampler, space)


def simulate(name: str, suite: Suite, task: SuiteTask, slots: int, seed: int) -> Simulation:
    """A study of a method that runs in this package's simulation."""
    return Simulation(make_method(name, suite, slots, seed), task, slots)


def run_one(
    job: tuple[int, int, str], folder: Path, trainings: Sequence[int], slots: int, simulate: Simulate
) -> Run:
    """One study: a seed, a task and a method."""
    seed, index, name = job
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("ray").setLevel(logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    start = time.perf_counter()
    suite = suite_of(folder)
    task = suite.tasks[index]
    study = simulate(name, suite, task, slots, seed)
    found = list(study.values(suite.epochs * max(trainings)))
    suggesting = study.suggest_seconds
    return {
        "suite": suite.name,
        "task": task.name,
        "index": index,
        "seed": seed,
        "method": name,
        "regret": {str(n): task.regret(found[suite.epochs * n - 1]) for n in trainings},
        "trials": len(study.trials),
        "whole_trials": sum(trial.finished for trial in study.trials),
        "seconds": time.perf_counter() - start,
        "suggest_seconds": float(np.mean(suggesting)),
        "suggest_seconds_100": float(np.mean(suggesting[HUNDREDTH])) if suggesting[HUNDREDTH] else None,
    }


def mean_by_task(runs: Iterable[Run], method: str, trainings: str, *, logarithm: bool) -> dict[int, float]:
    """The mean regret over the seeds, or that of its binary logarithm, by the task's index."""
    by_task: dict[int, list[float]] = {}
    for run in runs:
        if run["method"] == method:
            by_task.setdefault(run["index"], []).append(run["regret"][trainings])
    if logarithm:
        return {i: float(np.log2(np.maximum(regrets, MIN_REGRET)).mean()) for i, regrets in by_task.items()}
    return {index: float(np.mean(regrets)) for index, regrets in by_task.items()}


def interval(differences: Floats) -> Floats:
    """The mean of the tasks' differences, and the ends of its 95 % bootstrap interval."""
    rng = np.random.default_rng(0)
    means = rng.choice(differences, (RESAMPLES, len(differences))).mean(axis=1)
    return np.array([differences.mean(), *np.quantile(means, (0.025, 0.975))])


def compare(runs: Sequence[Run], method: str, trainings: str) -> tuple[str, ...]:
    """A method's mean regret, and the ratio of the first method's to it."""
    regrets = mean_by_task(runs, method, trainings, logarithm=False)
    cells = (method, trainings, f"{np.mean(list(regrets.values())):.3f}" if regrets else "not run")
    if method == runs[0]["method"] or not regrets:
        return (*cells, "", "", "")
    ours, theirs = (
        mean_by_task(runs, name, trainings, logarithm=True) for name in (runs[0]["method"], method)
    )
    tasks = sorted(ours.keys() & theirs.keys())
    differences = np.array([ours[task] - theirs[task] for task in tasks])
    ratio, low, high = 2 ** interval(differences)
    return (*cells, f"{ratio:.2f}", f"{low:.2f} to {high:.2f}", f"{100 * np.mean(differences < 0):.0f} %")


def beaten_by_random(runs: Sequence[Run], trainings: str) -> str:
    """Tasks on which the first method's regret is over 1.25 times that of `random-asha`, if it was run."""
    ours = mean_by_task(runs, runs[0]["method"], trainings, logarithm=False)
    random = mean_by_task(runs, "random-asha", trainings, logarithm=False)
    if not random:
        return ""
    tasks = {run["index"]: run["task"] for run in runs}
    worse = [tasks[i] for i in sorted(ours.keys() & random.keys()) if ours[i] > 1.25 * random[i] + MIN_REGRET]
    return f"Above 1.25 times random-asha at {trainings} trainings: {', '.join(worse) or 'no task'}"


def fewer_runs(runs: Sequence[Run], methods: Sequence[str]) -> str:
    """The methods that were not run as often as others."""
    counts = {name: sum(run["method"] == name for run in runs) for name in methods}
    fewer = [f"{name} {count}" for name, count in counts.items() if count < max(counts.values())]
    return f"Runs fewer than {max(counts.values())}: {', '.join(fewer)}" if fewer else ""


def tables(runs: Sequence[Run], methods: Sequence[str], trainings: Sequence[int]) -> list[harness.Table]:
    """One table for the development tasks and one for those of acceptance, as far as they were run."""
    shown = []
    for remainder, kind in enumerate(("development", "acceptance")):
        part = [run for run in runs if run["index"] % 2 == remainder]
        if not part:
            continue
        part.sort(key=lambda run: methods.index(run["method"]))
        seeds = len({run["seed"] for run in part})
        tasks = len({run["index"] for run in part})
        columns = ("method", "trainings", "mean regret", f"{methods[0]} : it", "interval", "tasks better")
        rows = [compare(part, name, str(n)) for n in trainings for name in methods]
        title = f"{part[0]['suite']}: {tasks} {kind} tasks, {seeds} seeds"
        notes = (beaten_by_random(part, str(max(trainings))), fewer_runs(part, methods))
        shown.append(harness.table(title, columns, rows, "\n".join(filter(None, notes))))
    return [*shown, suggestion_table(runs, methods)]


def suggestion_table(runs: Sequence[Run], methods: Sequence[str]) -> harness.Table:
    """How long the methods think about a trial, of those whose results have it."""
    rows = []
    for name in methods:
        columns = ("suggest_seconds", "suggest_seconds_100")
        taken = [[run.get(key) for run in runs if run["method"] == name] for key in columns]
        known = [[value for value in values if value is not None] for values in taken]
        if any(known):
            rows.append((name, *(f"{np.mean(values):.3f}" if values else "" for values in known)))
    return harness.table("Seconds of a suggestion", ("method", "mean", "about the 100th"), rows)


def selected(text: str, count: int) -> list[int]:
    """The numbers that START:STOP or START:STOP:STEP selects of `count`; a lone N means 0:N."""
    try:
        parts = [int(part) if part else None for part in text.split(":")]
    except ValueError:
        raise SystemExit(f"{text!r} is not N, START:STOP or START:STOP:STEP") from None
    return list(range(count))[slice(*parts)]


def parsed(
    doc: str | None, script: str, methods: Sequence[str], known: Collection[str]
) -> argparse.Namespace:
    """The options of a script, those that are lists as lists."""
    parser = harness.argument_parser(doc, script)
    parser.add_argument("suite", type=Path, help="folder of the suite")
    parser.add_argument("--tasks", default="0::2", metavar="START:STOP[:STEP]", help="default %(default)s")
    parser.add_argument("--seeds", default="3", metavar="N or START:STOP[:STEP]", help="default %(default)s")
    parser.add_argument(
        "--methods", default=",".join(methods), help="separated by commas; default %(default)s"
    )
    parser.add_argument("--trainings", default="20,60", help="whole trainings' worth of epochs")
    parser.add_argument("--slots", type=int, default=4, help="trials at a time")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--with", type=Path, nargs="+", default=[], metavar="FILE", help="earlier results")
    options = parser.parse_args()
    options.methods = options.methods.split(",") if options.methods else []
    options.trainings = [int(n) for n in options.trainings.split(",")]
    if unknown := [name for name in options.methods if name not in known]:
        parser.error(f"--methods: {unknown[0]!r} is not one of {', '.join(sorted(known))}")
    return options


def earlier_runs(files: Iterable[Path], trainings: Sequence[int]) -> list[Run]:
    """The runs of earlier results, those of `ours` first."""
    runs: list[Run] = []
    for file in files:
        runs += json.loads(file.read_text())["runs"]
        if lacking := {str(n) for n in trainings} - runs[-1]["regret"].keys():
            raise SystemExit(f"{file}: has no regret after {min(lacking)} trainings; give --trainings")
    return sorted(runs, key=lambda run: run["method"] != "ours")


def measure(options: argparse.Namespace, simulate: Simulate) -> None:
    """Runs the studies, and shows and writes what they found."""
    suite = suite_of(options.suite)
    tasks, seeds = selected(options.tasks, len(suite.tasks)), selected(options.seeds, 2**16)
    jobs = list(itertools.product(seeds, tasks, options.methods))  # a stopped one has few seeds of all tasks
    work = partial(
        run_one, folder=options.suite, trainings=options.trainings, slots=options.slots, simulate=simulate
    )
    earlier = earlier_runs(vars(options)["with"], options.trainings)
    methods = list(dict.fromkeys([*(run["method"] for run in earlier), *options.methods]))
    runs: list[Run] = []
    try:
        with ProcessPoolExecutor(options.jobs) as pool:
            for run in pool.map(work, jobs):
                runs.append(run)
                sys.stderr.write(
                    f"{len(runs)}/{len(jobs)} {run['task']} {run['seed']} {run['method']} {run['regret']}\n"
                )
    finally:
        if runs or earlier:
            shown = tables([*earlier, *runs], methods, options.trainings)
            harness.finish({}, options.json, *shown, runs=runs)


def main() -> None:
    measure(parsed(__doc__, "search_real", METHODS, {*METHODS, *SAMPLERS}), simulate)


if __name__ == "__main__":
    main()
