"""What a process may use of a machine: affinity, limits of control groups, and systems that have neither."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from checkout import ROOT
from control_group import control_group, within

from sa_study.utils.machine import memory_limit, out_of_memory_kills, usable_cpus, usable_memory

GIB = 2**30
MANY = 64


@pytest.fixture(autouse=True)
def many_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of so many CPUs and so much memory that limits show."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(MANY)), raising=False)
    monkeypatch.setattr("sa_study.utils.machine._physical_memory", lambda: 256 * GIB)


def system(root: Path, cgroup: str, mounts: str, files: Mapping[str, str]) -> Path:
    """Writes `/proc` and control groups below a folder."""
    for name, text in {"proc/self/cgroup": cgroup, "proc/self/mountinfo": mounts, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    return root


VERSION_2 = "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"
BESIDE = "22 1 252:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw"
VERSION_1 = (
    f"{BESIDE}\n"
    "40 31 0:35 / /sys/fs/cgroup/cpu,cpuacct rw shared:17 - cgroup cgroup rw,cpu,cpuacct\n"
    "41 31 0:36 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
)
NONE = "9223372036854771712"


@pytest.mark.parametrize(
    ("cgroup", "mounts", "files", "cpus", "memory"),
    [
        pytest.param(
            "0::/", VERSION_2, {"sys/fs/cgroup/cpu.max": "250000 100000"}, 2, None, id="2: a container, CPUs"
        ),
        pytest.param(
            "0::/",
            VERSION_2,
            {"sys/fs/cgroup/cpu.max": "max 100000", "sys/fs/cgroup/memory.max": str(3 * GIB)},
            MANY,
            3 * GIB,
            id="2: a container, memory",
        ),
        pytest.param(
            "0::/slurm/job_7/step_0",
            VERSION_2,
            {
                "sys/fs/cgroup/slurm/job_7/step_0/cpu.max": "1600000 100000",
                "sys/fs/cgroup/slurm/job_7/cpu.max": "800000 100000",
                "sys/fs/cgroup/slurm/cpu.max": "max 100000",
                "sys/fs/cgroup/slurm/job_7/step_0/memory.max": "max",
                "sys/fs/cgroup/slurm/job_7/memory.max": str(16 * GIB),
                "sys/fs/cgroup/slurm/memory.max": str(128 * GIB),
            },
            8,
            16 * GIB,
            id="2: the least of a batch job's groups",
        ),
        pytest.param(
            "0::/", VERSION_2, {"sys/fs/cgroup/cpu.max": "20000 100000"}, 1, None, id="2: less than a CPU"
        ),
        pytest.param(
            "0::/user.slice",
            f"{BESIDE}\n35 24 0:30 / /my\\040groups rw - cgroup2 none rw",
            {"my groups/user.slice/cpu.max": "300000 100000"},
            3,
            None,
            id="2: mounted elsewhere",
        ),
        pytest.param(
            "0::/../../outside",
            VERSION_2,
            {"sys/fs/cgroup/cpu.max": "500000 100000"},
            5,
            None,
            id="2: outside",
        ),
        pytest.param(
            "5:memory:/job\n4:cpu,cpuacct:/job\n1:name=systemd:/job",
            VERSION_1,
            {
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "400000",
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/memory/job/memory.limit_in_bytes": NONE,
                "sys/fs/cgroup/memory/memory.limit_in_bytes": str(2 * GIB),
            },
            4,
            2 * GIB,
            id="1: own and parent's",
        ),
        pytest.param(
            "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc/inner",
            VERSION_1.replace(" / /sys", " /docker/abc /sys"),
            {
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "150000",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "50000",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": str(GIB),
            },
            3,
            GIB,
            id="1: a container that sees its own group alone",
        ),
        pytest.param(
            "4:memory:/a\n0::/a",
            f"{VERSION_1}\n{VERSION_2.replace('cgroup rw', 'cgroup/unified rw')}",
            {"sys/fs/cgroup/memory/a/memory.limit_in_bytes": str(GIB)},
            MANY,
            GIB,
            id="both versions",
        ),
        pytest.param(
            "0::/",
            VERSION_2,
            {"sys/fs/cgroup/cpu.max": "nonsense", "sys/fs/cgroup/memory.max": ""},
            MANY,
            None,
            id="nothing that could be read",
        ),
        pytest.param(
            "0::/",
            VERSION_2,
            {"sys/fs/cgroup/memory.max": str(512 * GIB)},
            MANY,
            None,
            id="more than there is",
        ),
    ],
)
def test_limits(
    tmp_path: Path, cgroup: str, mounts: str, files: dict[str, str], cpus: int, memory: int | None
) -> None:
    root = system(tmp_path, cgroup, mounts, files)
    assert usable_cpus(root) == cpus
    assert memory_limit(root) == memory and usable_memory(root) == (memory or 256 * GIB)


def test_the_peak_of_memory() -> None:
    code = """
