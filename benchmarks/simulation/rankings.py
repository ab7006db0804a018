"""Rankings of known truth: distances from a model of identities, images, configurations and seeds.

A query has one image of its identity under every other camera to find among distractors. How near its images
are is the sum of effects, in units of the noise of one distance: of the configuration, of the identity, of
the identity in that configuration, of the query image, and of the seed, alone and with the identity. Noise of
a distance is in part that of its images, the same in every run, and in part the run's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sa_study.metrics.query_scores import QueryScores
from sa_study.metrics.ranking import RankingAccumulator

CAMERAS, DISTRACTORS, MAX_QUERIES = 6, 24, 6
ROWS_AT_ONCE = 2**16

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Effects:
    """Standard deviations of the effects.

    Attributes:
        level: How near the images of an identity are, on average.
        identity: Of an identity, whichever the configuration.
        interaction: Of an identity in one configuration.
        query: Of a query image.
        image: Of a distance, the same in every run.
        run: Of a distance in one run.
        seed: Of a seed, for all identities alike.
        seed_identity: Of a seed with an identity.
    """

    level: float = 2.4
    identity: float = 0.7
    interaction: float = 0.25
    query: float = 0.7
    image: float = 0.8
    run: float = 0.6
    seed: float = 0.08
    seed_identity: float = 0.15


@dataclass(frozen=True, eq=False)
class People:
    """Identities with their queries, of several repetitions at once.

    Attributes:
        identities: How many in each repetition.
        owner: Identity of each query, counted through all repetitions.
        camera: Camera of each query.
        ability: Effect of each identity.
        quality: Effect of each query.
        images: Noise of each distance that is the same in every run.
        starts: Where each repetition's queries begin, and the end.
    """

    identities: int
    owner: Numbers
    camera: Numbers
    ability: Floats
    quality: Floats
    images: Floats
    starts: Numbers


def draw_people(rng: np.random.Generator, effects: Effects, identities: int, repetitions: int) -> People:
    """Draws identities with one to six queries each; those with many are a little harder."""
    number = identities * repetitions
    counts = rng.integers(1, MAX_QUERIES + 1, number)
    owner = np.repeat(np.arange(number), counts)
    ability = effects.identity * _normal(rng, number)
    ability -= np.float32(0.1) * (counts - counts.mean()).astype(np.float32)
    ends = np.cumsum(counts)[identities - 1 :: identities]
    return People(
        identities,
        owner,
        rng.integers(CAMERAS, size=owner.size),
        ability,
        effects.query * _normal(rng, owner.size),
        effects.image * _normal(rng, owner.size, CAMERAS + DISTRACTORS),
        np.concatenate([[0], ends]),
    )


def interactions(rng: np.random.Generator, effects: Effects, people: People) -> Floats:
    """What a configuration does to each identity, whichever the seed."""
    return effects.interaction * _normal(rng, people.ability.size)


def run_scores(
    rng: np.random.Generator, effects: Effects, people: People, shift: float, of_identity: Floats
) -> list[QueryScores]:
    """One training of a configuration in every repetition: what each query scored.

    Args:
        rng: Where its seeds come from.
        effects: The model.
        people: Who is ranked.
        shift: Effect of the configuration.
        of_identity: What `interactions` gave.
    """
    repetitions = len(people.starts) - 1
    near = effects.level + shift + people.ability + of_identity
    near = near + effects.seed * np.repeat(_normal(rng, repetitions), people.identities)
    near = (near + effects.seed_identity * _normal(rng, near.size))[people.owner] + people.quality
    return _ranked(rng, effects, people, near.astype(np.float32))


def _ranked(rng: np.random.Generator, effects: Effects, people: People, near: Floats) -> list[QueryScores]:
    # Every query looks for identity 1, so that one gallery serves all: images of it, and distractors.
    gallery = np.repeat([1, 0], [CAMERAS, DISTRACTORS])
    cameras = np.concatenate([np.arange(CAMERAS), np.arange(DISTRACTORS) + CAMERAS])
    ranking = RankingAccumulator(gallery, cameras, topk=1)
    for start in range(0, near.size, ROWS_AT_ONCE):
        some = slice(start, start + ROWS_AT_ONCE)
        distances = people.images[some] + effects.run * _normal(rng, *people.images[some].shape)
        distances[:, :CAMERAS] -= near[some, None]
        ranking.add(distances, np.ones(len(distances), np.int64), people.camera[some])
    found = ranking.result().queries
    return [
        QueryScores(people.owner[a:b], found.average_precision[a:b], found.first_match[a:b])
        for a, b in zip(people.starts[:-1], people.starts[1:], strict=True)
    ]


@dataclass(frozen=True)
class Truth:
    """A figure over all identities and seeds that there could be, and the standard error of that."""

    value: float
    error: float


def true_figures(
    seed: int, effects: Effects, shifts: Sequence[float], figures: Sequence[str], identities: int
) -> dict[str, list[Truth]]:
    """The truth by simulation: every identity has seeds of its own, so that none weighs more than another.

    Returns:
        By figure: that of each shift, then the difference of the last to the first.
    """
    rng = np.random.default_rng(seed)
    people = draw_people(rng, effects, 1, identities)
    runs = [run_scores(rng, effects, people, shift, interactions(rng, effects, people)) for shift in shifts]
    found = {}
    for figure in figures:
        values = [np.concatenate([scores.of(figure) for scores in run]) for run in runs]
        found[figure] = [_ratio(column, people) for column in (*values, values[-1] - values[0])]
    return found


def _ratio(values: NDArray[np.float64], people: People) -> Truth:
    mean = float(values.mean())
    deviations = np.bincount(people.owner, weights=values - mean)
    return Truth(mean, float(np.sqrt(np.square(deviations).sum()) / values.size))


def _normal(rng: np.random.Generator, *shape: int) -> Floats:
    return rng.standard_normal(shape, dtype=np.float32)
