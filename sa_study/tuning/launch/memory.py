"""Whether a trial's process ended for lack of memory, and how much memory there was."""

from __future__ import annotations

import re
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sa_study.tuning.launch.disk_space import in_units
from sa_study.utils.machine import out_of_memory_kills, usable_memory

_ADVICE = "fewer trials at a time (--max-concurrent) or --set accumulate=2 (4, …) need less"
_KILLED_BY_RAY = re.compile(r"Memory usage (\d+)B exceeded threshold of \d+B \(.*? of (\d+)B limit\)")
_ALLOCATION_FAILED = re.compile(r"^.*(?:MemoryError|allocate memory|bad_alloc).*$", re.MULTILINE)
_DIED_AT = re.compile(r"^\s*ip: (\S+)$", re.MULTILINE)
"""The node of a process that was killed; of one that raised an exception Ray tells otherwise."""

_PATIENCE = 30.0
"""Seconds for nodes to answer."""


class MemoryKills:
    """Tells which trials' processes ended for lack of memory.

    Ray's memory monitor says so when it kills one. Linux only counts what it kills: a count that has grown by
    more than the deaths that it has explained already explains another.

    Args:
        joined: Whether trials run on nodes of a cluster, outside of this process's control group.
    """

    def __init__(self, joined: bool):
        self._joined = joined
        self._addresses: dict[str, str] = {}
        self._explained: dict[str, Any] = {}

    def watch(self) -> None:
        """Reads the counts of the nodes that are new."""
        for node in ray.nodes():
            if node["Alive"] and node["NodeID"] not in self._addresses:
                self._addresses[node["NodeID"]] = node["NodeManagerAddress"]
                self._explained[node["NodeID"]] = self._read(node["NodeID"])

    def reason(self, error: str) -> str:
        """Why a process ended, if it was for lack of memory; else empty.

        Args:
            error: What Ray says of its end.
        """
        if found := _KILLED_BY_RAY.search(error):
            used, limit = (in_units(int(number)) for number in found.groups())
            return f"out of memory: Ray killed it when {used} of {limit} were in use; {_ADVICE}"
        if found := _ALLOCATION_FAILED.search(error):
            return f"out of memory: {found[0].strip()[:200]}; {_ADVICE}"
        found = _DIED_AT.search(error)
        memory = self._memory_of_a_killer(found[1]) if found else None
        return f"out of memory: Linux killed it, {in_units(memory)} may be used; {_ADVICE}" if memory else ""

    def _memory_of_a_killer(self, address: str) -> int | None:
        """The memory of a node at an address that has killed a process, each killed process once."""
        now = {node: self._read(node) for node, at in self._addresses.items() if at == address}
        for node, reading in now.items():
            explained, counted = _answer(self._explained[node]), _answer(reading)
            if explained and counted and counted[0] > explained[0]:
                self._explained[node] = (explained[0] + 1, explained[1])
                return counted[1]
        return None

    def _read(self, node: str) -> Any:
        """How many processes a node has killed and its memory, or a reference to these."""
        if not self._joined:
            return _kills_and_memory()
        task = ray.remote(num_cpus=0, max_retries=0)(_kills_and_memory)
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        return task.options(scheduling_strategy=there).remote()


def _answer(reading: Any) -> tuple[int, int] | None:
    """A reading; None where the node does not answer."""
    if not isinstance(reading, ray.ObjectRef):
        return (int(reading[0]), int(reading[1]))
    try:
        kills, memory = ray.get(reading, timeout=_PATIENCE)
    except ray.exceptions.RayError:
        return None
    return (kills, memory)


def _kills_and_memory() -> tuple[int, int]:
    return out_of_memory_kills(), usable_memory()
