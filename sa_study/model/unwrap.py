"""Finds a state dict in what other programs put around it: dicts that hold it, and prefixes of its names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from sa_study.model.tensor_file import state_dict_fault

_HOLDERS = ("state_dict", "model_state_dict", "model", "net", "network")
"""Keys under which training programs keep a network's state dict, also one in another."""

_WRAPPERS = ("module", "_orig_mod")
"""What DataParallel and torch.compile put into the names of the network, or of the part, that they wrap."""

MAX_NESTING = 8


class NoWeights(ValueError):
    """The content of a file is no network's weights; says why."""


@dataclass(frozen=True)
class WeightsFile:
    """State dict of a weights file, and how it was found in it.

    Attributes:
        state: The state dict, under the network's own names.
        beside: What lies beside it, such as `epoch`.
        found: Where it was found and what was taken off its names, in words; empty for a plain one.
    """

    state: dict[str, Tensor]
    beside: dict[str, Any] = field(default_factory=dict)
    found: str = ""


def unwrap(content: object) -> WeightsFile:
    """Finds the state dict in what a file of `torch.save` holds.

    Raises:
        NoWeights: There is none, there are several, or two of its names are the same without wrappers.
    """
    held: Any = content
    beside: dict[str, Any] = {}
    under: list[str] = []
    while len(under) < MAX_NESTING and (holders := _holders(held)):
        if len(holders) > 1:
            raise NoWeights(f"holds weights under {' and '.join(holders)}; keep one of them")
        beside |= {key: value for key, value in held.items() if key != holders[0]}
        under.append(holders[0])
        held = held[holders[0]]
    if fault := state_dict_fault(held):
        raise NoWeights(f"is not a weights file ({fault})")
    state, taken_off = _plain_names(held)
    found = []
    if taken_off or under not in ([], ["state_dict"]):
        found.append(f"weights found under {'.'.join(under)}" if under else "weights found")
    if taken_off:
        found.append(f"their names read without {' and '.join(f'{name}.' for name in taken_off)}")
    return WeightsFile(state, beside, ", ".join(found))


def _holders(values: object, depth: int = 0) -> list[str]:
    """The keys of a dict under which there is a state dict, perhaps deeper; a damaged one may hold itself."""
    if not isinstance(values, dict) or depth == MAX_NESTING:
        return []
    inner = {name: values[name] for name in _HOLDERS if isinstance(values.get(name), dict)}
    return [
        name
        for name, held in inner.items()
        if any(isinstance(value, Tensor) for value in held.values()) or _holders(held, depth + 1)
    ]


def _plain_names(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The state dict under the network's own names, and what was taken off them."""
    taken_off: dict[str, None] = {}
    names = {}
    for key in state:
        *parents, last = key.split(".")
        taken_off |= dict.fromkeys(name for name in parents if name in _WRAPPERS)
        names[key] = [*(name for name in parents if name not in _WRAPPERS), last]
    # Lightning and others keep the network as a part of theirs.
    while (outer := _common_outer(names.values())) in _HOLDERS:
        taken_off[outer] = None
        names = {key: parts[1:] for key, parts in names.items()}
    plain: dict[str, Tensor] = {}
    origin: dict[str, str] = {}
    for key, parts in names.items():
        name = ".".join(parts)
        if name in plain:
            raise NoWeights(f"holds {name} twice, as {origin[name]} and as {key}; keep one of them")
        plain[name], origin[name] = state[key], key
    return plain, list(taken_off)


def _common_outer(names: Iterable[list[str]]) -> str:
    """The first part of all names, where they have more than one and it is the same; else empty."""
    first = {parts[0] if len(parts) > 1 else "" for parts in names}
    return first.pop() if len(first) == 1 else ""
