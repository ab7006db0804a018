"""Evaluates a study's winner on the test set, which nothing before has opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sa_study.data.layouts import TEST_SPLITS
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.study.own_images import is_own_test_set
from sa_study.study.records import BASELINE
from sa_study.study.summary import StudySummary
from sa_study.study.test_ledger import LedgerSummary, add_ledger_entry, ledger_summary
from sa_study.study.winner import save_trial_weights, save_winner
from sa_study.training.evaluate import evaluate, evaluation_file, load_network, load_test_images
from sa_study.utils.errors import RunFailed
from sa_study.utils.files import require_writable, write_json
from sa_study.utils.progress import PhaseCallback


@dataclass(frozen=True)
class StudyEvaluation:
    """Figures of a study's networks on one test set.

    Attributes:
        evaluations: Contents of the evaluation files, by network: `best`, and `baseline` if asked for.
        files: The files, by the same names.
        own: Whether the test set is the study's own.
        ledger: How often the study has been evaluated on this test set.
    """

    evaluations: Mapping[str, Mapping[str, Any]]
    files: Mapping[str, Path]
    own: bool
    ledger: LedgerSummary


def evaluate_study(
    root: Path, data_dir: Path | None, *, reranked: bool, baseline: bool, report: PhaseCallback
) -> StudyEvaluation:
    """Evaluates a study's best checkpoint, and enters that in the study's test ledger.

    Figures on other data than the study's own are written beside those on its own test set, never over them.

    Args:
        root: The study's folder; `evaluation.json` is written there.
        data_dir: The data set, or None for the study's own.
        reranked: Whether to compute the re-ranked figures too.
        baseline: Whether to evaluate the baseline's best epoch too, into `baseline_evaluation.json`.
        report: Called with the progress.

    Raises:
        RunFailed: No trial is complete, or the baseline has no checkpoint.
    """
    folder = StudyFolder.existing(root)
    config = StudyConfig.read(folder.config)
    for path in (folder.evaluation, folder.baseline_evaluation):
        require_writable(path)
    ledger_summary(folder)  # a damaged ledger is named before anything is written
    dataset = config.dataset(data_dir, TEST_SPLITS)
    study = StudySummary.read(root)
    winner = save_winner(study)
    if winner is None:
        raise RunFailed(f"{root}: no trial is complete yet; go on with 'resume --study {root}'")
    files, networks = {"best": folder.evaluation}, {"best": load_network(folder.best_weights, {})}
    if baseline:
        if study.baseline is None or not study.baseline.record.best:
            raise RunFailed(f"{root}: the baseline (trial {BASELINE}) has no checkpoint to evaluate")
        save_trial_weights(study, study.baseline, folder.baseline_weights)
        files["baseline"] = folder.baseline_evaluation
        networks["baseline"] = load_network(folder.baseline_weights, {})
    images = load_test_images(dataset, config.space.settings(winner.params), report)
    own = is_own_test_set(folder, dataset, images, report)
    files = {name: evaluation_file(path, images, own=own) for name, path in files.items()}
    for path in files.values():
        require_writable(path)
    what = f"best (trial {winner.number})" + (" and baseline" if baseline else "")
    entry = add_ledger_entry(folder, what, images, own=own, reranked=reranked)
    evaluations = {}
    for name, path in files.items():
        evaluations[name] = evaluate(networks[name], images, reranked=reranked, report=report)
        write_json(path, evaluations[name])
    return StudyEvaluation(evaluations, files, own, entry.complete(evaluations))
