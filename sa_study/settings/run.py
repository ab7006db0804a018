"""The settings of one training run: typed, frozen, validated at construction.

The defaults are the fixed configuration of the published code (its last state: no random erasing), except
that a validation split is held out; `PAPER_VARIANTS` has those of each published run. The fields are declared
in `groups` beside this file; to add one, add it there and use it in `training`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import math
import operator
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import InitVar, dataclass
from typing import Any

from sa_study.model.backbones import IMAGENET, RESNETS, TIMM
from sa_study.settings.groups import (
    ComputeSettings,
    ImageSettings,
    NetworkSettings,
    OptimisationSettings,
    SelectionSettings,
    setting,
)
from sa_study.utils.errors import ConfigError, named_in_errors
from sa_study.utils.files import expand_home, is_file_name

_LIMITS = {
    "low": (">=", operator.ge),
    "above": (">", operator.gt),
    "high": ("<=", operator.le),
    "below": ("<", operator.lt),
}


@dataclass(frozen=True, kw_only=True)
class Settings(ComputeSettings, SelectionSettings, OptimisationSettings, ImageSettings, NetworkSettings):
    """Everything that decides what one training run computes.

    `depth=18` is another spelling of `backbone="resnet18"`, and the one in files, for earlier versions.

    Raises:
        ConfigError: A value has the wrong type or lies outside its range.
    """

    depth: InitVar[int | None] = None

    def __post_init__(self, depth: int | None) -> None:
        if depth is not None:
            object.__setattr__(self, "backbone", RESNETS[check_value("depth", depth)])
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, check_value(field.name, getattr(self, field.name)))
        self._check_together()

    def _check_together(self) -> None:
        """Checks settings against each other; `space_checks` names those of which a search space is."""
        if self.height < 16 * self.parts:
            raise ConfigError(
                f"height: {self.height} gives stage 4 fewer rows than parts={self.parts}; "
                f"the least height is {16 * self.parts} (16 x parts)"
            )
        if self.triplet_weight and self.images_per_identity < 2:
            raise ConfigError(
                f"images_per_identity: {self.images_per_identity} gives triplet_weight="
                f"{self.triplet_weight:g} no two images of an identity to compare; the least is 2"
            )
        if self.accumulate > self.max_accumulate:
            few = "identities, which a triplet loss needs" if self.triplet_weight else "images"
            most = f"the most is {self.max_accumulate}" if self.max_accumulate else "take a larger batch"
            raise ConfigError(
                f"accumulate: {self.accumulate} parts of batch_size={self.batch_size} have fewer than 2 "
                f"{few}; {most}"
            )
        if self.warmup_epochs >= self.epochs:
            raise ConfigError(
                f"warmup_epochs: {self.warmup_epochs} leave nothing of epochs={self.epochs} after them; the "
                f"most is {self.epochs - 1} (or give a share by warmup_fraction)"
            )

    @property
    def decay_epochs(self) -> int:
        """Epochs between two decays of the learning rate, at least 1."""
        return self.step_epochs or max(1, round(self.step_fraction * self.epochs))

    @property
    def identities_per_batch(self) -> int:
        """Identities in a batch where it has several images of each; the last may have fewer."""
        return math.ceil(self.batch_size / max(1, self.images_per_identity))

    @property
    def max_accumulate(self) -> int:
        """Maximum number of parts of a batch: each needs two images, or two identities."""
        return (self.identities_per_batch if self.triplet_weight else self.batch_size) // 2

    @property
    def warmup(self) -> float:
        """Epochs in which the learning rate grows, perhaps not whole."""
        return self.warmup_epochs or self.warmup_fraction * self.epochs

    @property
    def lr_setting(self) -> str:
        """The setting that is the optimiser's learning rate."""
        return "lr" if self.optimizer == "sgd" else "adam_lr"

    @property
    def peak_lr(self) -> float:
        """The learning rate of the new layers before it decays: that of the optimiser."""
        return self.lr if self.optimizer == "sgd" else self.adam_lr

    def progress(self, epoch: int) -> float:
        """The percentage of the schedule that is done after an epoch (from 1)."""
        return 100 * epoch / self.epochs

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values, as files hold them, in the order of declaration."""
        return as_stored(dataclasses.asdict(self))

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], where: str = "settings") -> Settings:
        """Settings from plain values; missing keys keep their defaults, errors begin with `where`."""
        with named_in_errors(where):
            check_keys(values)
            return cls(**values)


_DEPTH: dataclasses.Field[int] = setting(50, "another spelling of resnet50 and so on", choices=tuple(RESNETS))
_DEPTH.name, _DEPTH.type = "depth", "int"
FIELDS = {**{field.name: field for field in dataclasses.fields(Settings)}, "depth": _DEPTH}
"""The declarations of all keys that are accepted."""

_DEPTHS = {name: depth for depth, name in RESNETS.items()}


def canonical_key(key: str) -> str:
    """The setting that a key stands for: `backbone` for `depth`, else the key itself."""
    return "backbone" if key == "depth" else key


def value_of(key: str, values: Mapping[str, Any], default: Any = None) -> Any:
    """A setting's value under either spelling; None for the depth of a backbone that is no ResNet."""
    if key == "depth" and "backbone" in values:
        return _DEPTHS.get(values["backbone"])
    if key == "backbone" and "depth" in values:
        return RESNETS.get(values["depth"])
    return values.get(key, default)


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with some of them changed; each appears under one spelling."""
    changed = set(map(canonical_key, changes))
    return {**{key: value for key, value in values.items() if canonical_key(key) not in changed}, **changes}


def as_stored(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings spelled as files hold them: a ResNet by its depth."""
    depth = _DEPTHS.get(values.get("backbone", ""))
    if depth is None:
        return dict(values)
    return dict(("depth", depth) if key == "backbone" else (key, value) for key, value in values.items())


