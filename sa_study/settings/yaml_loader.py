"""PyYAML's safe loader, with limits on what a few lines may grow to, and without keys that vanish."""

from __future__ import annotations

import re
from typing import Any

import yaml

_DEEPEST = 32
_MOST_NODES = 20_000
"""Values of a document, those counted again that an alias repeats."""

_LONGEST_NUMBER = 100
"""Characters of a value that is no text: Python takes time and memory over numbers of thousands."""

_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")

_TEXT = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"


def load_yaml(text: str) -> Any:
    """Reads a document of plain values.

    Raises:
        yaml.YAMLError: It is no YAML, or is nested too deeply, grows too large by its aliases, has a key
            twice or one that is no text, or a number that people read otherwise than YAML, or wants
            something built that is no plain value.
        ValueError: A date or a number is none.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {})
        return loader.construct_document(node)
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """A safe loader that goes no deeper than any file of ours."""

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._depth += 1
        if self._depth > _DEEPEST:
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            raise _fault(f"is nested more than {_DEEPEST} deep", event)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _count(node: Any, counts: dict[int, int]) -> int:
    """Number of values that a node stands for, each alias written out."""
    known = counts.get(id(node))
    if known == 0:
        raise _fault("a value holds itself", node)
    if known is not None:
        return known
    counts[id(node)] = 0  # on the way
    if isinstance(node, yaml.MappingNode):
        _check_keys(node)
        parts = [part for pair in node.value for part in pair]
    else:
        parts = node.value if isinstance(node, yaml.SequenceNode) else []
    total = 1
    for part in parts:
        total += _count(part, counts)
        if total > _MOST_NODES:
            raise _fault(f"holds more than {_MOST_NODES} values, counting what aliases (*name) repeat", node)
    if isinstance(node, yaml.ScalarNode):
        _check_scalar(node)
    counts[id(node)] = total
    return total


def _check_scalar(node: yaml.ScalarNode) -> None:
    if node.tag != _TEXT and len(node.value) > _LONGEST_NUMBER:
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
