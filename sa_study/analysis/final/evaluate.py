"""Evaluates a study's winner, or a weights file, on a test set; searching and training never open one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sa_study.data.dataset import ReidDataset
from sa_study.data.layouts import TEST_SPLITS
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.study.ledger import (
    LedgerSummary,
    add_ledger_entry,
    is_own_test_set,
    ledger_summary,
    require_writable_ledger,
    study_containing,
)
from sa_study.study.records import BASELINE
from sa_study.study.summary import StudySummary
from sa_study.study.winner import save_trial_weights, save_winner
from sa_study.training.evaluate import evaluate, evaluation_file, load_network, load_test_images
from sa_study.utils.errors import ConfigError, RunFailed
from sa_study.utils.files import require_writable, write_json
from sa_study.utils.progress import PhaseCallback


@dataclass(frozen=True)
class TestFigures:
    """Figures of networks on one test set.

    Attributes:
        evaluations: Contents of the evaluation files, by network.
        ledger: How often their study has been evaluated on this test set; empty for weights of no study.
        own: Whether the test set is the study's own.
        files: The files that were written, by network.
        notes: Remarks on a weights file.
    """

    evaluations: Mapping[str, Mapping[str, Any]]
    ledger: LedgerSummary
    own: bool = True
    files: Mapping[str, Path] = field(default_factory=dict)
    notes: Sequence[str] = ()


def named_test_sets(data_dirs: Sequence[Path]) -> dict[str, Path]:
    """Data sets by the shortest ends of their paths that tell them apart, such as `market` or `a/market`.

    Raises:
        DataError: One cannot be evaluated on.
        ConfigError: One is given twice.
    """
    roots: list[Path] = []
    for data_dir in data_dirs:
        dataset = ReidDataset(data_dir, TEST_SPLITS)
        dataset.require_matches()
        if dataset.root in roots:
            raise ConfigError(f"--data-dir {data_dir}: is given twice")
        roots.append(dataset.root)
    length, named = 0, dict[str, Path]()
    while len(named) < len(roots):
        length += 1
        named = {str(Path(*root.parts[-length:])): root for root in roots}
    return named


def evaluate_study(
    root: Path, data_dir: Path | None, *, reranked: bool, baseline: bool, report: PhaseCallback
) -> TestFigures:
    """Evaluates a study's best checkpoint, and records that in the study's test ledger.

    Writes `evaluation.json` into the study's folder and, where the baseline's best epoch is asked for too,
    `baseline_evaluation.json`. Figures on another data set (`data_dir`) are written beside those on the
    study's own test set, never over them.

    Raises:
        RunFailed: No trial is complete, or the baseline has no checkpoint.
    """
    folder = StudyFolder.existing(root)
    config = StudyConfig.read(folder.config)
    for path in folder.evaluation_files.values():
        require_writable(path)
    ledger_summary(folder)  # a damaged ledger is named before anything is written
    dataset = config.dataset(data_dir, TEST_SPLITS)
    study = StudySummary.read(root)
    winner = save_winner(study)
    if winner is None:
        raise RunFailed(f"{root}: no trial is complete yet; go on with 'resume --study {root}'")
    networks = {"best": load_network(folder.best_weights, {})}
    if baseline:
        if study.baseline is None or not study.baseline.record.best:
            raise RunFailed(f"{root}: the baseline (trial {BASELINE}) has no checkpoint to evaluate")
        save_trial_weights(study, study.baseline, folder.baseline_weights)
        networks["baseline"] = load_network(folder.baseline_weights, {})
    images = load_test_images(dataset, config.space.settings(winner.params), report)
    own = is_own_test_set(folder, dataset, images, report)
    files = {name: evaluation_file(folder.evaluation_files[name], images, own=own) for name in networks}
    for path in files.values():
        require_writable(path)
    what = f"best (trial {winner.number})" + (" and baseline" if baseline else "")
    entry = add_ledger_entry(folder, what, images, own=own, reranked=reranked)
    evaluations = {}
    for name, network in networks.items():
        evaluations[name] = evaluate(network, images, reranked=reranked, report=report)
        write_json(files[name], evaluations[name])
    return TestFigures(evaluations, entry.complete(evaluations), own, files)


def evaluate_weights(
    weights: Path, data_dir: Path, overrides: Mapping[str, Any], *, reranked: bool, report: PhaseCallback
) -> TestFigures:
    """Evaluates a weights file; for one inside a study's folder, the study's test ledger records it.

    The file's name is the key of the figures. `overrides` are settings that the file does not hold.

    Raises:
        StudyError: The file or the data set cannot be used.
    """
    dataset = ReidDataset(data_dir, TEST_SPLITS)
    network = load_network(weights, overrides)
    study = study_containing(weights)
    if study:
        require_writable_ledger(study)
    images = load_test_images(dataset, network.settings, report)
    entry = None
    if study:
        own = is_own_test_set(study, dataset, images, report)
        entry = add_ledger_entry(study, str(weights), images, own=own, reranked=reranked)
    evaluations = {weights.name: evaluate(network, images, reranked=reranked, report=report)}
    ledger = entry.complete(evaluations) if entry else LedgerSummary()
    return TestFigures(evaluations, ledger, notes=network.notes)