from sa_study.utils.machine import peak_memory
before = peak_memory()
held = bytearray(before + 64 * 2**20)
assert len(held) < peak_memory() < 2 * len(held)
assert peak_memory() > before
"""
    # In a process that a shell starts: one that this process starts inherits its peak, which is of gigabytes.
    command = ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-c", code]
    subprocess.run(command, cwd=ROOT, check=True)


def test_affinity_counts_where_it_is_tighter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = system(tmp_path, "0::/", VERSION_2, {"sys/fs/cgroup/cpu.max": "800000 100000"})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 9, 11, 40})
    assert usable_cpus(root) == 4


def test_a_system_without_affinity_and_control_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 10)
    assert (usable_cpus(tmp_path), memory_limit(tmp_path), out_of_memory_kills(tmp_path)) == (10, None, 0)


@pytest.mark.parametrize(
    ("files", "kills"),
    [
        ({"sys/fs/cgroup/job/memory.events": "low 0\noom 5\noom_kill 3\noom_group_kill 1"}, 3),
        ({"sys/fs/cgroup/memory.events": "oom_kill 2", "proc/vmstat": "oom_kill 9"}, 2),
        ({"proc/vmstat": "pgfault 7\noom_kill 9\nnuma_hit 4"}, 9),
        ({}, 0),
    ],
    ids=["group", "parent", "machine", "unknown"],
)
def test_kills(tmp_path: Path, files: dict[str, str], kills: int) -> None:
    assert out_of_memory_kills(system(tmp_path, "0::/job", VERSION_2, files)) == kills


def test_kills_in_version_1(tmp_path: Path) -> None:
    counts = {"sys/fs/cgroup/memory/job/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 4"}
    assert out_of_memory_kills(system(tmp_path, "3:memory:/job", VERSION_1, counts)) == 4


def output(code: str, *before: str, **environment: str) -> list[str]:
    """What Python prints in a process of its own, after the words `before`."""
    given = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"} | environment
    command = [*before, sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, check=True)
    return done.stdout.split()


PRINT = "from sa_study.utils.machine import *; print(usable_cpus(), memory_limit(), out_of_memory_kills())"


@pytest.mark.skipif(not shutil.which("taskset"), reason="no taskset")
def test_a_real_affinity() -> None:
    assert output(PRINT, "taskset", "-c", "0")[0] == "1"


def test_a_real_cpu_quota() -> None:
    """Also PyTorch, which follows the affinity alone, takes no more threads."""
    with control_group("cpu") as group:
        (group / "cpu.cfs_quota_us").write_text(str(100_000))
        (group / "cpu.cfs_period_us").write_text(str(100_000))
        assert output(PRINT, *within(group))[0] == "1"
        program = "from sa_study.utils.machine import limit_threads; limit_threads(); import torch\n"
        assert output(program + "print(torch.get_num_threads())", *within(group)) == ["1"]


def test_a_real_memory_limit_and_a_kill() -> None:
    with control_group("memory") as group:
        (group / "memory.limit_in_bytes").write_text(str(256 * 2**20))
        assert output(PRINT, *within(group))[1:] == [str(256 * 2**20), "0"]
        with pytest.raises(subprocess.CalledProcessError):
            output("bytearray(2**29)", *within(group))
        assert output(PRINT, *within(group))[2] == "1"


def test_nothing_else_asks_for_the_machine() -> None:
    asks = re.compile(r"cpu_count|sched_getaffinity|virtual_memory|SC_PHYS_PAGES")
    files = [*(ROOT / "sa_study").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    assert [path.name for path in files if asks.search(path.read_text())] == ["machine.py"]
