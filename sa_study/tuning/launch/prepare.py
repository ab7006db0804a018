"""What a launch needs before Ray runs anything: images, backbones, settings, the study's own files."""

from __future__ import annotations

import dataclasses
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sa_study.data.dataset import ReidDataset
from sa_study.data.store import Folds, any_of
from sa_study.provenance import note_launch, read_provenance
from sa_study.settings.space_file import complete, override
from sa_study.study.config import StudyConfig
from sa_study.study.database import open_storage, read_about
from sa_study.study.folder import StudyFolder
from sa_study.study.lock import driver_lock
from sa_study.study.storage import Storage
from sa_study.training.run import load_folds
from sa_study.tuning.launch.cluster import Slots
from sa_study.tuning.launch.pretrained import Starts, noted, require_same
from sa_study.tuning.launch.session import session_place
from sa_study.tuning.search.initial_trials import InitialTrials, enqueue_trials
from sa_study.tuning.search.ray_searcher import create_study
from sa_study.utils.errors import ConfigError, StudyFolderError
from sa_study.utils.progress import ProgressCallback


def load_data(config: StudyConfig, progress: ProgressCallback | None, *, recorded: bool = False) -> Folds:
    """Decodes the training images and checks that every trial can use them.

    Args:
        config: The study.
        progress: Told how far decoding is.
        recorded: Whether an earlier launch found the data set where the study's description says it is.

    Returns:
        The images once, by fold as trials train and validate on them.

    Raises:
        StudyError: They cannot be used, or not by every trial.
    """
    space = config.space
    settings = space.settings(space.baseline)
    if not settings.val_identities:
        raise ConfigError("val_identities: 0 leaves nothing to compare trials by; a study needs at least 1")
    if config.address is None:
        session_place()  # none at all is better said before the images are decoded
    dataset = config.dataset() if recorded else ReidDataset(config.data_dir)
    data = load_folds(dataset, settings, space.possible("fold"), progress)
    largest, fewest = max(space.possible("batch_size")), min(len(part.train) for part in data.values())
    if largest > fewest:
        raise ConfigError(f"batch_size: {largest:g}, but only {fewest} images are trained on")
    return data


def resolve(config: StudyConfig, room: Slots) -> StudyConfig:
    """The study with every setting decided, so that neither defaults nor machines change it later.

    Raises:
        ConfigError: The settings do not go with the slots.
    """
    decided = {"threads": max(1, int(room.cpus)), "device": "auto" if room.gpus else "cpu"}
    space = complete(override(config.space, {"metric": config.metric}), decided)
    return check_slots(dataclasses.replace(config, space=space), room)


def check_slots(config: StudyConfig, room: Slots) -> StudyConfig:
    """The study with the GPUs a trial is given.

    Raises:
        ConfigError: Something needs a GPU, and trials are given none.
    """
    if config.space.fixed["device"] == "cuda" and not room.gpus:
        raise ConfigError("device: cuda, but trials are given no GPU; raise --gpus-per-trial")
    return dataclasses.replace(config, gpus_per_trial=room.gpus)


@contextmanager
def made(
    folder: StudyFolder,
    config: StudyConfig,
    data: Folds,
    starts: Starts,
    room: Slots,
    initial_trials: InitialTrials,
    say: Callable[[str], None],
) -> Iterator[None]:
    """Makes the folder of a new study and holds it; `study.yaml` comes last: a folder with one is complete.

    Raises:
        StudyFolderError: It cannot be written, or another launch makes it; nothing is left of this one's.
    """
    unmade = not folder.root.exists()
    try:
        folder.root.mkdir(parents=True, exist_ok=True)
        with driver_lock(folder.lock, say):
            _write(StudyFolder.free(folder.root), config, data, starts, room, initial_trials)
            unmade = False
            yield
    except OSError as error:
        if folder.config.exists():
            raise
        raise StudyFolderError(f"{folder.root}: cannot be written ({error.strerror})") from None
    finally:
        if unmade:
            shutil.rmtree(folder.root, ignore_errors=True)


def claim(folder: StudyFolder, config: StudyConfig) -> None:
    """Makes sure that a place outside of the study's folder is this study's; see `Storage.claim`.

    Raises:
        StudyFolderError: It is another's.
        ConfigError: It cannot be reached or written.
    """
    if config.storage_path:
        about = read_about(open_storage(folder), folder)
        Storage.of_study(folder, config.storage_path).claim(about.get("id"))


def note(folder: StudyFolder, data: Folds, starts: Starts, room: Slots) -> None:
    """Adds this launch to the study's `provenance.json`.

    Raises:
        DataError: An earlier launch had other training images; nothing is written.
        WeightsError: An earlier launch had other pretrained weights; nothing is written.
        StudyFolderError: The file is damaged.
    """
    if folder.provenance.exists():
        require_same(starts, read_provenance(folder.provenance)["launches"])
    more = {"slots": dataclasses.asdict(room), **noted(starts)}
    note_launch(folder.provenance, any_of(data).store.fingerprint, **more)


def _write(
    folder: StudyFolder,
    config: StudyConfig,
    data: Folds,
    starts: Starts,
    room: Slots,
    initial_trials: InitialTrials,
) -> None:
    files = (folder.provenance, folder.database, folder.config)
    try:
        for path in files:
            path.unlink(missing_ok=True)
        note(folder, data, starts, room)
        about = {**initial_trials.user_attrs, "lasting": config.lasting(), "id": uuid.uuid4().hex}
        database = open_storage(folder)
        create_study(database, config.directions, about)
        enqueue_trials(database, initial_trials.configurations)
        config.write(folder.config)
    except BaseException:
        for path in files:
            path.unlink(missing_ok=True)
        raise
