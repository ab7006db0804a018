"""Whether 95 % intervals contain the truth that often, and how often `confirm` names a wrong winner.

Usage: python benchmarks/coverage.py [--repetitions N] [--json FILE]

Rankings are simulated (benchmarks/simulation/rankings.py), so that the truth is known: distances of queries
to matches and distractors, with effects of identities, images, configurations and seeds, ranked as every
evaluation is. The truth is that of 200,000 identities, every one with seeds of its own.

One ranking: the share of its intervals that hold the truth, beside the usual percentiles of a bootstrap over
identities, and over single queries. Differences: the same for two configurations of unequal quality, trained
with several seeds on one fold or two. Confirmation: leaders no better than the baseline; how often `confirm`
says that one is, and how often the study's own best score lies above the baseline's. Power: the same with one
that is really better.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, cast

import numpy as np
from harness import argument_parser, finish, seconds
from numpy.typing import NDArray
from simulation.coverage_tables import Row, coverage_tables
from simulation.rankings import (
    MAX_QUERIES,
    Effects,
    Truth,
    draw_people,
    interactions,
    run_scores,
    true_figures,
)

from sa_study.analysis.repeats.confirm import Candidate, Confirmation, conclude_confirmation
from sa_study.analysis.repeats.runs import Run
from sa_study.metrics.confidence import FIGURES, Stratum, difference, intervals
from sa_study.metrics.query_scores import QueryScores

REPETITIONS, AT_ONCE = 1000, 50
TRUE_IDENTITIES = 200_000
SIZES = 20, 100, 750
"""Identities of a ranking: the sample data, a fold, Market-1501's test set."""

FOLD, SEEDS, FOLDS = 100, (2, 3, 5), (1, 2)
LEADERS = 1, 3, 5
SHIFT = 0.2
SHIFTS = 0.1, 0.2, 0.4
"""Effects of a better configuration; about 1.6 points of mAP for each tenth."""

STUDY_SEED = 0
LEVELS = {
    "easy": Effects(level=4.0, seed=0.0, seed_identity=0.0),
    "middling": Effects(level=2.4, seed=0.0, seed_identity=0.0),
    "hard": Effects(level=1.0, seed=0.0, seed_identity=0.0),
    "unequal": Effects(level=6.0, identity=1.6, seed=0.0, seed_identity=0.0),
}
"""Without effects of seeds: what an evaluation of one network can tell. In the last a few identities have
nearly all failures: many a sample lacks them."""

METHODS = "ours", "identities", "queries"
BOOTSTRAP_DRAWS = 500
GOAL, FALSE_GOAL = 0.93, 0.05


def one_ranking(repetitions: int, identities: int, level: str, truth: Mapping[str, list[Truth]]) -> list[Row]:
    """Coverage of the intervals of a single ranking."""
    effects, rng = LEVELS[level], np.random.default_rng([21, identities, list(LEVELS).index(level)])
    held = {(method, figure): 0 for method in METHODS for figure in FIGURES}
    drawn = Drawn(rng, MAX_QUERIES * identities)
    widths: dict[str, list[float]] = {figure: [] for figure in FIGURES}
    done = 0
    for size in blocks(repetitions):
        people = draw_people(rng, effects, identities, size)
        for scores in run_scores(rng, effects, people, 0.0, interactions(rng, effects, people)):
            _, owners = np.unique(scores.pids[scores.valid], return_inverse=True)
            found: dict[str, Mapping[str, Any]] = {
                "ours": intervals(scores),
                "identities": bootstrap(scores, drawn, owners),
                "queries": bootstrap(scores, drawn, np.arange(owners.size)),
            }
            for method, figure in held:
                low, high = found[method][figure] or (0.0, 1.0)
                held[method, figure] += low <= truth[figure][0].value <= high
                if method == "ours":
                    widths[figure].append(high - low)
            done += 1
    return [
        {
            "level": level,
            "identities": identities,
            "figure": figure,
            "truth": truth[figure][0].value,
            "truth_error": truth[figure][0].error,
            "coverage": held["ours", figure] / done,
            "bootstrap_of_identities": held["identities", figure] / done,
            "bootstrap_of_queries": held["queries", figure] / done,
            "width": float(np.mean(widths[figure])),
        }
        for figure in FIGURES
    ]


