"""`ablate`: what does each setting contribute? Cells of a grid, or of one change each, with several seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sa_study.analysis.compare import figure_differences
from sa_study.analysis.repeats.runs import (
    Configuration,
    RepeatStudy,
    Run,
    describe_repeats,
    repeat_space,
    repeated_configurations,
    runs_of,
    scored_runs,
    statistics_by_metric,
    strata_of,
    summarise_runs,
)
from sa_study.metrics.confidence import Stratum
from sa_study.metrics.protocol import PROTOCOL
from sa_study.settings.space import SearchSpace
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.study.records import ABLATES
from sa_study.study.summary import StudySummary
from sa_study.tuning.search.initial_trials import InitialTrials
from sa_study.utils.errors import ConfigError
from sa_study.utils.files import write_json
from sa_study.utils.progress import ProgressCallback

_MAX_RUNS = 100_000


@dataclass(frozen=True)
class Ablation:
    """A plan of `ablate`: its cells and seeds.

    Attributes:
        space: A finite space; effects are changes from its baseline.
        seeds: Seeds of every cell.
        one_at_a_time: Whether its cells are changes of one setting, and all of them together, not a grid.
    """

    space: SearchSpace
    seeds: tuple[int, ...]
    one_at_a_time: bool = False

    @property
    def cells(self) -> list[Configuration]:
        """Every configuration once, the baseline first."""
        return self.space.single_changes() if self.one_at_a_time else self.space.grid()

    @property
    def design(self) -> str | bool:
        """How the cells were chosen, as the study's database has it; True is a grid."""
        return "one at a time" if self.one_at_a_time else True

    @property
    def initial_trials(self) -> InitialTrials:
        """All runs: every cell with every seed."""
        return InitialTrials(repeated_configurations(self.cells, self.seeds, None), {ABLATES: self.design})

    def study(self, asked: StudyConfig) -> StudyConfig:
        """The study that trains these runs, with all other settings of the study asked for."""
        space = repeat_space(self.space, self.seeds[0], None)
        return dataclasses.replace(asked, space=space, trials=len(self.initial_trials.configurations))


def plan_ablation(space: SearchSpace, seeds: int, *, one_at_a_time: bool = False) -> Ablation:
    """Plans every cell of a space with this many seeds.

    Raises:
        ConfigError: The space is no finite grid, searches nothing, or searches the seed.
    """
    if seeds < 1:
        raise ConfigError(f"--seeds: {seeds} is not at least 1")
    if "seed" in space.search:
        raise ConfigError("search.seed: an ablation repeats every cell with --seeds; drop it from the space")
    if not space.search:
        raise ConfigError("the space leaves nothing to ablate; list settings under search")
    if space.size is None:
        raise ConfigError("an ablation needs a grid: choices, an int or a step for every setting")
    first = space.settings(space.baseline).seed
    ablation = Ablation(space, tuple(range(first, first + seeds)), one_at_a_time)
    cells = len(ablation.cells) if one_at_a_time else space.size
    if cells * seeds > _MAX_RUNS:
        remedy = "" if one_at_a_time else "; --one-at-a-time has fewer"
        raise ConfigError(f"the grid has {cells} cells and {seeds} seeds, more than {_MAX_RUNS} runs{remedy}")
    return ablation


def prepare_ablation(
    root: Path, asked: StudyConfig, seeds: int, *, one_at_a_time: bool = False
) -> tuple[Ablation, RepeatStudy]:
    """Plans an ablation; StudyError if it is no grid, or the folder holds another study."""
    folder = StudyFolder(root)
    ablation = plan_ablation(asked.space, seeds, one_at_a_time=one_at_a_time)
    config = ablation.study(asked)
    if folder.config.exists():
        require_same_ablation(folder, StudySummary.read(root).attributes, config, ablation.design)
    return ablation, RepeatStudy(folder, config, ablation.initial_trials)


def require_same_ablation(
    folder: StudyFolder, attributes: Mapping[str, Any], asked: StudyConfig, design: str | bool = True
) -> None:
    """Raises a ConfigError unless the study in a folder is, but for its seeds, the ablation asked for."""
    if not attributes.get(ABLATES):
        raise ConfigError(f"{folder.root}: holds a study that 'ablate' did not make; choose another --study")
    if attributes[ABLATES] != design:
        begun = "with" if design is True else "without"
        raise ConfigError(
            f"{folder.root}: was begun {begun} --one-at-a-time; do the same, or choose another --study"
        )
    before = StudyConfig.read(folder.config)
    was, new = before.space.to_dict(), asked.space.to_dict()
    pairs = {name: (was[name], new[name]) for name in ("search", "baseline")}
    pairs |= {name: (was["fixed"].get(name), value) for name, value in new["fixed"].items()}
    for name, (old, value) in {**pairs, "metric": (before.metric, asked.metric)}.items():
        if old != value:
            raise ConfigError(
                f"{name}: {value!r}, but {folder.root} was begun with {old!r}; give the same, or another "
                "--study"
            )


