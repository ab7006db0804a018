"""Whether the intervals hold what they promise, on simulated rankings of which the truth is known.

Usage: python benchmarks/coverage.py [--repetitions N] [--json FILE]

Every repetition draws identities, queries and a gallery anew, and distances from a model: a match is nearer
than other images by the configuration's skill, plus what its training's seed, the identity, the query, and
the identity under this configuration add at random. The project's own ranking makes figures of them. An
interval of 95 % ought to hold the truth in at least 93 % of the repetitions, and with no real difference
`confirm`'s rule may call its winner better in at most 5 %. Beside the intervals over identities stand those
of the usual bootstrap over single queries. Needs torch, numpy and SciPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from harness import finish, options, table
from numpy.random import Generator

from sa_study.metrics import RankingAccumulator, RankingMetrics
from sa_study.metrics.confidence import LEVEL, Stratum, difference, intervals, simultaneous
from sa_study.metrics.query_scores import QueryScores

SIZES = (20, 100, 750)
SEEDS, FOLDS = (2, 3, 5), (1, 2)
LEADERS = (1, 3, 5)
IDENTITIES = 60
GAIN = 0.25
"""Of skill: about 4 points of mAP."""


@dataclass(frozen=True)
class Model:
    """Standard deviations of what adds to a match's nearness, in units of a distance's own.

    Attributes:
        identity: Of an identity, under every configuration alike.
        both: Of an identity under one configuration.
        query: Of a query, under every configuration alike.
        seed: Of a training.
    """

    identity: float = 0.8
    both: float = 0.4
    query: float = 0.6
    seed: float = 0.1


@dataclass(frozen=True)
class People:
    """Identities with two queries and two gallery images each, by four cameras.

    Attributes:
        hardness: Of each query: its own and its identity's.
        pids: Identity of each query, and of each gallery image.
    """

    hardness: np.ndarray[Any, np.dtype[np.float64]]
    pids: np.ndarray[Any, np.dtype[np.int64]]


def draw_people(rng: Generator, model: Model, identities: int) -> People:
    pids = np.repeat(np.arange(1, identities + 1), 2)
    of_identities = np.repeat(rng.normal(0, model.identity, identities), 2)
    return People(of_identities + rng.normal(0, model.query, pids.size), pids)


def draw_taste(rng: Generator, model: Model, identities: int) -> Any:
    """What a configuration makes of each query's identity."""
    return np.repeat(rng.normal(0, model.both, identities), 2)


def rank(rng: Generator, people: People, nearness: Any) -> RankingMetrics:
    """Ranks the gallery for every query; matches are nearer by `nearness`, a number a query."""
    pids = people.pids
    distances = rng.standard_normal((pids.size, pids.size), dtype=np.float32)
    matches = pids[:, None] == pids
    distances -= (matches * (people.hardness + nearness)[:, None]).astype(np.float32)
    accumulator = RankingAccumulator(pids, np.arange(pids.size) % 2 + 2, topk=10)
    accumulator.add(distances, pids, np.arange(pids.size) % 2)
    return accumulator.result()


def coverage_of_figures(identities: int, repetitions: int) -> dict[str, Any]:
    """How often `intervals` and the bootstrap over single queries hold the true rank-1 and mAP."""
    model, rng = Model(), np.random.default_rng([1, identities])

    def one() -> RankingMetrics:
        people = draw_people(rng, model, identities)
        return rank(rng, people, 1.5 + draw_taste(rng, model, identities))

    truths = [(found.rank1, found.mAP) for found in (one() for _ in range(repetitions))]
    truth = dict(zip(("rank1", "mAP"), np.mean(truths, axis=0).tolist(), strict=True))
    error = dict(zip(("rank1", "mAP"), (np.std(truths, axis=0) / repetitions**0.5).tolist(), strict=True))
    held = {name: np.zeros(2) for name in ("identities", "queries")}
    for _ in range(repetitions):
        scores = one().queries
        alone = QueryScores(np.arange(scores.pids.size), scores.average_precision, scores.first_match)
        for name, found in (("identities", intervals(scores)), ("queries", intervals(alone))):
            held[name] += [_holds(found[figure], truth[figure]) for figure in truth]
    shares = {
        name: dict(zip(truth, (count / repetitions).tolist(), strict=True)) for name, count in held.items()
    }
    return {"identities": identities, "truth": truth, "error": error, "coverage": shares}


def _holds(interval: Sequence[float] | None, truth: float) -> bool:
    return interval is not None and interval[0] <= truth <= interval[1]


def draw_runs(
    rng: Generator, model: Model, skills: Sequence[float], folds: int, seeds: int
) -> list[list[Stratum]]:
    """Runs of several configurations on the same identities, by configuration and fold."""
    runs: list[list[Stratum]] = [[] for _ in skills]
    for fold in range(folds):
        people = draw_people(rng, model, IDENTITIES)
        for skill, strata in zip(skills, runs, strict=True):
            taste = skill + draw_taste(rng, model, IDENTITIES)
            noise = rng.normal(0, model.seed, seeds)
            strata.append(Stratum(fold, [rank(rng, people, taste + of_seed).queries for of_seed in noise]))
    return runs


