"""What each validation query scored in the best epoch of a run, computed from the run's checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from sa_study.analysis.repeats.runs import Run, ended_runs
from sa_study.data.store import DataByFold, TrainingData, any_fold
from sa_study.metrics.distances import rank_features
from sa_study.metrics.query_scores import QueryScores
from sa_study.metrics.ranking import RankingMetrics, ranking_metrics
from sa_study.metrics.reranking import rerank_features
from sa_study.study.folder import StudyFolder
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import TrialSummary
from sa_study.study.winner import best_checkpoint_file
from sa_study.training.evaluate import TrainedNetwork, load_network
from sa_study.training.features import features_of
from sa_study.tuning.launch.prepare import load_data
from sa_study.utils.errors import DataError, RunFailed
from sa_study.utils.files import read_json, write_json
from sa_study.utils.progress import ProgressCallback

_TOLERANCE = 0.005
"""Largest difference, a fraction, between a metric recorded by a worker and the same computed here: the
devices may differ."""

_Scores = tuple[QueryScores, QueryScores | None]
"""Plain scores, and re-ranked ones where they were asked for."""


def scored_runs(
    folder: StudyFolder,
    *,
    reranked: bool = False,
    report: ProgressCallback = lambda done, total: None,
) -> list[Run]:
    """The runs that have ended, with their queries' scores, which are kept in the folder for the next time.

    Args:
        folder: The study of the repeats.
        reranked: Whether to compute the scores after re-ranking too.
        report: Called with the number of scored runs and that of all.

    Raises:
        RunFailed: A checkpoint is gone, or does not give the figures that were recorded.
        DataError: The images cannot be read.
    """
    study = StudySummary.read(folder.root)
    runs = ended_runs(study)
    images: DataByFold | None = None  # decoded once a run is to be scored
    found = []
    for done, (trial, run) in enumerate(runs):
        report(done, len(runs))
        if run.failure:
            found.append(run)
            continue
        kept = folder.root / "scores" / f"trial_{trial.number:04d}.json"
        checkpoint = trial.record.best_checkpoint
        scores = _read(kept, checkpoint)
        if scores is None or (reranked and scores[1] is None):
            images = images or _load_images(study)
            scores = _score(study, trial, images[run.fold], reranked)
            _write(kept, checkpoint, scores)
        found.append(replace(run, scores=scores[0], reranked=scores[1]))
    report(len(runs), len(runs))
    return found


def _load_images(study: StudySummary) -> DataByFold:
    """The images that the runs were trained on and validated with, by fold."""
    data = load_data(study.config, None)
    if any_fold(data).store.fingerprint != study.provenance["data_fingerprint"]:
        raise DataError(
            f"{study.config.data_dir}: its images are not those that {study.folder.root} was begun with, so "
            "scores on them cannot be compared with its figures; put the same images there"
        )
    return data


def _score(study: StudySummary, trial: TrialSummary, data: TrainingData, reranked: bool) -> _Scores:
    with best_checkpoint_file(study, trial) as path:
        network = load_network(path, {})
    plain, after_reranking = _rank(network, data, reranked)
    now, then = float(getattr(plain, trial.metric)), trial.record.best[trial.metric]
    if abs(now - then) > _TOLERANCE:
        raise RunFailed(
            f"trial {trial.number}: its checkpoint gives {trial.metric} {now:.4f}, but {then:.4f} was "
            f"recorded; 'audit --study {study.folder.root}' tells what is wrong"
        )
    return plain.queries, after_reranking.queries if after_reranking else None


def _rank(
    network: TrainedNetwork, data: TrainingData, reranked: bool
) -> tuple[RankingMetrics, RankingMetrics | None]:
    net, settings, images = network.net, network.settings, data.store.images
    query, gallery = (features_of(net, settings, images, part) for part in (data.query, data.gallery))
    pids, camids = data.store.pids, data.store.camids
    labels = pids[data.query], pids[data.gallery], camids[data.query], camids[data.gallery]
    plain = rank_features(query, gallery, *labels)
    return plain, ranking_metrics(rerank_features(query, gallery), *labels) if reranked else None


def _write(path: Path, checkpoint: str, scores: _Scores) -> None:
    path.parent.mkdir(exist_ok=True)
    plain, reranked = scores
    values: dict[str, Any] = {"checkpoint": checkpoint, "plain": plain.to_dict()}
    write_json(path, {**values, "reranked": reranked.to_dict() if reranked else None})


def _read(path: Path, checkpoint: str) -> _Scores | None:
    """The scores that were kept of this checkpoint; None where there are none, or the file is damaged."""
    try:
        values = read_json(path)
        if values["checkpoint"] != checkpoint:
            return None
        plain, reranked = (
            QueryScores.from_dict(part, str(path)) if part else None
            for part in (values["plain"], values["reranked"])
        )
        return (plain, reranked) if plain else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, DataError):
        return None