def finish_ablation(ablation: Ablation, study: RepeatStudy, report: ProgressCallback) -> dict[str, Any]:
    """Scores the runs and writes `ablation.json`; returns its content. Raises as `scored_runs`."""
    runs = scored_runs(study.folder, reranked=True, report=report)
    found = conclude_ablation(ablation, runs, study.config.metric)
    found[PROTOCOL] = StudySummary.read(study.folder.root).protocol
    write_json(study.folder.ablation, found)
    return found


def conclude_ablation(ablation: Ablation, runs: Sequence[Run], metric: str) -> dict[str, Any]:
    """Computes the content of `ablation.json`.

    The effect of a change is the mean difference over all pairs of cells that differ in that setting alone.
    Differences are paired by query, and the runs of a cell show the spread between seeds.
    """
    cells = ablation.cells
    return {
        **describe_repeats(runs, len(ablation.initial_trials.configurations), ablation.seeds, metric),
        "reference": dict(ablation.space.baseline),
        "cells": [_cell(cell, runs) for cell in cells],
        "effects": [
            *_effects(ablation, runs),
            *_joint_effect(ablation, runs),
            _reranking_effect(cells, runs),
        ],
    }


def _cell(cell: Configuration, runs: Sequence[Run]) -> dict[str, Any]:
    of_cell = runs_of(cell, runs)
    reranked = statistics_by_metric(strata_of(of_cell, reranked=True))
    return {"settings": cell, **summarise_runs(of_cell), "reranked": reranked}


def _effects(ablation: Ablation, runs: Sequence[Run]) -> Iterator[dict[str, Any]]:
    """The effect of changing each setting from the baseline's value to each other value."""
    cells = ablation.cells
    for factor, parameter in ablation.space.search.items():
        base = ablation.space.baseline.get(factor)
        for value in map(parameter.value, range(parameter.count or 0)):
            if base is not None and value != base:
                before = [cell for cell in cells if cell.get(factor) == base]
                pairs = [(cell, ablation.space.completed({**cell, factor: value})) for cell in before]
                used, difference = _paired_difference([pair for pair in pairs if pair[1] in cells], runs)
                yield {"factor": factor, "from": base, "to": value, "cells": used, "difference": difference}


def _joint_effect(ablation: Ablation, runs: Sequence[Run]) -> Iterator[dict[str, Any]]:
    """The effect of all changes together, where no setting's own effect is measured beside the others'."""
    baseline, *_, together = ablation.cells
    changed = sum(together.get(name) != value for name, value in ablation.space.baseline.items())
    if ablation.one_at_a_time and changed > 1:
        used, difference = _paired_difference([(baseline, together)], runs)
        change = {"factor": "all of them", "from": "the baseline", "to": "changed together"}
        yield {**change, "cells": used, "difference": difference}


def _paired_difference(
    pairs: Sequence[tuple[Configuration, Configuration]], runs: Sequence[Run]
) -> tuple[int, dict[str, dict[str, float]] | None]:
    """How many pairs of cells have runs on the same folds on both sides, and their mean difference."""
    before: list[Stratum] = []
    after: list[Stratum] = []
    used = 0
    for pair in pairs:
        one, other = (strata_of(runs_of(cell, runs)) for cell in pair)
        if other and [stratum.fold for stratum in one] == [stratum.fold for stratum in other]:
            before += one
            after += other
            used += 1
    return used, figure_differences(after, before)


def _reranking_effect(cells: Sequence[Configuration], runs: Sequence[Run]) -> dict[str, Any]:
    of_cells = [runs_of(cell, runs) for cell in cells]
    plain = [stratum for of_cell in of_cells for stratum in strata_of(of_cell)]
    reranked = [stratum for of_cell in of_cells for stratum in strata_of(of_cell, reranked=True)]
    found = {"factor": "re-ranking", "from": "off", "to": "on", "cells": len(plain)}
    return {**found, "difference": figure_differences(reranked, plain, same_runs=True)}
