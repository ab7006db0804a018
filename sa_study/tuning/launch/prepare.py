"""What a launch does before any trial runs: apply changes, get images, fix the settings, write the files."""

from __future__ import annotations

import dataclasses
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sa_study.data.dataset import ReidDataset
from sa_study.data.store import DataByFold, FoldImages, any_fold, find_folds
from sa_study.metrics.protocol import PROTOCOL
from sa_study.model.backbones import BACKBONES
from sa_study.provenance import append_launch, read_provenance
from sa_study.settings.space import SearchSpace
from sa_study.settings.space_checks import check_new_space
from sa_study.settings.space_file import complete, override
from sa_study.study.config import StudyConfig, flattened
from sa_study.study.database import open_storage, study_attributes
from sa_study.study.folder import StudyFolder
from sa_study.study.lock import driver_lock
from sa_study.study.storage import Storage
from sa_study.trackers.table import resolve_trackers
from sa_study.tuning.launch.cluster import Slots, connect, first_workers
from sa_study.tuning.launch.local_ray import Session, session_parent
from sa_study.tuning.launch.observer import LaunchObserver
from sa_study.tuning.launch.pretrained import (
    PretrainedBackbones,
    backbone_fingerprints,
    require_same_backbones,
)
from sa_study.tuning.search.initial_trials import InitialTrials, create_study, enqueue_trials
from sa_study.tuning.search.samplers import check_sampler
from sa_study.utils.errors import ConfigError, StudyFolderError


@dataclass(frozen=True)
class StudyChanges:
    """What can be changed in a study when it is resumed; None leaves a field as it is.

    Attributes:
        trials: Number of trials in all.
        time_budget: Seconds of this launch; never the earlier launch's, so None means no limit.
        epoch_budget: Epochs of the whole study.
        gpu_hours: GPU-hours of the whole study.
        patience: Finished trials in a row that may bring nothing better.
        max_concurrent: Maximum number of trials at a time.
        address: A running Ray cluster.
        data_dir: The folder that the same data set is in now.
        track: Experiment trackers in place of the earlier ones; `none` alone for no more.
    """

    trials: int | None = None
    time_budget: float | None = None
    epoch_budget: int | None = None
    gpu_hours: float | None = None
    patience: int | None = None
    max_concurrent: int | None = None
    address: str | None = None
    data_dir: Path | None = None
    track: tuple[str, ...] | None = None

    def apply(self, config: StudyConfig) -> StudyConfig:
        """The study's description with these changes; raises a ConfigError where one cannot be."""
        asked = {name: value for name, value in vars(self).items() if value is not None}
        if self.track is not None:  # the study's own may be of use on another machine alone
            asked["track"] = resolve_trackers(self.track)
        return dataclasses.replace(config, **{"time_budget": None, **asked})


_CHANGEABLE = {field.name for field in dataclasses.fields(StudyChanges)}
_SPACE_OPTIONS = {"space", "sampler", "scheduler", "overrides"}


def changes_from_options(study: StudyConfig, asked: StudyConfig, given: Collection[str]) -> StudyChanges:
    """Compares a study with the options of `tune --resume`.

    Args:
        study: The study's own description.
        asked: The study that the options describe.
        given: Names of the options that were given; the others leave the study as it is.

    Raises:
        ConfigError: An option differs that cannot be changed in a study.
    """
    fixed = [name for name in vars(study) if name in given and name not in _CHANGEABLE | _SPACE_OPTIONS]
    values = {name: (getattr(study, name), getattr(asked, name)) for name in fixed}
    if asked.cpus_per_trial is None:
        values.pop("cpus_per_trial", None)  # what the study's first launch decided stays
    if "sampler" not in given and asked.space.sampler == SearchSpace.sampler:
        # Another took the default's place, or was the default when the study was begun.
        space = dataclasses.replace(asked.space, sampler=study.space.sampler)
        asked = dataclasses.replace(asked, space=space)
    if not _SPACE_OPTIONS.isdisjoint(given):
        decided = {name: study.space.fixed[name] for name in ("threads", "device")}
        was, now = (
            flattened({**_completed(config, decided).to_dict(), "trials": None}) for config in (study, asked)
        )
        values |= {name: (was.get(name), now.get(name)) for name in {**was, **now}}
    for name, (was, now) in values.items():
        if was != now:
            option = f"--{name.replace('_', '-')}" if name in given else name
            raise ConfigError(
                f"{option}: {now!r}, but the study was begun with {was!r}; leave it as it was, or begin "
                "another study"
            )
    return StudyChanges(**{name: getattr(asked, name) for name in _CHANGEABLE.intersection(given)})


