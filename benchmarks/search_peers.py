"""How good the settings are that other packages' multi-fidelity searches find on real learning curves.

Usage: python benchmarks/search_peers.py SUITE [--tasks START:STOP:STEP] [--seeds N] [--methods DEHB,BOHB] ...
       python benchmarks/search_peers.py SUITE --methods "" --with OURS.json PEERS.json ...

Suites, tasks, costs and regrets are those of `search_real.py`, whose `--help` describes them. The second form
prints one table of the results of both scripts.

Methods: SyncHyperband, DEHB, BOHB, HyperTune, MOBSTER and DyHPO of Syne Tune 0.13, in its own simulator, with
our grace period and reduction factor (DyHPO: its own even rungs) and else its defaults, among them the middle
of the space as the first trial; and `botorch`, a multi-fidelity Gaussian process of BoTorch's in place of our
sampler, with our scheduler. All that `search_real.py` measures can be named as well.

What a study would return differs: with Syne Tune's methods, the best score that any trial has reported so
far, stopped and running ones too; with all others what `search_real.py` takes, for our machinery the best
epoch of a completed trial. No score has noise, so that this favours Syne Tune.

The peers need an environment of their own, as Syne Tune wants an older numpy:

    python3 -m venv .venv-peers
    grep -v ^numpy= requirements.txt > /tmp/others.txt
    .venv-peers/bin/pip install -r /tmp/others.txt onnxruntime==1.32.0 'numpy<1.27' 'pandas<3' 'pyarrow<21'
    .venv-peers/bin/pip install 'syne-tune[gpsearchers,kde]==0.13.*' botorch==0.18.1
    .venv-peers/bin/python benchmarks/search_peers.py SUITE
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable

import search_real
from simulation.botorch_sampler import BOTORCH
from simulation.methods import Study
from simulation.suites import Suite, SuiteTask
from simulation.syne_tune_study import SyneTuneStudy

from sa_study.tuning.search.samplers import SAMPLERS

SYNE_TUNE = {
    "SyncHyperband": ("syne_tune",),
    "DEHB": ("syne_tune",),
    "BOHB": ("syne_tune", "statsmodels"),
    "HyperTune": ("syne_tune", "autograd"),
    "MOBSTER": ("syne_tune", "autograd"),
    "DyHPO": ("syne_tune", "autograd"),
}
"""Syne Tune's methods, and the packages that each needs."""

PACKAGES = {**SYNE_TUNE, "botorch": ("botorch",)}


def simulate(name: str, suite: Suite, task: SuiteTask, slots: int, seed: int) -> Study:
    """A study of a peer, or of a method of `search_real.py`."""
    if name in SYNE_TUNE:
        return SyneTuneStudy(name, suite, task, slots, seed)
    if name == "botorch":
        SAMPLERS[name] = BOTORCH
    return search_real.simulate(name, suite, task, slots, seed)


def require_packages(methods: Iterable[str]) -> None:
    """Ends the program where a package is missing that one of the methods needs."""
    for name in methods:
        for package in PACKAGES.get(name, ()):
            if importlib.util.find_spec(package) is None:
                sys.stderr.write(f"{name} needs the package {package}, which is missing; see --help\n")
                sys.exit(2)


def main() -> None:
    options = search_real.parsed(
        __doc__, "search_peers", tuple(PACKAGES), {*PACKAGES, *search_real.METHODS, *SAMPLERS}
    )
    require_packages(options.methods)
    search_real.measure(options, simulate)


if __name__ == "__main__":
    main()
