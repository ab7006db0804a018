"""A trial whose process ended for lack of memory: how that is found out, recorded and answered."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from optuna.trial import TrialState
from searcher_driver import RETRIES, DyingTrial

from sa_study.study.records import read_record
from sa_study.tuning.launch.memory import MemoryKills
from sa_study.tuning.stopping.ray_scheduler import _last_error

BY_RAY = """1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 127.0.0.1)
OOM kill reason: Memory usage 7011475456B exceeded threshold of 505530208B (2.0% of 25276510208B limit)
Object store memory usage: [- objects spillable: 4
"""
DIED = """The actor died unexpectedly before finishing this task.
\tpid: 18836
\tip: 10.0.0.7
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR. Some common causes:
(1) the process was killed by the OOM killer due to high memory usage, (2) ray stop --force was called, or
"""
RAISED = "ray::ImplicitFunc.train() (pid=1, ip=10.0.0.7, actor_id=3b, repr=run_trial)\n  File x\n{}\n"
REFUSED = (
    "RuntimeError: [enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: 9 bytes"
)
"""What Ray 2.60 says of the ends of trials' processes, shortened."""


class Nodes:
    """Counts of two nodes, which a test raises."""

    def __init__(self) -> None:
        self.kills = {"a": 5, "b": 0}

    def nodes(self) -> list[dict[str, object]]:
        addresses = {"a": "10.0.0.7", "b": "10.0.0.8"}
        return [{"Alive": True, "NodeID": n, "NodeManagerAddress": at} for n, at in addresses.items()]


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Nodes:
    there = Nodes()
    monkeypatch.setattr("ray.nodes", there.nodes)
    monkeypatch.setattr(MemoryKills, "_read", lambda self, node: (there.kills[node], 4 * 10**9))
    return there


@pytest.fixture
def kills(nodes: Nodes) -> MemoryKills:
    found = MemoryKills(joined=True)
    found.watch()
    return found


@pytest.fixture
def process(tmp_path: Path) -> DyingTrial:
    return DyingTrial(tmp_path)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (BY_RAY, ("out of memory: Ray killed it", "7.0 GB of 25.3 GB", "--max-concurrent")),
        (RAISED.format(REFUSED), ("out of memory: ", "DefaultCPUAllocator: can't allocate memory: 9 bytes")),
        (RAISED.format("MemoryError"), ("out of memory: MemoryError",)),
    ],
)
def test_errors_that_name_memory_are_passed_on(
    kills: MemoryKills, error: str, words: tuple[str, ...]
) -> None:
    assert all(word in kills.reason(error) for word in words)


def test_a_kill_by_linux_explains_one_death(kills: MemoryKills, nodes: Nodes) -> None:
    assert kills.reason(DIED) == "", "nothing was killed for lack of memory: it may have been a kill -9"
    nodes.kills["b"] += 1
    assert kills.reason(DIED) == "", "on another node"
    nodes.kills["a"] += 2
    kills.watch()
    assert kills.reason(RAISED.format("ValueError: x")) == "", "who raises was not killed"
    for _ in range(2):
        assert "out of memory: Linux killed it, 4.0 GB may be used" in kills.reason(DIED)
    assert kills.reason(DIED) == ""


def test_a_memory_kill_is_recorded_and_the_trial_tried_once_more(process: DyingTrial) -> None:
    process.search.record_crash("a", "out of memory: x")
    assert process.dies(), "other processes may have taken the memory"
    process.callback.on_trial_recover(0, [], process.trial)
    (trial,) = process.driver.trials
    assert trial.state == TrialState.RUNNING and read_record(trial).notes == ["out of memory: x"]
    assert process.events[-1].note.startswith("out of memory: x; it goes on")
    process.search.record_crash("a", "out of memory: y")
    assert not process.dies()
    process.search.on_trial_complete("a", error=True)
    (trial,) = process.driver.trials
    assert trial.state == TrialState.FAIL and read_record(trial).failure == "out of memory: y"


def test_an_epoch_between_gives_it_another_try(process: DyingTrial) -> None:
    for epoch in (1, 2, 3):
        process.epoch(epoch)
        process.search.record_crash("a", "out of memory: x")
        assert process.dies()
        process.callback.on_trial_recover(0, [], process.trial)
    assert not process.dies()


def test_another_death_is_not_taken_for_it(process: DyingTrial) -> None:
    process.search.record_crash("a", "out of memory: x")
    process.epoch(1)
    process.search.record_crash("a", "")
    for _ in range(RETRIES):
        assert process.dies()
        process.callback.on_trial_recover(0, [], process.trial)
    process.search.on_trial_complete("a", error=True)
    assert "error.txt" in read_record(process.driver.trials[0]).failure


def test_the_last_of_rays_accounts_counts(tmp_path: Path) -> None:
    file = tmp_path / "error.txt"
    file.write_text(f"Failure # 1 (occurred at x)\n{BY_RAY}\nFailure # 2 (occurred at y)\n{DIED}\n")
    assert _last_error(SimpleNamespace(error_file=str(file))).strip() == DIED.strip()
    assert _last_error(SimpleNamespace(error_file=None)) == ""
    assert _last_error(SimpleNamespace(error_file=str(tmp_path / "none"))) == ""
