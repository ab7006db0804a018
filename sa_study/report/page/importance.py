"""Which settings mattered: functional ANOVA of a random forest, what it rests on and how far it holds.

After Hutter, Hoos and Leyton-Brown, "An efficient approach for assessing hyperparameter importance" (ICML
2014). The trees' leaves are boxes of the unit cube, so that they are integrated exactly. A variance does not
know which direction is better: maximised and minimised figures give the same importance.

Optuna's evaluator integrates log-scaled settings over their values, has no fit on trials left out and no
spread between trees, and takes thirty times as long.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sa_study.metrics import names
from sa_study.report.page.page_study import PageStudy
from sa_study.settings.space import Parameter
from sa_study.study.trial_summary import TrialSummary
from sa_study.tuning.search.unit_cube import Floats, UnitScale
from sa_study.tuning.stopping.schedulers import rungs

MIN_TRIALS = 8
"""Trials below which nothing is said."""

MIN_FIT = 0.3
"""A fit below this says that the bars mean nothing."""

_TREES = 32
_ABOVE_ZERO = 1e-300
"""In the place of numbers without a logarithm, which anyone can write into a study."""


@dataclass(frozen=True)
class ComparableTrials:
    """Trials that can be compared with each other, their values, and in words what these are."""

    name: str
    trials: tuple[TrialSummary, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Importance:
    """Importance of each setting for the score, and how well it was estimated.

    Attributes:
        sample: What was compared.
        shares: By setting, the share of the variance that it explains alone, the greatest first.
        spread: By setting, the deviation of that share between the forest's trees.
        combinations: The share that only combinations of settings explain.
        fit: Share of the variance of trials that a tree has not seen which the forest predicts (R²); below 0
            it predicts worse than their mean.
    """

    sample: ComparableTrials
    shares: Mapping[str, float]
    spread: Mapping[str, float]
    combinations: float
    fit: float


def samples(study: PageStudy) -> list[ComparableTrials]:
    """What can be compared: complete trials by score; at the first rung all trials that came there.

    Trials stopped early have no final score, and complete ones are those that the rule let pass: in a region
    that was left early the first sample says little, and the second says only what shows early.
    """
    final = [(t, t.score) for t in study.trials if t.complete and t.score is not None]
    found = [_sample(f"final score, {len(final)} complete trials", final)]
    if marks := rungs(study.config.space.scheduler):
        early = [(t, value) for t in study.trials if (value := _value_at(t, marks[0])) is not None]
        metric = names.heading(study.config.metric)
        found.append(_sample(f"{metric} at {marks[0]:g} % of the schedule, {len(early)} trials", early))
    return found


def _sample(name: str, known: Sequence[tuple[TrialSummary, float]]) -> ComparableTrials:
    return ComparableTrials(name, tuple(trial for trial, _ in known), tuple(value for _, value in known))


def _value_at(trial: TrialSummary, progress: float) -> float | None:
    """A trial's metric at a share of its schedule, linear between two epochs; None before that."""
    curve = trial.finite_curve
    if not curve or curve[-1][0] < progress - 1e-9:
        return None
    places, values = zip(*curve, strict=True)
    return float(np.interp(progress, places, values))


def varied_settings(study: PageStudy) -> dict[str, Parameter]:
    """The searched settings that take more than one value."""
    search = study.config.space.search
    return {name: parameter for name, parameter in search.items() if len(set(map(str, parameter.ends))) > 1}


def unit_points(study: PageStudy, trials: Sequence[TrialSummary]) -> Floats:
    """Trials as points of the unit cube, in which the sampler draws evenly: trials × `varied_settings`.

    A setting that was not searched in a trial has there what it ran with.
    """
    search = varied_settings(study)
    places = [unit_position(search[name], study.value(trial, name)) for trial in trials for name in search]
    return np.array(places, dtype=float).reshape(len(trials), len(search))


def unit_position(parameter: Parameter, value: Any) -> float:
    """A value's place between 0 and 1 on the parameter's own scale; of a step or a choice, its cell's middle.

    What is no value of the parameter lies in the middle: anyone can write anything into a study.
    """
    if parameter.kind == "categorical":
        choices = list(map(str, parameter.choices))
        return (choices.index(str(value)) + 0.5) / len(choices) if str(value) in choices else 0.5
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return 0.5
    step = None if parameter.count is None else parameter.step or 1.0
    scale = UnitScale(parameter.low, parameter.high, step, parameter.log)
    number = max(value, _ABOVE_ZERO) if parameter.log else value
    return min(max(float(scale.places(np.array(float(number)))), 0.0), 1.0)