def completed(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as a file records them, completed with the defaults of settings added since."""
    return merged(Settings().to_dict(), recorded)


def check_keys(keys: Iterable[object]) -> None:
    """Raises ConfigError for an unknown setting, naming the nearest, and for two spellings of one setting."""
    keys = list(keys)
    for key in keys:
        if key not in FIELDS:
            near = difflib.get_close_matches(str(key), FIELDS, n=1)
            hint = f"did you mean {near[0]}?" if near else "the command 'settings' lists them all"
            raise ConfigError(f"unknown setting {key!r}; {hint}")
    if "depth" in keys and "backbone" in keys:
        raise ConfigError("depth: is another spelling of backbone, which is given too; keep one")


def check_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as `check_value` gives them, spelled as files hold them; raises as `check_keys`, too."""
    check_keys(values)
    return as_stored({key: check_value(key, value) for key, value in values.items()})


def check_value(key: str, value: Any) -> Any:
    """The value in its setting's type; an int and a text such as 1e-3 (as YAML 1.1 reads it) become a float.

    Raises:
        ConfigError: The value has the wrong type or is out of range; names key, value and what is allowed.
    """
    field = FIELDS[key]
    choices, limits = field.metadata["choices"], field.metadata["limits"]
    value = _typed(field, value)
    of_timm = key == "backbone" and value.startswith(TIMM)
    if choices and value not in choices and not of_timm:
        raise ConfigError(f"{key}: {value!r} is not one of {_allowed(field).replace(' | ', ', ')}")
    if not all(_LIMITS[name][1](value, limit) for name, limit in limits.items()):
        raise ConfigError(f"{key}: {value} is out of range; allowed: {_allowed(field)}")
    if key == "pretrained" and ("://" in value or not is_file_name(value)):
        raise ConfigError("pretrained: is no file path; weights are not fetched, so give a local copy")
    if key == "pretrained" and value not in (*IMAGENET, "none"):
        return str(expand_home(value, "pretrained: ").absolute())  # Ray's workers run in other folders
    return value


def _typed(field: dataclasses.Field[Any], value: Any) -> Any:
    kind = str(field.type)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "float" and (number or isinstance(value, str)):
        with contextlib.suppress(ValueError, OverflowError):
            if math.isfinite(float(value)):
                return float(value)
    if kind == "int" and number and value == value // 1:
        return int(value)
    if (kind == "bool" and isinstance(value, bool)) or (kind == "str" and isinstance(value, str)):
        return value
    shown = reprlib.repr(value) if isinstance(value, dict | list | tuple | set) else repr(value)  # any size
    raise ConfigError(f"{field.name}: {shown} is not valid; allowed: {_allowed(field)}")


def _allowed(field: dataclasses.Field[Any]) -> str:
    """What a setting accepts, in words: its choices, or its type and range."""
    if choices := field.metadata["choices"]:
        more = (f"{TIMM}NAME",) if field.name == "backbone" else ()
        return " | ".join(map(str, (*choices, *more)))
    if field.type in ("bool", "str"):
        return "true | false" if field.type == "bool" else " | ".join((*IMAGENET, "none", "FILE"))
    limits = field.metadata["limits"]
    bounds = [f"{sign} {limits[n]:g}" for n, (sign, _) in _LIMITS.items() if n in limits]
    return f"{field.type} {', '.join(bounds)}"


def describe_settings() -> list[tuple[str, str, str, str]]:
    """Rows of name, default, allowed values and meaning of every setting."""
    return [(name, str(f.default), _allowed(f), f.metadata["help"]) for name, f in FIELDS.items()]


_PAPER = Settings(val_identities=0, step_epochs=40)
PAPER_VARIANTS = {
    "main": _PAPER,
    "ablation": dataclasses.replace(_PAPER, epochs=60),
    "ablation-no-attention": dataclasses.replace(_PAPER, epochs=60, attention="none"),
    "random-erasing": dataclasses.replace(_PAPER, random_erasing=0.5),
    "softmax": dataclasses.replace(_PAPER, attention="softmax"),
}
"""The settings of each published run."""
