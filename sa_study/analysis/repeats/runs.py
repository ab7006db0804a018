"""Configurations trained with several seeds and folds: the study that trains them, scores, statistics."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import TrialState

from sa_study.data.store import DataByFold, TrainingData, any_fold
from sa_study.metrics import names
from sa_study.metrics.confidence import LEVEL, Stratum, estimate
from sa_study.metrics.query_scores import QueryScores
from sa_study.provenance import require_same_images, utc_now
from sa_study.settings.space import Parameter, Scheduler, SearchSpace
from sa_study.study.config import StudyConfig
from sa_study.study.database import read_trials
from sa_study.study.folder import StudyFolder, trial_folder
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import TrialSummary
from sa_study.study.winner import best_checkpoint_file
from sa_study.training.evaluate import EvaluationImages, evaluate, load_network
from sa_study.tuning.launch.launch import Outcome, launch, resume
from sa_study.tuning.launch.observer import LaunchObserver
from sa_study.tuning.launch.prepare import StudyChanges, find_images
from sa_study.tuning.search.initial_trials import InitialTrials
from sa_study.utils.errors import ConfigError, DataError, RunFailed
from sa_study.utils.files import read_json, write_json
from sa_study.utils.progress import ProgressCallback

Configuration = dict[str, Any]
"""A value for each searched setting except seed and fold; with these two it is a run's."""

_VARIED_SETTINGS = ("seed", "fold")  # the settings that vary between the runs of one configuration
_MAX_SEED = 2**31 - 1
_MAX_DIFFERENCE = 0.005
"""Largest difference, a fraction, between a metric as recorded by a worker and as computed here: the devices
may differ."""


@dataclass(frozen=True)
class RepeatStudy:
    """A study that trains given configurations again with several seeds, launched or still to be launched.

    Attributes:
        folder: The study's folder.
        config: The study's description, used if it is new.
        initial_trials: All configurations, with seed and fold.
    """

    folder: StudyFolder
    config: StudyConfig
    initial_trials: InitialTrials

    def run(self, observer: LaunchObserver, changes: StudyChanges) -> Outcome:
        """Launches the study, or resumes it with these changes and what it lacks; raises as `launch`."""
        root, asked = self.folder.root, len(self.initial_trials.configurations)
        if not self.folder.config.exists():
            return launch(root, self.config, observer, self.initial_trials)
        begun = sum(trial.state != TrialState.WAITING for trial in read_trials(self.folder))
        if begun > asked:
            raise ConfigError(f"--seeds: {root} has begun {begun} runs, more than these {asked}; give more")
        return resume(root, dataclasses.replace(changes, trials=asked), observer, self.initial_trials)


def repeat_space(space: SearchSpace, seed: int, folds: Sequence[int] | None) -> SearchSpace:
    """A space that also searches the seed and the fold; no trial is stopped early.

    Its baseline has this seed and the first fold. If `folds` is None, all trials have the fold that the space
    fixes.
    """
    added = {"seed": Parameter("int", 0, _MAX_SEED)}
    first = {"seed": seed}
    if folds is not None:
        added["fold"] = Parameter("categorical", choices=tuple(folds))
        first["fold"] = folds[0]
    return dataclasses.replace(
        space,
        search={**without_seed_and_fold(space.search), **added},
        fixed={name: value for name, value in space.fixed.items() if name not in added},
        baseline={**without_seed_and_fold(space.baseline), **first},
        sampler="random",  # never asked: every configuration is given
        scheduler=Scheduler("none"),
    )


def repeated_configurations(
    configurations: Sequence[Configuration], seeds: Sequence[int], folds: Sequence[int] | None
) -> tuple[Configuration, ...]:
    """Every configuration with every seed on every fold.

    Seeds vary slowest: an interrupted study has about equally many runs of each configuration.
    """
    of_folds: list[Configuration] = [{}] if folds is None else [{"fold": fold} for fold in folds]
    return tuple(
        {**configuration, "seed": seed, **of_fold}
        for seed in seeds
        for of_fold in of_folds
        for configuration in configurations
    )


def without_seed_and_fold(settings: Mapping[str, Any]) -> Configuration:
    """The configuration to which a run's searched settings belong."""
    return {name: value for name, value in settings.items() if name not in _VARIED_SETTINGS}


@dataclass(frozen=True)
class Run:
    """A configuration trained with one seed on one fold.

    Attributes:
        trial: The run's number in the study of the repeats.
        configuration: The configuration.
        seed: The seed.
        fold: The fold of the validation identities.
        figures: The best epoch's figures; empty if the run failed before its first.
        failure: Why the run failed, or empty.
        scores: Each validation query's scores at the best epoch; None for a failed run.
        reranked: The scores after re-ranking, if asked for.
    """

    trial: int
    configuration: Configuration
    seed: int
    fold: int
    figures: Mapping[str, float]
    failure: str = ""
    scores: QueryScores | None = None
    reranked: QueryScores | None = None


