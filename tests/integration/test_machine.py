"""A Ray of our own has what this process may use: under an affinity, a CPU quota and a memory limit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from control_group import control_group, within
from studies import ROOT

RESOURCES = """
import ray
from sa_study.study.cluster import connect
with connect(None):
    found = ray.cluster_resources()
print(int(found["CPU"]), int(found["object_store_memory"]))
"""


def resources(*before: str) -> tuple[int, int]:
    """CPUs and bytes of the object store, after the words `before`."""
    command = [*before, sys.executable, "-c", RESOURCES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    cpus, store = done.stdout.split()
    return int(cpus), int(store)


@pytest.mark.skipif(not shutil.which("taskset") or os.cpu_count() == 1, reason="no taskset, or one CPU")
def test_affinity() -> None:
    cpus, _ = resources("taskset", "-c", "0")
    assert cpus == 1


def test_limits_of_nested_control_groups() -> None:
    """Of which Ray alone would see none."""
    with control_group("cpu") as cpu, control_group("memory") as memory:
        (cpu / "cpu.cfs_quota_us").write_text("100000")
        (memory / "memory.limit_in_bytes").write_text(str(2 * 2**30))
        cpus, store = resources(*within(cpu), *within(memory))
    assert cpus == 1 and store <= 0.3 * 2 * 2**30
