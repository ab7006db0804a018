"""What each part of a configuration contributes: a grid of settings, every cell with several seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sa_study.analysis.repeats.figures import differences_of, figures_of
from sa_study.analysis.repeats.runs import Point, Run, count_runs, of_point, points_of, repeated, strata_of
from sa_study.metrics.confidence import LEVEL, Stratum
from sa_study.provenance import utc_now
from sa_study.settings.space import SearchSpace
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.tuning.search.initial_trials import InitialTrials
from sa_study.utils.errors import ConfigError

ABOUT = "ablates"
_MOST_RUNS = 100_000
"""Under which an ablation keeps that it is one."""

RERANKING = "re-ranking"


@dataclass(frozen=True)
class Ablation:
    """A grid and its seeds.

    Attributes:
        space: The grid; its baseline is what each effect begins from.
        seeds: Seeds of every cell.
    """

    space: SearchSpace
    seeds: tuple[int, ...]

    @property
    def cells(self) -> list[Point]:
        """Every configuration once, the baseline first."""
        return self.space.grid()

    @property
    def initial_trials(self) -> InitialTrials:
        """What the study is given."""
        return InitialTrials(points_of(self.cells, self.seeds, None), {ABOUT: True})


def plan_ablation(space: SearchSpace, seeds: int) -> Ablation:
    """Every cell of a space with so many seeds.

    Raises:
        ConfigError: The space has no end, searches nothing, or searches the seed.
    """
    if seeds < 1:
        raise ConfigError(f"--seeds: {seeds} is not at least 1")
    if "seed" in space.search:
        raise ConfigError("search.seed: an ablation repeats every cell with --seeds; drop it from the space")
    if not space.search:
        raise ConfigError("the space leaves nothing to ablate; list settings under search")
    if space.size is None:
        raise ConfigError("an ablation needs a grid: choices, an int or a step for every setting")
    if space.size * seeds > _MOST_RUNS:
        raise ConfigError(f"the grid has {space.size} cells and {seeds} seeds, more than {_MOST_RUNS} runs")
    first = space.settings(space.baseline).seed
    return Ablation(space, tuple(range(first, first + seeds)))


def describe(ablation: Ablation, config: StudyConfig) -> StudyConfig:
    """The ablation as a study."""
    space = repeated(ablation.space, ablation.seeds[0], None)
    return dataclasses.replace(config, space=space, trials=len(ablation.initial_trials.configurations))


def require_same(folder: StudyFolder, about: Mapping[str, Any], asked: StudyConfig) -> None:
    """Checks that a study that is there already is this ablation, perhaps with fewer seeds.

    Raises:
        ConfigError: It is another one.
    """
    if not about.get(ABOUT):
        raise ConfigError(f"{folder.root}: holds a study that 'ablate' did not make; choose another --study")
    before, now = StudyConfig.read(folder.config), asked
    was, new = before.space.to_dict(), now.space.to_dict()
    fixed = {name: (was["fixed"].get(name), value) for name, value in new["fixed"].items()}
    pairs = {"search": (was["search"], new["search"]), "baseline": (was["baseline"], new["baseline"])}
    for name, (old, value) in {**pairs, **fixed, "metric": (before.metric, now.metric)}.items():
        if old != value:
            raise ConfigError(
                f"{name}: {value!r}, but {folder.root} was begun with {old!r}; give the same, or another "
                "--study"
            )


def conclude(ablation: Ablation, runs: Sequence[Run], config: StudyConfig) -> dict[str, Any]:
    """What came of it: the content of `ablation.json`.

    An effect is the mean, over all cells that differ in that setting alone, of the difference that changing
    it makes; all of them are paired by query, and every cell's runs tell of the seeds.
    """
    cells = ablation.cells
    return {
        "time": utc_now(),
        "metric": config.metric,
        "seeds": list(ablation.seeds),
        "level": LEVEL,
        "complete": len(runs) == len(ablation.initial_trials.configurations),
        "runs": count_runs(runs, len(ablation.initial_trials.configurations)),
        "reference": dict(ablation.space.baseline),
        "cells": [_cell(point, of_point(runs, point)) for point in cells],
        "effects": [*_effects(ablation, cells, runs), _reranking(cells, runs)],
    }


def _cell(point: Point, runs: Sequence[Run]) -> dict[str, Any]:
    return {
        "settings": point,
        "runs": len(runs),
        "failed": sum(bool(run.failure) for run in runs),
        "figures": figures_of(strata_of(runs)),
        "reranked": figures_of(strata_of(runs, reranked=True)),
    }


def _effects(ablation: Ablation, cells: Sequence[Point], runs: Sequence[Run]) -> Iterator[dict[str, Any]]:
    for factor, parameter in ablation.space.search.items():
        base = ablation.space.baseline.get(factor)
        for index in range(parameter.count or 0):
            value = parameter.value(index)
            if base is None or value == base:
                continue
            pairs = [(cell, {**cell, factor: value}) for cell in cells if cell.get(factor) == base]
            yield _effect(factor, base, value, [pair for pair in pairs if pair[1] in cells], runs)


def _effect(
    factor: str, base: Any, value: Any, pairs: Sequence[tuple[Point, Point]], runs: Sequence[Run]
) -> dict[str, Any]:
    ours: list[Stratum] = []
    theirs: list[Stratum] = []
    used = 0
    for before, after in pairs:
        one, other = (strata_of(of_point(runs, point)) for point in (after, before))
        if one and [s.fold for s in one] == [s.fold for s in other]:
            ours += one
            theirs += other
            used += 1
    found = {"factor": factor, "from": base, "to": value, "cells": used}
    return {**found, "difference": differences_of(ours, theirs)}


def _reranking(cells: Sequence[Point], runs: Sequence[Run]) -> dict[str, Any]:
    of_cells = [of_point(runs, cell) for cell in cells]
    plain = [stratum for mine in of_cells for stratum in strata_of(mine)]
    again = [stratum for mine in of_cells for stratum in strata_of(mine, reranked=True)]
    found = {"factor": RERANKING, "from": "off", "to": "on", "cells": len(plain)}
    return {**found, "difference": differences_of(again, plain, same_runs=True)}
