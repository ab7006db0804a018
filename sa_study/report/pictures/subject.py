"""What pictures are made of: a network, and the queries and the gallery that it is shown with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sa_study.data.dataset import ReidDataset
from sa_study.data.layouts import SPLITS, TEST_SPLITS
from sa_study.data.store import ImageStore, TrainingData, load_training_data
from sa_study.metrics.protocol import protocol_note
from sa_study.training.evaluate import TrainedNetwork, load_network, load_test_images
from sa_study.utils.errors import StudyFolderError, WeightsError
from sa_study.utils.progress import PhaseCallback
from sa_study.utils.text import visible

if TYPE_CHECKING:
    from sa_study.study.folder import StudyFolder
    from sa_study.study.ledger import LedgerEntry


@dataclass(frozen=True, eq=False)
class Subject:
    """A network and its images.

    Attributes:
        trained: The network.
        query: The queries.
        gallery: The gallery.
        network: The network in words, for titles.
        images: What the queries and the gallery are.
        known: The network's training images, where these are known.
        names: Identity of each class, or None if unknown.
        reranked: Whether the re-ranked figures are shown too.
        ledger_entry: The test ledger's entry, where a study's test set is shown.
    """

    trained: TrainedNetwork
    query: ImageStore
    gallery: ImageStore
    network: str
    images: str
    known: TrainingData | None = None
    names: list[int] | None = None
    reranked: bool = False
    ledger_entry: LedgerEntry | None = None

    @property
    def where(self) -> str:
        """The network and its images, for titles."""
        note = protocol_note(self.query.protocol)
        return "; ".join(filter(None, (self.network, self.images, note)))


def subject_of_study(
    root: Path,
    data_dir: Path | None,
    *,
    test: bool,
    reranked: bool = False,
    report: PhaseCallback = lambda *_: None,
) -> Subject:
    """A study's best network so far, also while the study runs; only its test ledger is written.

    It is shown with the validation split, and then no test image is opened, or with the test set, of
    `data_dir` or of the study's own data set.

    Raises:
        StudyFolderError: `root` is no study's folder, or has no best weights yet.
        DataError: The images are missing, or not those that the study was begun with.
        WeightsError: The weights are damaged, or not of these images.
    """
    # Reading a study's description takes PyYAML, which a weights file alone does not need.
    from sa_study.provenance import require_same_images
    from sa_study.study.config import StudyConfig
    from sa_study.study.folder import StudyFolder
    from sa_study.study.lock import current_driver

    folder = StudyFolder.existing(root)
    config = StudyConfig.read(folder.config)
    if not folder.best_weights.is_file():
        running = current_driver(folder.lock)
        when = "the launch has ended with a complete trial" if running else "a trial is complete"
        raise StudyFolderError(
            f"{root}: has no best.pt yet; it is written when {when} "
            f"('status --study {root}' shows the state, 'resume --study {root}' goes on)"
        )
    dataset = config.dataset(data_dir, TEST_SPLITS if test else SPLITS)
    trained = load_network(folder.best_weights, {})
    name = f"Best trial of study {visible(folder.root.name)}, epoch {trained.epoch}"
    if test:
        return _on_test_set(trained, dataset, name, folder, reranked, report)
    data = load_training_data(dataset, trained.settings, partial(report, "decode"))
    require_same_images(folder.provenance, data.store.fingerprint, dataset.root)
    return _on_validation(trained, data, name, reranked)


def subject_of_weights(
    path: Path,
    data_dir: Path,
    overrides: Mapping[str, Any],
    *,
    reranked: bool = False,
    report: PhaseCallback = lambda *_: None,
) -> Subject:
    """A weights file's network with a data set's test images; the names of its classes are unknown.

    Where the file lies in a study's folder, the study's test ledger gets an entry.

    Raises:
        StudyError: The file, the overrides or the images cannot be used.
    """
    from sa_study.study.ledger import study_containing

    dataset = ReidDataset(data_dir, TEST_SPLITS)
    trained = load_network(path, overrides)
    name = visible(path.name) + ("" if trained.epoch is None else f", epoch {trained.epoch}")
    return _on_test_set(trained, dataset, name, study_containing(path), reranked, report)


def _on_validation(trained: TrainedNetwork, data: TrainingData, name: str, reranked: bool) -> Subject:
    store = data.store
    names: list[int] = np.unique(store.pids[data.train]).tolist()
    classes = trained.net.get_submodule(f"instance{trained.net.parts}").out_features
    if classes != len(names):
        raise WeightsError(
            f"{trained.source}: distinguishes {classes} identities, but the study trains on {len(names)}; "
            "it is not this study's"
        )
    query, gallery = store.part(data.query), store.part(data.gallery)
    images = (
        f"validation split: {len(query.images):,} queries, {len(gallery.images):,} gallery images (held-out "
        "training identities; test set not opened)"
    )
    return Subject(trained, query, gallery, name, images, data, names, reranked)


def _on_test_set(
    trained: TrainedNetwork,
    dataset: ReidDataset,
    name: str,
    study: StudyFolder | None,
    reranked: bool,
    report: PhaseCallback,
) -> Subject:
    if study:
        from sa_study.study.ledger import add_ledger_entry, is_own_test_set, require_writable_ledger

        require_writable_ledger(study)
    images = load_test_images(dataset, trained.settings, report)
    entry, seen = None, ""
    if study:
        own = is_own_test_set(study, dataset, images, report)
        what = f"pictures of {trained.source.name}"
        entry = add_ledger_entry(study, what, images, own=own, reranked=reranked)
        seen = "" if own else " of other data than the study's own"
        seen += f", seen {count} times" if (count := entry.summary.count) > 1 else ""
    query, gallery = images.query, images.gallery
    shown = f"TEST SET{seen}: {len(query.images):,} queries, {len(gallery.images):,} gallery images"
    return Subject(trained, query, gallery, name, shown, reranked=reranked, ledger_entry=entry)