def bootstrap(scores: QueryScores, drawn: Drawn, units: NDArray[np.int64]) -> dict[str, tuple[float, float]]:
    """The usual interval: percentiles of the means over units drawn anew, queries or identities."""
    counts = np.bincount(units).astype(np.float32)
    sums = np.stack([np.bincount(units, weights=scores.of(figure)) for figure in FIGURES]).astype(np.float32)
    weights = drawn(counts.size)
    low, high = np.quantile((weights @ sums.T) / (weights @ counts)[:, None], [0.025, 0.975], axis=0)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(FIGURES)}


class Drawn:
    """How often a bootstrap draws each unit (draws × units), in one table for up to `most` units.

    Each count is a Poisson variable, which for a ratio of two sums is the same as drawing n of n units.
    """

    def __init__(self, rng: np.random.Generator, most: int):
        self._weights = rng.poisson(1, (BOOTSTRAP_DRAWS, most)).astype(np.float32)

    def __call__(self, number: int) -> NDArray[np.float32]:
        """The counts of the first `number` units."""
        return self._weights[:, :number]


def differences(repetitions: int, noisy: bool, truth: Mapping[str, list[Truth]]) -> list[Row]:
    """Coverage of the differences of two configurations."""
    effects, rng = noise(noisy), np.random.default_rng([2, noisy])
    cases = list(product(SEEDS, FOLDS, FIGURES))
    held, widths, done = dict.fromkeys(cases, 0), dict.fromkeys(cases, 0.0), 0
    for size in blocks(repetitions):
        sides = [trained(rng, effects, [0.0, SHIFT], size, noisy) for _ in range(max(FOLDS))]
        for repetition in range(size):
            for seeds, folds, figure in cases:
                mine, theirs = (
                    [
                        Stratum(fold, [run[repetition] for run in sides[fold][which][:seeds]])
                        for fold in range(folds)
                    ]
                    for which in (1, 0)
                )
                found = difference(mine, theirs, figure)
                held[seeds, folds, figure] += found.low <= truth[figure][-1].value <= found.high
                widths[seeds, folds, figure] += found.high - found.low
            done += 1
    return [
        {
            "seed_noise": noisy,
            "seeds": seeds,
            "folds": folds,
            "figure": figure,
            "truth": truth[figure][-1].value,
            "truth_error": truth[figure][-1].error,
            "coverage": held[seeds, folds, figure] / done,
            "width": widths[seeds, folds, figure] / done,
        }
        for seeds, folds, figure in cases
    ]


def trained(
    rng: np.random.Generator, effects: Effects, shifts: Sequence[float], size: int, noisy: bool
) -> list[list[list[QueryScores]]]:
    """Runs of configurations on one fold: by configuration, seed and repetition; all alike without noise."""
    people = draw_people(rng, effects, FOLD, size)
    found = []
    for shift in shifts:
        of_identity = interactions(rng, effects, people)
        runs = max(SEEDS) if noisy else 1
        made = [run_scores(rng, effects, people, shift, of_identity) for _ in range(runs)]
        found.append(made if noisy else made * max(SEEDS))
    return found


def confirmations(repetitions: int, leaders: int, seeds: int, shift: float) -> Row:
    """How often `confirm` calls a winner better; the last leader is better by `shift`, the others by nothing.

    The study's own scores are those of one seed on a fold of its own.
    """
    effects, rng = noise(True), np.random.default_rng([3, leaders, seeds, round(100 * shift)])
    shifts = [0.0] * leaders + [shift]
    called = right = lucky = done = 0
    for size in blocks(repetitions):
        own = [
            [float(run.of("mAP").mean()) for run in one[0]]
            for one in trained_once(rng, effects, shifts, size)
        ]
        again = trained(rng, effects, shifts, size, noisy=True)
        for repetition in range(size):
            scores = [of_one[repetition] for of_one in own]
            winner = verdict(scores, [[run[repetition] for run in one[:seeds]] for one in again])
            called += winner not in (None, 0)
            right += winner == leaders
            lucky += max(scores[1:]) > scores[0]
            done += 1
    return {
        "leaders": leaders,
        "seeds": seeds,
        "shift": shift,
        "called_better": called / done,
        "right_one": right / done,
        "study_says_better": lucky / done,
    }


