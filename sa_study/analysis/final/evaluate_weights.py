"""Evaluates a weights file on a test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sa_study.data.dataset import ReidDataset
from sa_study.data.layouts import TEST_SPLITS
from sa_study.study.own_images import is_own_test_set
from sa_study.study.test_ledger import (
    LedgerSummary,
    add_ledger_entry,
    require_writable_ledger,
    study_containing,
)
from sa_study.training.evaluate import evaluate, load_network, load_test_images
from sa_study.utils.progress import PhaseCallback


@dataclass(frozen=True)
class WeightsEvaluation:
    """Figures of a weights file.

    Attributes:
        evaluation: The content of an evaluation file.
        notes: What is to be known of the weights file.
        ledger: How often the study of the file has been evaluated on this test set; None of no study's file.
    """

    evaluation: Mapping[str, Any]
    notes: Sequence[str]
    ledger: LedgerSummary | None


def evaluate_weights(
    weights: Path, data_dir: Path, overrides: Mapping[str, Any], *, reranked: bool, report: PhaseCallback
) -> WeightsEvaluation:
    """Evaluates a weights file; one inside a study's folder is entered in the study's test ledger.

    Args:
        weights: The file.
        data_dir: The data set.
        overrides: Settings that the file does not tell.
        reranked: Whether to compute the re-ranked figures too.
        report: Called with the progress.

    Raises:
        StudyError: The file or the data set cannot be used.
    """
    dataset = ReidDataset(data_dir, TEST_SPLITS)
    trained = load_network(weights, overrides)
    study = study_containing(weights)
    if study:
        require_writable_ledger(study)
    images = load_test_images(dataset, trained.settings, report)
    entry = None
    if study:
        own = is_own_test_set(study, dataset, images, report)
        entry = add_ledger_entry(study, str(weights), images, own=own, reranked=reranked)
    evaluation = evaluate(trained, images, reranked=reranked, report=report)
    ledger = entry.complete({weights.name: evaluation}) if entry else None
    return WeightsEvaluation(evaluation, trained.notes, ledger)
