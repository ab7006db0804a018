"""The description of a study: what it was asked to do, kept in its `study.yaml`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_type_hints
from urllib.parse import urlsplit

from sa_study.data.dataset import ReidDataset
from sa_study.data.layouts import SPLITS, find_dataset
from sa_study.metrics import names
from sa_study.settings.space import SearchSpace
from sa_study.settings.space_file import parse_space
from sa_study.settings.yaml_files import read_yaml, write_yaml
from sa_study.utils.errors import ConfigError, DataError, StudyFolderError
from sa_study.utils.files import expand_home, is_file_name
from sa_study.utils.text import holds_secret

FORMAT = 2

_MAX_NUMBER = 10**15
"""Above every sensible number of trials or epochs; far larger ones cannot even be shown as a float."""


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """All settings of a study as resolved.

    Attributes:
        data_dir: Folder of the data set, or the list of its images; absolute.
        space: What is searched and, under fixed, every other setting.
        metric: The validation figure that is maximised.
        trials: Ended trials, in whatever state, after which the study ends.
        time_budget: Seconds after which a launch stops, or None.
        epoch_budget: Epochs of all trials together after which the study stops, or None.
        gpu_hours: GPU-hours of training after which the study stops, a shared GPU by its share; or None.
        patience: Finished trials in a row without a better score after which the study stops, or None.
        minimize: A second objective, `cost` or `latency`, or None.
        cpus_per_trial: CPU cores reserved for a trial; None = the first launch decides, and keeps that here.
        gpus_per_trial: GPUs reserved for a trial; a fraction shares one; None = 1 where there is any.
        max_concurrent: Maximum number of trials at a time; None = as many as the cluster holds.
        address: A running Ray cluster, or None for this machine alone.
        storage_path: Folder or URI of the trials' files, which all nodes reach; None = in the study's folder.
        seed: Seed of the search.
        track: Experiment trackers that show the study, as `resolve_trackers` gives them.
        format: Version of this file's layout.
    """

    data_dir: Path
    space: SearchSpace
    metric: str = names.MAP
    trials: int
    time_budget: float | None = None
    epoch_budget: int | None = None
    gpu_hours: float | None = None
    patience: int | None = None
    minimize: str | None = None
    cpus_per_trial: float | None = 1.0
    gpus_per_trial: float | None = None
    max_concurrent: int | None = None
    address: str | None = None
    storage_path: str | None = None
    seed: int = 0
    track: tuple[str, ...] = ()
    format: int = FORMAT

    def __post_init__(self) -> None:
        self._check_values()
        if self.metric not in names.STUDY_METRICS:
            raise ConfigError(f"--metric: {self.metric!r} is not one of {', '.join(names.STUDY_METRICS)}")
        if not 0 <= self.seed < 2**31:
            raise ConfigError(f"--seed: {self.seed} is not between 0 and {2**31 - 1}")
        if self.trials < 1:
            raise ConfigError(f"--trials: {self.trials} is not at least 1")
        if self.trials > 1 and self.space.size == 1:
            raise ConfigError(
                f"--trials: {self.trials}, but the space leaves nothing to search; add a setting "
                "under search, or give --trials 1"
            )
        if self.cpus_per_trial is not None and not self.cpus_per_trial > 0:
            raise ConfigError(f"--cpus-per-trial: {self.cpus_per_trial:g} is not above 0")
        gpus = self.gpus_per_trial
        if gpus is not None and not (0 <= gpus <= 1 or (gpus > 1 and float(gpus).is_integer())):
            raise ConfigError(
                f"--gpus-per-trial: {gpus:g} is neither a fraction of one GPU nor a whole number"
            )
        if self.max_concurrent is not None and self.max_concurrent < 1:
            raise ConfigError(f"--max-concurrent: {self.max_concurrent} is not at least 1")
        for option, value in (
            ("--time-budget", self.time_budget),
            ("--epoch-budget", self.epoch_budget),
            ("--gpu-hours", self.gpu_hours),
            ("--patience", self.patience),
        ):
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{option}: {value} is not above 0; leave it out for no limit")
        if self.gpu_hours is not None and self.gpus_per_trial == 0:
            raise ConfigError(f"--gpu-hours: {self.gpu_hours:g}, but trials are given no GPU")
        if self.minimize not in (None, *names.SECOND_OBJECTIVES):
            allowed = ", ".join(names.SECOND_OBJECTIVES)
            raise ConfigError(f"--minimize: {self.minimize!r} is not one of {allowed}")
        if self.minimize and self.patience is not None:
            raise ConfigError("--patience: needs one objective, whose best it waits for; leave it out")
        if self.minimize and self.space.scheduler.name != "none":
            # A rule that compares one figure would stop the cheap end of the front.
            raise ConfigError(
                f"--minimize {self.minimize}: needs trials that run to their end; give --scheduler none"
            )

    def _check_values(self) -> None:
        """Checks types, ranges, credentials and file names: anyone can edit `study.yaml`."""
        for name, kind in {**get_type_hints(StudyConfig), "track": tuple}.items():
            value = getattr(self, name)
            whole_number = isinstance(value, int) and isinstance(0.0, kind)
            if not (isinstance(value, kind) or whole_number) or isinstance(value, bool):
                raise ConfigError(f"{name}: a value of type {type(value).__name__} is not valid")
            if isinstance(value, int) and abs(value) >= _MAX_NUMBER:
                raise ConfigError(f"{name}: {value} is out of range")
        if not all(isinstance(tracker, str) for tracker in self.track):
            raise ConfigError(f"track: {list(self.track)!r:.80} are not all texts")
        storage = urlsplit(self.storage_path or "")
        # Google's file system takes `gs://anonymous@bucket`.
        if storage.username not in (None, "anonymous") or holds_secret(storage):
            raise ConfigError(
                f"--storage-path {storage.scheme}://{storage.hostname}{storage.path}: was given with "
                "credentials; leave them to the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or a "
                "credentials file, on every node"
            )
        if "@" in (self.address or ""):
            raise ConfigError("--address: holds a user or a token; give HOST:PORT and set RAY_AUTH_TOKEN")
        for name in ("storage_path", "data_dir", "address"):
            value = str(getattr(self, name))
            if not is_file_name(value) or (name == "storage_path" and not value):
                raise ConfigError(f"{name}: {value!r:.80} is not a valid name")

    def write(self, path: Path) -> None:
        """Writes `study.yaml`."""
        plain = {"data_dir": str(self.data_dir), "space": self.space.to_dict(), "track": list(self.track)}
        write_yaml(
            path,
            {**vars(self), **plain},
            "All settings of the study, as resolved when it was launched; resume reads them.",
        )

    @property
    def goal(self) -> int:
        """Number of ended trials at which the study is complete: those asked for, or all configurations."""
        return min(self.trials, self.space.size or self.trials)

    @property
    def directions(self) -> tuple[Literal["maximize", "minimize"], ...]:
        """Optuna's directions of the objectives."""
        return ("maximize", "minimize") if self.minimize else ("maximize",)

    def unchangeable(self) -> dict[str, Any]:
        """The settings that decide the study's figures, as plain values; no launch may change them."""
        space = self.space.to_dict()
        del space["trials"]
        return {"space": space, "metric": self.metric, "minimize": self.minimize, "seed": self.seed}

    def require_unchanged(self, before: object) -> None:
        """Raises a ConfigError that names a setting of `unchangeable` that was another when it was made."""
        if not isinstance(before, Mapping):
            raise ConfigError("the study's database lacks the settings that the study was begun with")
        was, now = flattened(before), flattened(self.unchangeable())
        for name in {**was, **now}:
            if was.get(name) != now.get(name):
                raise ConfigError(
                    f"{name}: {now.get(name)!r} in study.yaml, but the study was begun with "
                    f"{was.get(name)!r}; put it back, or begin another study"
                )

    def dataset(self, data_dir: Path | None = None, splits: Sequence[str] = SPLITS) -> ReidDataset:
        """Lists splits of the study's data set, of `data_dir` where it has moved; raises as `ReidDataset`."""
        if data_dir is None:
            self.require_data()
        return ReidDataset(data_dir or self.data_dir, splits)

    def require_data(self) -> None:
        """Raises a `DataError` unless the data set is still where it was when the study was launched."""
        try:
            find_dataset(self.data_dir)
        except DataError as error:
            gone = "is gone" if not self.data_dir.exists() else "holds no data set any more"
            raise DataError(
                f"{self.data_dir}: {gone}; if the data set has moved, give its new folder: --data-dir NEW"
            ) from error

    @classmethod
    def read(cls, path: Path) -> StudyConfig:
        """Reads `study.yaml`; StudyFolderError if it is damaged or of another version."""
        try:
            values: dict[str, Any] = read_yaml(path)
            written = values.get("format")
            if isinstance(written, int) and written > FORMAT:
                raise ConfigError(
                    f"format {written}, by a newer version; this one reads {FORMAT}: update this program"
                )
            if written != FORMAT:
                raise ConfigError(f"format {written!r}; this version reads {FORMAT}")
            if not isinstance(values["space"], dict):
                raise ConfigError("space: expected 'key: value' lines")
            space = parse_space(values["space"], "space", folds=True)
            storage = values.get("storage_path")
            if isinstance(storage, str) and storage.startswith("~"):
                values["storage_path"] = str(expand_home(storage))
            if not isinstance(track := values.get("track", []), list):
                raise ConfigError("track: expected a list")
            read = {"data_dir": expand_home(values["data_dir"]), "space": space, "track": tuple(track)}
            return cls(**{**values, **read})
        except (ConfigError, KeyError, TypeError, ValueError) as error:
            raise StudyFolderError(f"{path}: is no study description of this version ({error})") from None


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as a flat one, the names joined by dots."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= flattened(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