def trained_once(
    rng: np.random.Generator, effects: Effects, shifts: Sequence[float], size: int
) -> list[list[list[QueryScores]]]:
    """Trainings of each configuration with one seed, as `trained` draws them with several."""
    people = draw_people(rng, effects, FOLD, size)
    return [[run_scores(rng, effects, people, s, interactions(rng, effects, people))] for s in shifts]


def verdict(own: Sequence[float], runs: Sequence[Sequence[QueryScores]]) -> int | None:
    """The winner by the rule of `confirm`, 0 being the baseline; None where it calls none better."""
    candidates = tuple(Candidate(number, {"x": number}, score) for number, score in enumerate(own))
    made = [
        Run(number, {"x": number}, seed, 1, {}, scores=scores)
        for number, of_one in enumerate(runs)
        for seed, scores in enumerate(of_one, start=1)
    ]
    asked = Confirmation(candidates, tuple(range(1, len(runs[0]) + 1)), (1,), len(own) - 1)
    found = conclude_confirmation(asked, made, "mAP")
    return cast("int | None", found["winner"])


def noise(noisy: bool) -> Effects:
    """With effects of seeds, or with none at all."""
    return Effects() if noisy else Effects(seed=0.0, seed_identity=0.0)


def blocks(repetitions: int) -> list[int]:
    """Sizes of the blocks in which repetitions are simulated."""
    return [min(AT_ONCE, repetitions - start) for start in range(0, repetitions, AT_ONCE)]


def measure(repetitions: int, true_identities: int) -> Row:
    """Measures all rows."""
    truths = {
        level: true_figures(11, effects, [0.0], FIGURES, true_identities) for level, effects in LEVELS.items()
    }
    of_difference = {
        noisy: true_figures(12, noise(noisy), [0.0, SHIFT], FIGURES, true_identities)
        for noisy in (False, True)
    }
    gains = {
        shift: true_figures(13, noise(True), [0.0, shift], ("mAP",), true_identities)["mAP"][-1]
        for shift in SHIFTS
    }
    power = [confirmations(repetitions, 3, seeds, shift) for shift in SHIFTS for seeds in (3, 5)]
    return {
        "rankings": [
            row
            for level, size in product(LEVELS, SIZES)
            for row in one_ranking(repetitions, size, level, truths[level])
        ],
        "differences": [
            row for noisy, truth in of_difference.items() for row in differences(repetitions, noisy, truth)
        ],
        "confirmations": [confirmations(repetitions, leaders, 3, 0.0) for leaders in LEADERS],
        "power": [row | {"gain": gains[row["shift"]].value} for row in power],
    }


def failures(found: Row) -> list[str]:
    """Returns the rows that miss their goals."""
    covered = [*found["rankings"], *found["differences"]]
    missed = [f"coverage {row}" for row in covered if row["coverage"] < GOAL]
    return missed + [
        f"false calls {row}" for row in found["confirmations"] if row["called_better"] > FALSE_GOAL
    ]


def main() -> None:
    parser = argument_parser(__doc__, "coverage")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, metavar="N")
    arguments = parser.parse_args()
    found: Row = {}
    took = seconds(lambda: found.update(measure(arguments.repetitions, TRUE_IDENTITIES)))
    missed = failures(found)
    finish({**found, "seconds": took, "missed": missed}, arguments.json, *coverage_tables(found, FOLD))
    sys.stdout.write("".join(f"missed: {line}\n" for line in missed) or "every row meets its goal\n")


if __name__ == "__main__":
    main()
