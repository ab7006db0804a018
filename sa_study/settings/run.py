"""The settings of one training run: typed, frozen, validated at construction.

The defaults are the fixed configuration of the published code (its last state: no random erasing), except
that a validation split is held out; `PAPER_VARIANTS` lists what each published run changes.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import reprlib
from collections.abc import Mapping
from dataclasses import InitVar, dataclass
from typing import Any

from sa_study.metrics import names
from sa_study.model.backbones import BACKBONES, RESNETS
from sa_study.utils.errors import ConfigError
from sa_study.utils.files import expanded

MAX_EPOCHS = 1000


def _setting(
    default: Any,
    text: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: tuple[Any, ...] = (),
) -> Any:
    """Declares a field: its default, its documentation and the range it is checked against."""
    limits = {"low": low, "high": high, "above": above, "below": below}
    limits = {name: bound for name, bound in limits.items() if bound is not None}
    return dataclasses.field(default=default, metadata={"help": text, "choices": choices, **limits})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that decides what one training run computes.

    `depth=18` is another spelling of `backbone="resnet18"`. Files spell a ResNet so, as versions without a
    choice of backbones do.

    Raises:
        ConfigError: A value has the wrong type or lies outside its range.
    """

    backbone: str = _setting(
        "resnet50",
        "network whose four stages are attended to and classified (paper: resnet50)",
        choices=tuple(BACKBONES),
    )
    pretrained: str = _setting(
        "imagenet",
        "start of the backbone: imagenet (torchvision's), none, or a local file (paper: imagenet)",
    )
    attention: str = _setting(
        "mean",
        "spatial attention of stages 1-3: mean (published code), softmax (paper's text), none",
        choices=("mean", "softmax", "none"),
    )
    attention_stage4: bool = _setting(
        False, "attention on the pooled stage 4 too (SA1, in the paper's ablation)"
    )
    deep_supervision: bool = _setting(True, "a classifier on each of the stages 1-3 (paper: true)")
    parts: int = _setting(6, "horizontal stripes of stage 4; 1 = no parts (paper: 6)", low=1, high=24)
    num_features: int = _setting(256, "channels of the reduced features (paper: 256)", low=1, high=4096)
    dropout: float = _setting(0.5, "dropout before the reduction of the stripes (paper: 0.5)", low=0, below=1)

    height: int = _setting(384, "input height in pixels; at least 16 x parts (paper: 384)", low=16, high=2048)
    width: int = _setting(128, "input width in pixels (paper: 128)", low=16, high=2048)
    flip: float = _setting(0.5, "probability of a horizontal flip (paper: 0.5)", low=0, high=1)
    random_erasing: float = _setting(
        0.0, "probability of random erasing (paper: 0.5; published code's last state: 0)", low=0, high=1
    )

    epochs: int = _setting(100, "passes over the training images (paper: 100)", low=1, high=MAX_EPOCHS)
    batch_size: int = _setting(
        48, "images a step; an incomplete last batch is dropped (paper: 48)", low=2, high=8192
    )
    accumulate: int = _setting(
        1,
        "parts of a batch whose gradients are added up, for less memory; batch norm sees a part",
        low=1,
        high=1024,
    )
    lr: float = _setting(0.1, "SGD learning rate of the new layers (paper: 0.1)", above=0, high=100)
    backbone_lr_factor: float = _setting(
        0.1, "learning rate of the backbone as a share of lr (paper: 0.1)", low=0, high=10
    )
    momentum: float = _setting(0.9, "Nesterov momentum (paper: 0.9)", above=0, below=1)
    weight_decay: float = _setting(5e-4, "weight decay on every parameter (paper: 5e-4)", low=0, high=1)
    step_epochs: int = _setting(
        0, "epochs between two decays of lr; 0 = step_fraction decides (paper: 40)", low=0, high=MAX_EPOCHS
    )
    step_fraction: float = _setting(
        0.4, "the same as a share of epochs, so that the decay scales with the schedule", above=0, high=1
    )
    lr_decay: float = _setting(0.1, "factor of lr at each decay (paper: 0.1)", above=0, high=1)

    val_identities: int = _setting(
        100, "training identities held out for validation, at most 20 %; 0 = train on all (paper: 0)", low=0
    )
    identities: int = _setting(0, "use only so many training identities (seeded draw); 0 = all", low=0)
    split_seed: int = _setting(0, "seed of the identities that are used and held out", low=0, below=2**31)
    fold: int = _setting(
        0,
        "which of the disjoint sets of held-out identities (split_seed orders them); 0 is the study's own",
        low=0,
    )
    metric: str = _setting(
        "mAP", "validation figure whose best epoch is kept", choices=(names.MAP, names.RANK1)
    )
    seed: int = _setting(0, "seed of initialisation, order, augmentation and dropout", low=0, below=2**31)

    precision: str = _setting(
        "tf32",
        "fp32; tf32 (products of fp32 rounded by CUDA; the same as fp32 on a CPU); bf16 (autocast; also on a "
        "CPU with AVX512-BF16 up to twice as fast); auto (bf16 on CUDA, fp32 on a CPU)",
        choices=("fp32", "tf32", "bf16", "auto"),
    )
    eval_precision: str = _setting(
        "same",
        "that of the features that are ranked: same (as precision), fp32, tf32, bf16, fp16",
        choices=("same", "fp32", "tf32", "bf16", "fp16"),
    )
    channels_last: bool = _setting(False, "NHWC memory layout of the network (faster on CUDA)")
    compile: str = _setting(
        "none",
        "torch.compile of the training step: none, default, cuda-graphs; costs a minute or more at the start "
        "(slower on a CPU)",
        choices=("none", "default", "cuda-graphs"),
    )
    device: str = _setting("auto", "auto is CUDA where there is one", choices=("auto", "cpu", "cuda"))
    threads: int = _setting(
        0,
        "CPU threads; sums depend on it in the last bits; 0 = PyTorch's choice",
        low=0,
        high=1024,
    )
    eval_batch_size: int = _setting(128, "images a batch of feature extraction", low=1, high=8192)

    depth: InitVar[int | None] = None

    def __post_init__(self, depth: int | None) -> None:
        if depth is not None:
            object.__setattr__(self, "backbone", RESNETS[check_value("depth", depth)])
        for field in dataclasses.fields(self):
            value = check_value(field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        if self.height < 16 * self.parts:
            raise ConfigError(
                f"height: {self.height} gives stage 4 fewer rows than parts={self.parts}; "
                f"the least height is {16 * self.parts} (16 x parts)"
            )

        if self.batch_size < 2 * self.accumulate:
            raise ConfigError(
                f"accumulate: {self.accumulate} parts of batch_size={self.batch_size} have fewer than 2 "
                f"images; the most is {self.batch_size // 2}"
            )

    @property
    def decay_epochs(self) -> int:
        """Epochs between two decays of the learning rate, at least 1."""
        return self.step_epochs or max(1, round(self.step_fraction * self.epochs))

    def progress(self, epoch: int) -> float:
        """The share of the schedule, in per cent, that is done after an epoch (from 1)."""
        return 100 * epoch / self.epochs

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values, as files hold them, in the order of declaration."""
        return as_stored(dataclasses.asdict(self))

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], where: str = "settings") -> Settings:
        """Builds settings from plain values; keys left out keep their defaults.

        Args:
            values: Setting names and values, e.g. read from YAML.
            where: Named in an error, so that the user finds the place.

        Raises:
            ConfigError: An unknown key, a wrong type or a value out of range.
        """
        try:
            return cls(**check_values(values))
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None


_DEPTH: dataclasses.Field[int] = _setting(
    50, "layers of the ResNet: depth=50 is another spelling of backbone=resnet50", choices=tuple(RESNETS)
)
_DEPTH.type = "int"
_FIELDS = {**{field.name: field for field in dataclasses.fields(Settings)}, "depth": _DEPTH}
"""The declarations of all keys that are accepted."""

_DEPTHS = {name: depth for depth, name in RESNETS.items()}
_OTHER_SPELLING = {"depth": "backbone", "backbone": "depth"}


def setting_named(key: str) -> str:
    """The setting that a key stands for: the key, or `backbone` for `depth`."""
    return "backbone" if key == "depth" else key


def default_value(key: str) -> Any:
    """The default of a setting."""
    return _FIELDS[key].default


def choices_of(key: str) -> tuple[Any, ...]:
    """The values that a setting can have; empty where it has a range."""
    choices: tuple[Any, ...] = _FIELDS[key].metadata["choices"]
    return choices


def value_of(key: str, values: Mapping[str, Any], default: Any = None) -> Any:
    """A setting's value among others, which may spell it otherwise; None as the depth of no ResNet."""
    if key in values or _OTHER_SPELLING.get(key) not in values:
        return values.get(key, default)
    return _DEPTHS.get(values["backbone"]) if key == "depth" else RESNETS.get(values["depth"])


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with some of them changed, each there under one spelling."""
    changed = {setting_named(key) for key in changes}
    return {**{key: value for key, value in values.items() if setting_named(key) not in changed}, **changes}


def as_stored(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings spelled as files hold them: a ResNet by its depth."""
    return {
        ("depth" if key == "backbone" and value in _DEPTHS else key): (
            _DEPTHS.get(value, value) if key == "backbone" else value
        )
        for key, value in values.items()
    }


def completed(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as some file records them, with the default of each that did not exist when it was written."""
    return merged(Settings().to_dict(), recorded)


def check_key(key: object) -> None:
    """Checks that a setting of this name exists.

    Raises:
        ConfigError: There is none; names the nearest.
    """
    if key in _FIELDS:
        return
    near = difflib.get_close_matches(str(key), _FIELDS, n=1)
    hint = f"did you mean {near[0]}?" if near else "run_study.py settings lists them all"
    raise ConfigError(f"unknown setting {key!r}; {hint}")


def check_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Checks settings by name.

    Returns:
        The values in their settings' types, spelled as files hold them.

    Raises:
        ConfigError: An unknown or doubled setting, a wrong type or a value out of range.
    """
    for key in values:
        check_key(key)
    if "depth" in values and "backbone" in values:
        raise ConfigError("depth: is another spelling of backbone, which is given too; keep one")
    return as_stored({key: check_value(key, value) for key, value in values.items()})


def check_value(key: str, value: Any) -> Any:
    """Checks one value of a setting against its declared type and range.

    Returns:
        The value in the field's type (an int given for a float becomes one; so does a number that YAML 1.1
        reads as text, such as 1e-3).

    Raises:
        ConfigError: Names the key, the value and what is allowed.
    """
    field = _FIELDS[key]
    value = _typed(key, str(field.type), value)
    rules = field.metadata
    if rules["choices"] and value not in rules["choices"]:
        raise ConfigError(f"{key}: {value!r} is not one of {', '.join(map(str, rules['choices']))}")
    allowed = describe_range(key)
    inside = (
        value >= rules.get("low", -math.inf)
        and value <= rules.get("high", math.inf)
        and value > rules.get("above", -math.inf)
        and value < rules.get("below", math.inf)
        if isinstance(value, int | float)
        else True
    )
    if not inside:
        raise ConfigError(f"{key}: {value} is out of range; allowed: {allowed}")
    if key == "pretrained" and ("://" in value or not is_file_name(value)):
        raise ConfigError("pretrained: is no path of a file; weights are not fetched, so give a local copy")
    if key == "pretrained" and value not in ("imagenet", "none"):
        return str(expanded(value, "pretrained: ").absolute())  # Ray's workers run in other folders
    return value


def is_file_name(text: str) -> bool:
    """Whether the system can have a file of this name: without zero bytes, and text that it can encode."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def describe_range(key: str) -> str:
    """What a setting accepts, in words: its choices, or its type and range."""
    field = _FIELDS[key]
    rules = field.metadata
    if rules["choices"]:
        return " | ".join(map(str, rules["choices"]))
    if field.type == "bool":
        return "true | false"
    if field.type == "str":
        return "imagenet | none | FILE"
    signs = (("low", ">="), ("above", ">"), ("high", "<="), ("below", "<"))
    bounds = ", ".join(f"{sign} {rules[name]:g}" for name, sign in signs if name in rules)
    return f"{field.type} {bounds}"


def describe_settings() -> list[tuple[str, str, str, str]]:
    """Rows of name, default, allowed values and meaning of every setting."""
    return [(name, str(f.default), describe_range(name), f.metadata["help"]) for name, f in _FIELDS.items()]


def _typed(key: str, kind: str, value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "float" and (number or isinstance(value, str)):
        try:
            value, number = float(value), True
        except (ValueError, OverflowError):
            number = False
    if kind == "float" and number and math.isfinite(value):
        return float(value)
    if kind == "int" and number and value == value // 1:
        return int(value)
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "str" and isinstance(value, str):
        return value
    raise ConfigError(f"{key}: {_shown(value)} is not valid; allowed: {describe_range(key)}")


def _shown(value: object) -> str:
    """A value in few words, also where it is a structure of any size."""
    return reprlib.repr(value) if isinstance(value, dict | list | tuple | set) else repr(value)


_FIXED = {"val_identities": 0, "step_epochs": 40}

PAPER_VARIANTS: dict[str, dict[str, Any]] = {
    "main": _FIXED,
    "ablation": {**_FIXED, "epochs": 60},
    "ablation-no-attention": {**_FIXED, "epochs": 60, "attention": "none"},
    "random-erasing": {**_FIXED, "random_erasing": 0.5},
    "softmax": {**_FIXED, "attention": "softmax"},
}
"""Each published run as what it changes of the defaults."""
