"""Whether a trial's process was killed for lack of memory, and how much memory there was."""

from __future__ import annotations

import re
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sa_study.utils.files import format_bytes
from sa_study.utils.machine import out_of_memory_kills, usable_memory

_ADVICE = "fewer trials at a time (--max-concurrent) or --set accumulate=2 (4, …) need less"
_KILLED_BY_RAY = re.compile(r"Memory usage (\d+)B exceeded threshold of \d+B \(.*? of (\d+)B limit\)")
_ALLOCATION_FAILED = re.compile(r"^.*(?:MemoryError|allocate memory|bad_alloc).*$", re.MULTILINE)
_DIED_AT = re.compile(r"^\s*ip: (\S+)$", re.MULTILINE)
"""The node of a process that was killed; Ray describes one that raised an exception otherwise."""

_ANSWER_TIMEOUT_SECONDS = 30.0
"""Time that a node has to answer."""


class MemoryKills:
    """Finds out which trials' processes were killed for lack of memory.

    Ray's memory monitor says so when it kills one. Linux only counts what it kills: when a node's count is
    higher than the number of deaths attributed to it so far, the next death is attributed to it too.

    Args:
        joined: Whether trials run on a joined cluster, outside of this process's control group.
    """

    def __init__(self, joined: bool):
        self._joined = joined
        self._addresses: dict[str, str] = {}
        self._explained: dict[str, Any] = {}

    def watch(self) -> None:
        """Reads the counts of nodes that have joined since the last call."""
        for node in ray.nodes():
            if node["Alive"] and node["NodeID"] not in self._addresses:
                self._addresses[node["NodeID"]] = node["NodeManagerAddress"]
                self._explained[node["NodeID"]] = self._read(node["NodeID"])

    def reason(self, error: str) -> str:
        """Why a process ended, by Ray's message on its end, if that was for lack of memory; else empty."""
        how = ""
        if found := _KILLED_BY_RAY.search(error):
            used, limit = (format_bytes(int(number)) for number in found.groups())
            how = f"Ray killed it when {used} of {limit} were in use"
        elif found := _ALLOCATION_FAILED.search(error):
            how = found[0].strip()[:200]
        elif (found := _DIED_AT.search(error)) and (memory := self._memory_of_killing_node(found[1])):
            how = f"Linux killed it, {format_bytes(memory)} may be used"
        return f"out of memory: {how}; {_ADVICE}" if how else ""

    def _memory_of_killing_node(self, address: str) -> int | None:
        """The memory of the node whose count explains a death at this address; None if none does."""
        readings = {node: self._read(node) for node, at in self._addresses.items() if at == address}
        for node, reading in readings.items():
            explained, counted = _answer(self._explained[node]), _answer(reading)
            if explained and counted and counted[0] > explained[0]:
                self._explained[node] = (explained[0] + 1, explained[1])
                return counted[1]
        return None

    def _read(self, node: str) -> Any:
        """The number of processes that a node has killed and its memory, or a reference to both."""
        if not self._joined:
            return _kills_and_memory()
        task = ray.remote(num_cpus=0, max_retries=0)(_kills_and_memory)
        on_node = NodeAffinitySchedulingStrategy(node, soft=False)
        return task.options(scheduling_strategy=on_node).remote()


def _answer(reading: Any) -> tuple[int, int] | None:
    """The numbers of a reading; None if the node does not answer."""
    if not isinstance(reading, ray.ObjectRef):
        return (int(reading[0]), int(reading[1]))
    try:
        kills, memory = ray.get(reading, timeout=_ANSWER_TIMEOUT_SECONDS)
    except ray.exceptions.RayError:
        return None
    return (kills, memory)


def _kills_and_memory() -> tuple[int, int]:
    return out_of_memory_kills(), usable_memory()
