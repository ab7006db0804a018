"""How a setting is declared: its default, help and allowed values, and the check of a value against them."""

from __future__ import annotations

import dataclasses
import math
import operator
import os
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sa_study.utils.errors import ConfigError
from sa_study.utils.files import expand_home

_LIMITS = {
    "low": (">=", operator.ge),
    "above": (">", operator.gt),
    "high": ("<=", operator.le),
    "below": ("<", operator.lt),
}


@contextmanager
def named_in_errors(where: str) -> Iterator[None]:
    """Within, a `ConfigError` begins with the place of the mistake, such as the file or the key."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def setting(default: Any, text: str, *, choices: tuple[Any, ...] = (), **limits: float) -> Any:
    """Declares a field: its default, its documentation, and its choices or `_LIMITS`."""
    return dataclasses.field(default=default, metadata={"help": text, "choices": choices, "limits": limits})


def check_field(field: dataclasses.Field[Any], value: Any) -> Any:
    """Checks a value of a setting against its declared type and range.

    Returns:
        The value in the field's type (an int given for a float becomes one; so does a number that YAML 1.1
        reads as text, such as 1e-3).

    Raises:
        ConfigError: Names the key, the value and what is allowed.
    """
    key, choices = field.name, field.metadata["choices"]
    value = _typed(field, value)
    if choices:
        if value not in choices:
            raise ConfigError(f"{key}: {value!r} is not one of {', '.join(map(str, choices))}")
    elif not all(_LIMITS[name][1](value, limit) for name, limit in field.metadata["limits"].items()):
        raise ConfigError(f"{key}: {value} is out of range; allowed: {describe_range(field)}")
    if key == "pretrained" and ("://" in value or not is_file_name(value)):
        raise ConfigError("pretrained: is no path of a file; weights are not fetched, so give a local copy")
    if key == "pretrained" and value not in ("imagenet", "none"):
        return str(expand_home(value, "pretrained: ").absolute())  # Ray's workers run in other folders
    return value


def is_file_name(text: str) -> bool:
    """Whether the system can have a file of this name: without zero bytes, and text that it can encode."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def describe_range(field: dataclasses.Field[Any]) -> str:
    """What a setting accepts, in words: its choices, or its type and range."""
    if choices := field.metadata["choices"]:
        return " | ".join(map(str, choices))
    if field.type in ("bool", "str"):
        return "true | false" if field.type == "bool" else "imagenet | none | FILE"
    limits = field.metadata["limits"]
    return f"{field.type} " + ", ".join(
        f"{sign} {limits[n]:g}" for n, (sign, _) in _LIMITS.items() if n in limits
    )


def _typed(field: dataclasses.Field[Any], value: Any) -> Any:
    kind = str(field.type)
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
    if (kind == "bool" and isinstance(value, bool)) or (kind == "str" and isinstance(value, str)):
        return value
    # A structure may be of any size.
    shown = reprlib.repr(value) if isinstance(value, dict | list | tuple | set) else repr(value)
    raise ConfigError(f"{field.name}: {shown} is not valid; allowed: {describe_range(field)}")