def coverage_of_differences(noise: float, repetitions: int) -> list[dict[str, Any]]:
    """How often `difference` holds the truth, 0, of two equally good configurations."""
    model, rng = Model(seed=noise), np.random.default_rng([2, round(100 * noise)])
    held = {(folds, seeds): np.zeros(2) for folds in FOLDS for seeds in SEEDS}
    for _ in range(repetitions):
        ours, theirs = draw_runs(rng, model, (1.5, 1.5), max(FOLDS), max(SEEDS))
        for folds, seeds in held:
            pair = [_some(side, folds, seeds) for side in (ours, theirs)]
            found = [difference(pair[0], pair[1], figure) for figure in ("rank1", "mAP")]
            held[folds, seeds] += [one.low <= 0 <= one.high for one in found]
    return [
        {"seed noise": noise, "folds": folds, "seeds": seeds}
        | dict(zip(("rank1", "mAP"), (count / repetitions).tolist(), strict=True))
        for (folds, seeds), count in held.items()
    ]


def _some(strata: Sequence[Stratum], folds: int, seeds: int) -> list[Stratum]:
    return [Stratum(one.fold, one.runs[:seeds]) for one in strata[:folds]]


def called_better(runs: Sequence[Sequence[Stratum]], leaders: int) -> bool:
    """The rule of `confirm`: the greatest mean wins, if its interval, for all together, lies above 0."""
    means = [np.mean([run.of("mAP").mean() for one in strata for run in one.runs]) for strata in runs]
    best = int(np.argmax(means[: leaders + 1]))
    level = simultaneous(LEVEL, leaders)
    return best > 0 and difference(runs[best], runs[0], "mAP", level).low > 0


def calls(gain: float, repetitions: int) -> list[dict[str, Any]]:
    """How often a winner is called better than the baseline where one leader is better by so much.

    Beside it how often the best single score beats the baseline's, as in a study, and by how much on average.
    """
    model, rng, seeds = Model(), np.random.default_rng([3, round(100 * gain)]), 3
    counts = {leaders: np.zeros(3) for leaders in LEADERS}
    true = np.zeros(repetitions)
    for repetition in range(repetitions):
        skills = (1.5, 1.5 + gain, *[1.5] * (max(LEADERS) - 1))
        runs = draw_runs(rng, model, skills, 1, seeds)
        single = [strata[0].runs[0].of("mAP").mean() for strata in runs]
        true[repetition] = difference(runs[1], runs[0], "mAP").mean
        for leaders in LEADERS:
            lead = max(single[1 : leaders + 1]) - single[0]
            counts[leaders] += [called_better(runs, leaders), lead > 0, lead]
    return [
        {"gain": float(true.mean()), "error": float(true.std() / repetitions**0.5), "leaders": leaders}
        | dict(
            zip(
                ("called", "beats", "lead"),
                (count / repetitions).tolist(),
                strict=True,
            )
        )
        for leaders, count in counts.items()
    ]


def main() -> None:
    parser = options(__doc__, "coverage")
    parser.add_argument("--repetitions", type=int, default=1000, metavar="N", help="default %(default)s")
    given = parser.parse_args()
    number = given.repetitions
    figures = [coverage_of_figures(identities, number) for identities in SIZES]
    differences = [row for noise in (0.0, Model().seed) for row in coverage_of_differences(noise, number)]
    rules = [row for gain in (0.0, GAIN) for row in calls(gain, number)]
    result = {"repetitions": number, "figures": figures, "differences": differences, "calls": rules}
    finish(result, given.json, *_tables(figures, differences, rules, number))


def _tables(
    figures: Sequence[dict[str, Any]],
    differences: Sequence[dict[str, Any]],
    rules: Sequence[dict[str, Any]],
    number: int,
) -> list[str]:
    def percent(share: float) -> str:
        return f"{100 * share:.1f}"

    of_figures = [
        (
            row["identities"],
            *(f"{percent(row['truth'][name])} ± {100 * row['error'][name]:.2f}" for name in ("rank1", "mAP")),
            *(percent(row["coverage"]["identities"][name]) for name in ("rank1", "mAP")),
            *(percent(row["coverage"]["queries"][name]) for name in ("rank1", "mAP")),
        )
        for row in figures
    ]
    of_differences = [
        (row["folds"], row["seeds"], row["seed noise"], percent(row["rank1"]), percent(row["mAP"]))
        for row in differences
    ]
    of_rules = [
        (
            f"{percent(row['gain'])} ± {100 * row['error']:.2f}",
            row["leaders"],
            percent(row["called"]),
            percent(row["beats"]),
            percent(row["lead"]),
        )
        for row in rules
    ]
    by = "over identities"
    return [
        table(
            f"Intervals of 95 %: share of {number:,} repetitions that hold the truth, per cent",
            (
                "identities",
                "true rank-1",
                "true mAP",
                f"rank-1 {by}",
                f"mAP {by}",
                "rank-1 over queries",
                "mAP",
            ),
            of_figures,
        ),
        table(
            f"Differences of equally good configurations, {IDENTITIES} identities a fold: the same",
            ("folds", "seeds", "seed noise", "rank-1", "mAP"),
            of_differences,
        ),
        table(
            "confirm's rule, 3 seeds, one fold; one leader is better by the gain (points of mAP)",
            ("gain", "leaders", "called better, %", "best score beats baseline's, %", "by, points"),
            of_rules,
        ),
    ]


if __name__ == "__main__":
    main()
