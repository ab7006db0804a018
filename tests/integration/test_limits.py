"""Limits of a machine, for real: what Ray gets under them, and trials that are killed for lack of memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT
from control_group import control_group, within
from study_processes import TINY, run_here

from sa_study.data.sample import make_sample_data

RESOURCES = """
import ray
from sa_study.tuning.launch.cluster import connect
from sa_study.tuning.launch.memory import MemoryKills
with connect(None):
    found = ray.cluster_resources()
    kills = MemoryKills(joined=True)  # asks a node, as on a cluster
    kills.watch()
    ((killed, memory),) = ray.get(list(kills._explained.values()))
    assert not {"monitor", "log_monitor", "dashboard"} & set(ray._private.worker._global_node.all_processes)
print(int(found["CPU"]), int(found["object_store_memory"]), memory)
"""


def resources(*before: str) -> list[int]:
    """CPUs, bytes of the object store, and of memory by a node's own account, after the words `before`."""
    command = [*before, sys.executable, "-c", RESOURCES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(map(int, done.stdout.split()))


@pytest.mark.skipif(not shutil.which("taskset") or os.cpu_count() == 1, reason="no taskset, or one CPU")
def test_affinity() -> None:
    assert resources("taskset", "-c", "0")[0] == 1


def test_limits_of_nested_control_groups() -> None:
    """Of which Ray alone would see none."""
    with control_group("cpu") as cpu, control_group("memory") as memory:
        (cpu / "cpu.cfs_quota_us").write_text("100000")
        (memory / "memory.limit_in_bytes").write_text(str(2 * 2**30))
        cpus, store, usable = resources(*within(cpu), *within(memory))
    assert cpus == 1 and store <= 0.3 * 2 * 2**30 and usable == 2 * 2**30


FIXED = {**TINY, "val_identities": 2, "epochs": 1}
MIB = 2**20


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample_data(tmp_path_factory.mktemp("memory") / "data", identities=8)


def tune(data: Path, study: Path, *before: str, **settings: int) -> int:
    """Runs a study of one trial, after the words `before`; returns its exit code."""
    fixed = {**FIXED, **settings}
    space = study.with_suffix(".yaml")
    space.write_text(f"search: {{}}\nfixed: {json.dumps(fixed)}\nbaseline: {{}}\nscheduler: {{name: none}}\n")
    words = ("tune", "--data-dir", data, "--study", study, "--space", space, "--trials", "1", "--quiet")
    command = [*before, sys.executable, ROOT / "run_study.py", *words]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert not done.stderr, done.stderr
    return done.returncode


def require_reason(study: Path, *words: str) -> None:
    """The reason and how much memory there was: in status, JSON and page, after one more try and no third."""
    (trial,) = json.loads(run_here("status", "--study", study, "--json"))["trials"]
    assert trial["state"] == "FAIL"
    (note,) = [note for note in trial["notes"][:1] if note.startswith("out of memory")]
    run_here("report", "--study", study)
    page = (study / "report.html").read_text()
    for text in (trial["failure"], note, run_here("status", "--study", study), page):
        for word in ("out of memory", *words):
            assert word in text
    accounts = (study / "trials/session_1/trial_0000/error.txt").read_text()
    assert accounts.count("Failure # ") == 2, accounts


def test_killed_by_rays_monitor(data: Path, tmp_path: Path) -> None:
    monitor = ("env", "RAY_memory_usage_threshold=0.001", "RAY_memory_monitor_refresh_ms=100")
    assert tune(data, tmp_path / "study", *monitor) == 1
    require_reason(tmp_path / "study", "Ray killed it", "GB")


def test_killed_by_linux(data: Path, tmp_path: Path) -> None:
    limit = 1792 * MIB
    with control_group("memory") as group:
        (group / "memory.limit_in_bytes").write_text(str(limit))
        assert tune(data, tmp_path / "study", *within(group), height=1024, width=512, batch_size=64) == 1
    require_reason(tmp_path / "study", "Linux killed it", "1.9 GB")
