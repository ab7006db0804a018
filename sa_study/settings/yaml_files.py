"""YAML, read and written: settings files, study descriptions, and the values of `--set`.

On its own, so that what trains and measures needs no PyYAML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from sa_study.settings.run import check_key, check_values, merged
from sa_study.settings.yaml_loader import load_yaml
from sa_study.utils.errors import ConfigError
from sa_study.utils.files import read_bytes, write_text

_UNREADABLE = (ConfigError, yaml.YAMLError, ValueError, OverflowError)
"""What reading YAML raises: its constructors of dates and numbers raise Python's own errors."""

_MOST_BYTES = 2**18
"""Of a file; a large space has thousands. PyYAML reads so much in some seconds."""


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """Reads `--set key=value` texts; the values are YAML scalars.

    Raises:
        ConfigError: A text without '=', an unknown key, or a bad value.
    """
    values: dict[str, Any] = {}
    for text in assignments:
        key, sign, value = text.partition("=")
        if not sign:
            raise ConfigError(f"--set {text}: expected key=value, e.g. --set lr=0.05")
        try:
            check_key(key)  # an unknown one is named before its value is read
            values = merged(values, check_values({key: load_yaml(value)}))
        except _UNREADABLE as error:
            raise ConfigError(f"--set {text}: {str(error).splitlines()[0]}") from None
    return values


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML mapping with the safe loader; its keys are texts, each of them there once.

    Raises:
        ConfigError: The file is missing, unreadable, too large, not YAML, or no mapping.
    """
    try:
        values = load_yaml(read_bytes(path, _MOST_BYTES).decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except _UNREADABLE as error:
        raise ConfigError(f"{path}: is not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected 'key: value' lines, found {type(values).__name__}")
    return values


def write_yaml(path: Path, values: Mapping[str, Any], comment: str = "") -> None:
    """Writes YAML atomically, keys in the given order, below a comment of one or more lines."""
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    text = head + yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)
    write_text(path, text)