def scored_runs(folder: StudyFolder, *, reranked: bool = False, report: ProgressCallback) -> list[Run]:
    """The runs that have ended, with their queries' scores, which are kept in the folder for the next time.

    Raises:
        RunFailed: A checkpoint is gone, or does not give the recorded figures.
        DataError: The images cannot be read.
    """
    study = StudySummary.read(folder.root)
    ended = [trial for trial in study.trials if trial.state in ("COMPLETE", "FAIL")]
    images: DataByFold | None = None  # decoded once a run is to be scored
    runs = []
    for done, trial in enumerate(ended):
        report(done, len(ended))
        fold, record = study.value(trial, "fold"), trial.record
        scores: dict[str, QueryScores] = {}
        if not record.failure:
            kept = folder.root / "scores" / f"{trial_folder(trial.number)}.json"
            scores = _read_scores(kept, record.best_checkpoint)
            if "plain" not in scores or (reranked and "reranked" not in scores):
                images = images or _load_images(study)
                scores = _score(study, trial, images[fold], reranked)
                _write_scores(kept, record.best_checkpoint, scores)
        runs.append(
            Run(
                trial.number,
                without_seed_and_fold(trial.params),
                trial.params["seed"],
                fold,
                record.best,
                record.failure,
                scores.get("plain"),
                scores.get("reranked"),
            )
        )
    report(len(ended), len(ended))
    return runs


def _load_images(study: StudySummary) -> DataByFold:
    """The images that the runs were trained on and validated with, by fold."""
    data = find_images(study.config).decode()
    require_same_images(study.folder.provenance, any_fold(data).store.fingerprint, study.config.data_dir)
    return data


def _score(
    study: StudySummary, trial: TrialSummary, data: TrainingData, reranked: bool
) -> dict[str, QueryScores]:
    """The scores of a trial's best epoch, `plain` and, if asked for, `reranked`."""
    with best_checkpoint_file(study, trial) as path:
        network = load_network(path, {})
    query, gallery = data.store.part(data.query), data.store.part(data.gallery)
    images = EvaluationImages(study.config.data_dir, query, gallery, seconds=0.0)
    found = evaluate(network, images, reranked=reranked)
    now, then = found[trial.metric], trial.record.best[trial.metric]
    if abs(now - then) > _MAX_DIFFERENCE:
        raise RunFailed(
            f"trial {trial.number}: its checkpoint gives {trial.metric} {now:.4f}, but {then:.4f} was "
            f"recorded; 'audit --study {study.folder.root}' shows what is wrong"
        )
    parts = {"plain": found, "reranked": found["reranked"]}
    return {name: QueryScores.from_dict(part["per_query"], name) for name, part in parts.items() if part}


def _write_scores(path: Path, checkpoint: str, scores: Mapping[str, QueryScores]) -> None:
    path.parent.mkdir(exist_ok=True)
    parts = {name: scores[name].to_dict() if name in scores else None for name in ("plain", "reranked")}
    write_json(path, {"checkpoint": checkpoint, **parts})


def _read_scores(path: Path, checkpoint: str) -> dict[str, QueryScores]:
    """The stored scores of this checkpoint; empty if there are none or the file is damaged."""
    try:
        values = read_json(path)
        if values.pop("checkpoint") != checkpoint:
            return {}
        return {name: QueryScores.from_dict(part, str(path)) for name, part in values.items() if part}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, DataError):
        return {}


def runs_of(configuration: Configuration, runs: Sequence[Run]) -> list[Run]:
    """The runs of one configuration."""
    return [run for run in runs if run.configuration == configuration]


def strata_of(runs: Sequence[Run], *, reranked: bool = False) -> list[Stratum]:
    """The query scores of runs of one configuration, by fold; failed runs are left out."""
    by_fold: dict[int, list[QueryScores]] = {}
    for run in sorted(runs, key=lambda run: (run.fold, run.seed)):
        if (scores := run.reranked if reranked else run.scores) is not None:
            by_fold.setdefault(run.fold, []).append(scores)
    return [Stratum(fold, of_fold) for fold, of_fold in by_fold.items()]


def statistics_by_metric(strata: Sequence[Stratum]) -> dict[str, dict[str, float]] | None:
    """Mean, standard deviation over runs (n - 1; 0 for one run) and 95 % interval, as plain values.

    Returns:
        By study metric, fractions; None where there is no run.
    """
    if not strata:
        return None
    found = {}
    for figure in names.STUDY_METRICS:
        values = [float(run.of(figure).mean()) for stratum in strata for run in stratum.runs]
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        of_mean = estimate(strata, figure)
        found[figure] = {"mean": of_mean.mean, "std": deviation, "low": of_mean.low, "high": of_mean.high}
    return found


def summarise_runs(runs: Sequence[Run]) -> dict[str, Any]:
    """How many runs of a configuration ended and failed, and the statistics of those that did not fail."""
    failed = sum(bool(run.failure) for run in runs)
    return {"runs": len(runs), "failed": failed, "figures": statistics_by_metric(strata_of(runs))}


def describe_repeats(runs: Sequence[Run], asked: int, seeds: Sequence[int], metric: str) -> dict[str, Any]:
    """The entries that `confirmation.json` and `ablation.json` share; `asked` runs are planned."""
    failed = sum(bool(run.failure) for run in runs)
    return {
        "time": utc_now(),
        "metric": metric,
        "seeds": list(seeds),
        "level": LEVEL,
        "complete": len(runs) == asked,
        "runs": {"asked": asked, "ended": len(runs), "failed": failed},
    }
