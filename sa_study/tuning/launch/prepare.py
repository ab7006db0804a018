"""What a launch does before any trial runs: read images, fix the settings, write the study's files."""

from __future__ import annotations

import dataclasses
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sa_study.data.dataset import ReidDataset
from sa_study.data.store import DataByFold, any_fold, load_folds
from sa_study.provenance import append_launch, read_provenance
from sa_study.settings.space_file import complete, override
from sa_study.study.config import StudyConfig
from sa_study.study.database import open_storage, study_attributes
from sa_study.study.folder import StudyFolder
from sa_study.study.lock import driver_lock
from sa_study.study.storage import Storage
from sa_study.tuning.launch.cluster import Slots
from sa_study.tuning.launch.local_ray import session_parent
from sa_study.tuning.launch.pretrained import (
    PretrainedBackbones,
    backbone_fingerprints,
    require_same_backbones,
)
from sa_study.tuning.search.initial_trials import InitialTrials, create_study, enqueue_trials
from sa_study.utils.errors import ConfigError, StudyFolderError
from sa_study.utils.progress import ProgressCallback


def load_data(
    config: StudyConfig, progress: ProgressCallback | None, *, recorded: bool = False
) -> DataByFold:
    """Decodes the training images and checks that every trial can use them.

    Args:
        config: The study.
        progress: Called while images are decoded.
        recorded: Whether an earlier launch found the data set where the study's description says it is.

    Returns:
        The training and validation images of each fold, which share the decoded images.

    Raises:
        StudyError: The images cannot be used, or not by every trial.
    """
    space = config.space
    settings = space.settings(space.baseline)
    if not settings.val_identities:
        raise ConfigError("val_identities: 0 leaves nothing to compare trials by; a study needs at least 1")
    if config.address is None:
        session_parent()  # raises now instead of after minutes of decoding
    dataset = config.dataset() if recorded else ReidDataset(config.data_dir)
    data = load_folds(dataset, settings, space.possible("fold"), progress)
    largest, fewest = max(space.possible("batch_size")), min(len(part.train) for part in data.values())
    if largest > fewest:
        raise ConfigError(f"batch_size: {largest:g}, but only {fewest} images are trained on")
    return data


def resolve_settings(config: StudyConfig, slots: Slots) -> StudyConfig:
    """Fixes every setting of a new study, so that neither later defaults nor other machines change it.

    Raises:
        ConfigError: A setting needs a GPU, and trials are given none.
    """
    decided = {"threads": max(1, int(slots.cpus)), "device": "auto" if slots.gpus else "cpu"}
    space = complete(override(config.space, {"metric": config.metric}), decided)
    return check_slots(dataclasses.replace(config, space=space), slots)


def check_slots(config: StudyConfig, slots: Slots) -> StudyConfig:
    """The study with the number of GPUs that its slots give to a trial.

    Raises:
        ConfigError: A setting needs a GPU, and trials are given none.
    """
    if config.space.fixed["device"] == "cuda" and not slots.gpus:
        raise ConfigError("device: cuda, but trials are given no GPU; raise --gpus-per-trial")
    return dataclasses.replace(config, gpus_per_trial=slots.gpus)


@contextmanager
def new_study_folder(
    folder: StudyFolder,
    config: StudyConfig,
    data: DataByFold,
    backbones: PretrainedBackbones,
    slots: Slots,
    initial_trials: InitialTrials,
    say: Callable[[str], None],
) -> Iterator[None]:
    """Makes the folder of a new study and locks it; `study.yaml` is written last, so one with it is complete.

    Raises:
        StudyFolderError: It cannot be written, or another launch makes it; nothing of this one is left.
    """
    remove = not folder.root.exists()
    files = (folder.provenance, folder.database, folder.config)
    try:
        folder.root.mkdir(parents=True, exist_ok=True)
        with driver_lock(folder.lock, say):
            StudyFolder.new(folder.root)  # another launch may have made a study before the lock was taken
            try:
                for path in files:
                    path.unlink(missing_ok=True)
                record_launch(folder, data, backbones, slots)
                attributes = {
                    **initial_trials.user_attrs,
                    "lasting": config.unchangeable(),
                    "id": uuid.uuid4().hex,
                }
                database = open_storage(folder)
                create_study(database, config.directions, attributes)
                enqueue_trials(database, initial_trials.configurations)
                config.write(folder.config)
            except BaseException:
                for path in files:
                    path.unlink(missing_ok=True)
                raise
            remove = False
            yield
    except OSError as error:
        if folder.config.exists():
            raise
        raise StudyFolderError(f"{folder.root}: cannot be written ({error.strerror})") from None
    finally:
        if remove:
            shutil.rmtree(folder.root, ignore_errors=True)


def claim_storage(folder: StudyFolder, config: StudyConfig) -> None:
    """Marks storage outside of the study's folder as this study's; see `Storage.claim`.

    Raises:
        StudyFolderError: It is another study's.
        ConfigError: It cannot be reached or written.
    """
    if config.storage_path:
        about = study_attributes(open_storage(folder), folder)
        Storage.of_study(folder, config.storage_path).claim(about.get("id"))


def record_launch(
    folder: StudyFolder, data: DataByFold, backbones: PretrainedBackbones, slots: Slots
) -> None:
    """Adds this launch to the study's `provenance.json`.

    Raises:
        DataError: An earlier launch had other training images; nothing is written.
        WeightsError: An earlier launch had other pretrained weights; nothing is written.
        StudyFolderError: The file is damaged.
    """
    if folder.provenance.exists():
        require_same_backbones(backbones, read_provenance(folder.provenance)["launches"])
    more: dict[str, Any] = {"slots": dataclasses.asdict(slots), **backbone_fingerprints(backbones)}
    append_launch(folder.provenance, any_fold(data).store.fingerprint, **more)
