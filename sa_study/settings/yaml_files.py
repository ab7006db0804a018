"""YAML, read and written: settings files, study descriptions, and the values of `--set`.

Read with PyYAML's safe loader, limits on what a few lines may grow to, and no keys that vanish. A file of
its own, so that training and measuring need no PyYAML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from sa_study.settings.run import check_keys, check_values, merged
from sa_study.utils.errors import ConfigError
from sa_study.utils.files import read_bytes, write_text

_UNREADABLE = (ConfigError, yaml.YAMLError, ValueError, OverflowError)
"""What reading YAML raises: its constructors of dates and numbers raise Python's own errors."""

MAX_FILE_BYTES = 2**18
"""Maximum size of a file in bytes; a large space has thousands. PyYAML reads this many in a few seconds."""

MAX_NESTING = 32
MAX_VALUES = 20_000
"""Maximum number of values in a document, where each alias counts as the values that it repeats."""

MAX_NUMBER_LENGTH = 100
"""Maximum length of a value that is no text: numbers of thousands of digits take Python time and memory."""

_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_TEXT = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """Reads `--set key=value` texts, whose values are YAML scalars; ConfigError quotes a wrong one."""
    values: dict[str, Any] = {}
    for text in assignments:
        key, sign, value = text.partition("=")
        if not sign:
            raise ConfigError(f"--set {text}: expected key=value, e.g. --set lr=0.05")
        try:
            check_keys([key])  # an unknown one is named before its value is read
            values = merged(values, check_values({key: load_yaml(value)}))
        except _UNREADABLE as error:
            raise ConfigError(f"--set {text}: {str(error).splitlines()[0]}") from None
    return values


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML mapping whose keys are texts and unique; ConfigError if a file does not hold one."""
    try:
        values = load_yaml(read_bytes(path, MAX_FILE_BYTES).decode("utf-8-sig"))
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
    write_text(path, head + yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True))


def load_yaml(text: str) -> Any:
    """Reads a document of plain values.

    Raises:
        yaml.YAMLError: The text is not YAML, is nested too deeply, grows too large by its aliases, has a key
            twice, a key that is not text, a number that people read otherwise than YAML, or a tag for an
            object that is not a plain value.
        ValueError: A date or a number is invalid.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        for number, part in enumerate(_nodes(node)):
            if number >= MAX_VALUES:
                raise _fault(
                    f"holds more than {MAX_VALUES} values, counting what aliases (*name) repeat", part
                )
            if isinstance(part, yaml.ScalarNode):
                _check_scalar(part)
            elif isinstance(part, yaml.MappingNode):
                _check_keys(part)
        return loader.construct_document(node)
    except RecursionError:
        raise yaml.YAMLError("is nested too deeply") from None
    finally:
        loader.dispose()


def _nodes(node: yaml.Node, depth: int = 1) -> Iterator[yaml.Node]:
    """A node and all within it, each alias written out."""
    if depth > MAX_NESTING:
        raise _fault(f"is nested more than {MAX_NESTING} deep, or holds itself", node)
    yield node
    if not isinstance(node, yaml.ScalarNode):
        for item in node.value:
            for part in item if isinstance(item, tuple) else (item,):
                yield from _nodes(part, depth + 1)


def _check_scalar(node: yaml.ScalarNode) -> None:
    if node.tag != _TEXT and len(node.value) > MAX_NUMBER_LENGTH:
        raise _fault(f"a number or date of {len(node.value)} characters", node)
    if node.tag not in _NUMBERS:
        return
    # YAML 1.1 means 8 by 010 and 90 by 1:30, which few who write them do.
    if re.match(r"[-+]?0[0-9_]", node.value):
        raise _fault(f"{node.value} begins with 0, which YAML takes for octal; write it without that 0", node)
    if ":" in node.value:
        raise _fault(f"{node.value} is in YAML a number to the base 60; write it in decimal", node)


def _check_keys(node: yaml.MappingNode) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if key.tag == _MERGE:
            continue
        if not isinstance(key, yaml.ScalarNode) or key.tag != _TEXT:
            shown = repr(key.value[:40]) if isinstance(key, yaml.ScalarNode) else "a list or mapping"
            raise _fault(f"a key is {shown}, which is no text; put a name in quotes", key)
        if key.value in lines:
            raise _fault(f"the key {key.value[:80]!r} stands twice, first in line {lines[key.value]}", key)
        lines[key.value] = key.start_mark.line + 1


def _fault(what: str, where: Any) -> yaml.YAMLError:
    return yaml.YAMLError(f"line {where.start_mark.line + 1}: {what}")
