"""What each validation query scored in the best epoch of a run, computed from the run's checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from sa_study.analysis.repeats.runs import Run, ended_runs
from sa_study.data.device_images import DeviceImages
from sa_study.data.store import DataByFold, TrainingData, any_fold
from sa_study.metrics.distances import rank_features
from sa_study.metrics.query_scores import QueryScores
from sa_study.metrics.ranking import RankingMetrics, ranking_metrics
from sa_study.metrics.reranking import rerank_features
from sa_study.provenance import read_provenance
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.study.records import read_record
from sa_study.study.storage import Storage
from sa_study.training.checkpoint import FILE_NAME
from sa_study.training.evaluate import TrainedNetwork, load_network
from sa_study.training.features import extract_features
from sa_study.training.precision import memory_format, prepare_device
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
    trials: Sequence[FrozenTrial],
    *,
    reranked: bool = False,
    report: ProgressCallback = lambda done, total: None,
) -> list[Run]:
    """The runs that have ended, with their queries' scores, which are kept in the folder for the next time.

    Args:
        folder: The study of the repeats.
        trials: Its trials.
        reranked: Whether to compute the scores after re-ranking too.
        report: Called with the number of scored runs and that of all.

    Raises:
        RunFailed: A checkpoint is gone, or does not give the figures that were recorded.
        DataError: The images cannot be read.
    """
    config = StudyConfig.read(folder.config)
    runs = list(ended_runs(trials, config.space.settings(config.space.baseline).fold))
    images: DataByFold | None = None  # decoded once a run is to be scored
    found = []
    for done, (trial, run) in enumerate(runs):
        report(done, len(runs))
        if run.failure:
            found.append(run)
            continue
        kept = folder.root / "scores" / f"trial_{trial.number:04d}.json"
        checkpoint = read_record(trial).best_checkpoint
        scores = _read(kept, checkpoint)
        if scores is None or (reranked and scores[1] is None):
            images = images or _load_images(folder, config)
            scores = _score(folder, config, trial, images[run.fold], reranked)
            _write(kept, checkpoint, scores)
        found.append(replace(run, scores=scores[0], reranked=scores[1]))
    report(len(runs), len(runs))
    return found


def _load_images(folder: StudyFolder, config: StudyConfig) -> DataByFold:
    """The images that the runs were trained on and validated with, by fold."""
    data = load_data(config, None)
    if any_fold(data).store.fingerprint != read_provenance(folder.provenance)["data_fingerprint"]:
        raise DataError(
            f"{config.data_dir}: its images are not those that {folder.root} was begun with, so scores on "
            "them cannot be compared with its figures; put the same images there"
        )
    return data


def _score(
    folder: StudyFolder, config: StudyConfig, trial: FrozenTrial, data: TrainingData, reranked: bool
) -> _Scores:
    record = read_record(trial)
    storage = Storage.of_study(folder, config.storage_path)
    try:
        with storage.checkpoint(record.best_checkpoint).as_directory() as place:
            network = load_network(Path(place) / FILE_NAME, {})
    except OSError as error:
        raise RunFailed(f"trial {trial.number}: {record.best_checkpoint} cannot be read ({error})") from None
    plain, after_reranking = _rank(network, data, reranked)
    now, then = float(getattr(plain, config.metric)), record.best[config.metric]
    if abs(now - then) > _TOLERANCE:
        raise RunFailed(
            f"trial {trial.number}: its checkpoint gives {config.metric} {now:.4f}, but {then:.4f} was "
            f"recorded; 'audit --study {folder.root}' tells what is wrong"
        )
    return plain.queries, after_reranking.queries if after_reranking else None


def _rank(
    network: TrainedNetwork, data: TrainingData, reranked: bool
) -> tuple[RankingMetrics, RankingMetrics | None]:
    settings = network.settings
    device = prepare_device(settings)
    net = network.net.to(device).to(memory_format=memory_format(settings))
    images = DeviceImages(data.store.images, device, resident=False)
    query, gallery = (extract_features(net, images, part, settings) for part in (data.query, data.gallery))
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