def _completed(config: StudyConfig, decided: dict[str, Any]) -> SearchSpace:
    """The space with a value of every setting: its metric, what a launch decides, and the defaults."""
    return complete(override(config.space, {"metric": config.metric}), decided)


def check_new_study(config: StudyConfig) -> None:
    """Raises ConfigError if a new study's sampler cannot search its space, or in part in vain."""
    check_sampler(config.space, len(config.directions))
    check_new_space(config.space)


def find_images(config: StudyConfig, *, recorded: bool = False) -> FoldImages:
    """Finds the training images, which all folds share, and checks that every trial can use them.

    Args:
        config: The study.
        recorded: Whether an earlier launch found the data set where the study's description says it is.

    Raises:
        StudyError: The images cannot be used, or not by every trial.
    """
    space = config.space
    settings = space.settings(space.baseline)
    if not settings.val_identities:
        raise ConfigError("val_identities: 0 leaves nothing to compare trials by; a study needs at least 1")
    for name in space.possible("backbone"):
        _ = BACKBONES[name]  # raises now, instead of in workers, for one that timm does not have
    if config.address is None:
        session_parent()  # raises before images are looked for
    dataset = config.dataset() if recorded else ReidDataset(config.data_dir)
    return find_folds(dataset, settings, space.possible("fold"), int(max(space.possible("batch_size"))))


@contextmanager
def connect_and_decode(
    config: StudyConfig, images: FoldImages, trials: int, observer: LaunchObserver
) -> Iterator[tuple[Session | None, DataByFold]]:
    """Connects to Ray and decodes the images; on this machine, the first workers start meanwhile.

    A cluster is joined once they are decoded: until a study runs, nothing watches its head.

    Args:
        config: The study.
        images: What its trials are trained and validated with.
        trials: How many trials have not ended.
        observer: Hears of both.

    Yields:
        What `connect` yields, and the decoded images.
    """
    data = images.decode(observer.decoded) if config.address else None
    observer.starting()
    with connect(config.address, first_workers(config, trials)) as session:
        yield session, data or images.decode(observer.decoded)


def resolve_settings(config: StudyConfig, slots: Slots) -> StudyConfig:
    """Fixes every setting of a new study, so that neither later defaults nor other machines change it.

    Raises:
        ConfigError: A setting needs a GPU, and trials are given none.
    """
    decided = {"threads": max(1, int(slots.cpus)), "device": "auto" if slots.gpus else "cpu"}
    return check_slots(dataclasses.replace(config, space=_completed(config, decided)), slots)


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
    try:
        folder.root.mkdir(parents=True, exist_ok=True)
        with driver_lock(folder.lock, say):
            StudyFolder.new(folder.root)  # another launch may have made a study before the lock was taken
            with ExitStack() as undo:
                for path in (folder.provenance, folder.database, folder.config):
                    path.unlink(missing_ok=True)
                    undo.callback(path.unlink, missing_ok=True)
                record_launch(folder, data, backbones, slots)
                database = open_storage(folder)
                lasting = {"lasting": config.unchangeable(), "id": uuid.uuid4().hex}
                create_study(database, config.directions, {**initial_trials.user_attrs, **lasting})
                enqueue_trials(database, initial_trials.configurations)
                config.write(folder.config)
                undo.pop_all()
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
    """Marks storage outside of the study's folder as this study's; raises as `Storage.claim`."""
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
    store = any_fold(data).store
    more: dict[str, Any] = {
        "slots": dataclasses.asdict(slots),
        PROTOCOL: store.protocol,
        **backbone_fingerprints(backbones),
    }
    append_launch(folder.provenance, store.fingerprint, **more)
