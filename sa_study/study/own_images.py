"""Which test images are a study's own: its figures on others are kept in files of their own.

A study's own test set is that of the data set with whose training images it was begun. Once it was evaluated,
the test ledger knows it by its fingerprints; before that the training images tell, wherever the data lie now.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from sa_study.data.dataset import ReidDataset
from sa_study.data.split import limit_identities
from sa_study.data.store import fingerprint
from sa_study.metrics.comparability import ranked_images
from sa_study.provenance import read_provenance
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.study.test_ledger import own_test_images
from sa_study.training.evaluate import EvaluationImages
from sa_study.utils.errors import DataError
from sa_study.utils.files import read_json
from sa_study.utils.progress import PhaseCallback


def is_own_test_set(
    folder: StudyFolder,
    dataset: ReidDataset,
    images: EvaluationImages,
    report: PhaseCallback = lambda *_: None,
) -> bool:
    """Whether the test images of a data set are a study's own.

    Args:
        folder: The study.
        dataset: The data set.
        images: Its test images.
        report: Called with a phase, what is done of it, and how much there is in all.

    Raises:
        StudyFolderError: The study's ledger or description is damaged.
    """
    if known := own_test_images(folder):
        return known == images.fingerprints
    config = StudyConfig.read(folder.config)
    if earlier := _evaluated_before(folder, config):
        return earlier == images.fingerprints
    settings = config.space.settings(config.space.baseline)
    try:  # a test set can be evaluated without training images
        train = ReidDataset(dataset.root, ("train",)).train
        records = limit_identities(train, settings.identities, settings.split_seed)
        found = fingerprint(records, partial(report, "training images"))
    except (DataError, OSError):
        found = None
    if found is None:
        return _lies_in(dataset.root, config.data_dir)
    return bool(found == read_provenance(folder.provenance)["data_fingerprint"])


def _evaluated_before(folder: StudyFolder, config: StudyConfig) -> dict[str, str]:
    """The test images of the study's data folder that an earlier version evaluated; empty if it did not."""
    for path in (folder.evaluation, folder.baseline_evaluation):
        try:
            found = read_json(path)
            if len(images := ranked_images(found)) == 2 and _lies_in(
                Path(found["data"]["root"]), config.data_dir
            ):
                return images
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return {}


def _lies_in(root: Path, data_dir: Path) -> bool:
    """Whether a data set's folder is the one that was named, or the one inside of it."""
    return root.resolve().is_relative_to(data_dir.resolve())