def importance(study: PageStudy, sample: ComparableTrials) -> Importance | None:
    """What explains a sample; None where it is too small, or nothing was searched or differs."""
    from sklearn.tree import DecisionTreeRegressor  # takes its time

    search, values = varied_settings(study), np.array(sample.values)
    if len(values) < MIN_TRIALS or not search or np.ptp(values) < 1e-12:
        return None
    points, rng = unit_points(study, sample.trials), np.random.default_rng(0)
    tree = DecisionTreeRegressor(min_samples_leaf=max(2, len(values) // 60), random_state=0)
    shares, seen, sums = [], np.zeros(len(values)), np.zeros(len(values))
    for _ in range(_TREES):
        drawn = rng.integers(0, len(values), len(values))
        mixed = _with_choices_shuffled(search, points, rng)
        tree.fit(mixed[drawn], values[drawn])
        left_out = np.setdiff1d(np.arange(len(values)), drawn)
        sums[left_out] += tree.predict(mixed[left_out])
        seen[left_out] += 1
        if (share := variance_shares(tree.tree_)) is not None:
            shares.append(share)
    if not shares:
        return None
    known = seen > 0
    errors = values[known] - sums[known] / seen[known]
    fit = 1 - float((errors**2).sum() / ((values[known] - values[known].mean()) ** 2).sum())
    mean, deviation = np.mean(shares, axis=0), np.std(shares, axis=0)
    order, settings = np.argsort(-mean, kind="stable"), list(search)
    return Importance(
        sample=sample,
        shares={settings[axis]: float(mean[axis]) for axis in order},
        spread={settings[axis]: float(deviation[axis]) for axis in order},
        combinations=max(0.0, 1 - float(mean.sum())),
        fit=fit,
    )


def _with_choices_shuffled(
    search: Mapping[str, Parameter], points: Floats, rng: np.random.Generator
) -> Floats:
    """Points with every categorical setting's choices in random order, for they have none.

    A forest whose trees all had one order would need far more trials to see that a middle choice stands out.
    """
    points = points.copy()
    for axis, parameter in enumerate(search.values()):
        if count := len(parameter.choices):
            cells = np.minimum((points[:, axis] * count).astype(int), count - 1)
            points[:, axis] = (rng.permutation(count)[cells] + 0.5) / count
    return points


def variance_shares(tree: Any) -> Floats | None:
    """Share of a tree's variance over the unit cube that each dimension alone explains; None of a constant.

    Args:
        tree: scikit-learn's `tree_` of a regression tree.
    """
    low, high, value = leaves(tree)
    sides = high - low
    volumes = sides.prod(axis=1)
    mean = volumes @ value
    total = volumes @ (value - mean) ** 2
    if total <= 1e-18:
        return None
    found = np.empty(sides.shape[1])
    for axis in range(len(found)):
        cuts = np.unique(np.concatenate([low[:, axis], high[:, axis]]))
        middles, widths = (cuts[1:] + cuts[:-1]) / 2, np.diff(cuts)
        covers = (middles[:, None] > low[:, axis]) & (middles[:, None] < high[:, axis])
        marginal = covers @ (value * volumes / sides[:, axis])
        found[axis] = widths @ (marginal - mean) ** 2
    shares: Floats = found / total
    return shares


def leaves(tree: Any) -> tuple[Floats, Floats, Floats]:
    """Lower and upper corners of a tree's leaves, leaves × dimensions, and the values there."""
    found, size = [], tree.n_features
    stack = [(0, np.zeros(size), np.ones(size))]
    while stack:
        node, low, high = stack.pop()
        if tree.children_left[node] < 0:
            found.append((low, high, tree.value[node, 0, 0]))
            continue
        left_high, right_low = high.copy(), low.copy()
        left_high[tree.feature[node]] = right_low[tree.feature[node]] = tree.threshold[node]
        stack += [(tree.children_left[node], low, left_high), (tree.children_right[node], right_low, high)]
    lows, highs, values = map(np.array, zip(*found, strict=True))
    return lows, highs, values
