"""CPUs and memory that this process may use: those of the machine within its affinity and control groups.

Batch systems and containers give a process a part of a machine: by its CPU affinity (`taskset`, a cpuset), or
by limits of its control group (Linux's cgroups, versions 1 and 2). Such limits hold for a group's processes
together; the lowest of a group's and its parents' limits counts. The functions' `root` is the folder that
`/proc` and the control groups are read below.
"""

from __future__ import annotations

import os
import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_ROOT = Path("/")


def usable_cpus(root: Path = _ROOT) -> int:
    """The number of CPUs that this process may use, at least 1; a limit of 2.5 CPUs gives 2."""
    return max(1, min([_affinity(), *_cpu_quotas(root)]))


def limit_threads() -> None:
    """Limits the threads of PyTorch, OpenMP and BLAS, if imported later, to a CPU quota.

    By default these heed the affinity alone. A given `OMP_NUM_THREADS` is kept.
    """
    if usable_cpus() < _affinity():
        os.environ.setdefault("OMP_NUM_THREADS", str(usable_cpus()))


def memory_limit(root: Path = _ROOT) -> int | None:
    """Bytes that this process's control group may use; None if that is not less than the machine's memory."""
    limit = min(_memory_limits(root), default=None)
    return limit if limit is not None and limit < _physical_memory() else None


def usable_memory(root: Path = _ROOT) -> int:
    """Bytes of memory that this process may use, shared with others of its control group."""
    return memory_limit(root) or _physical_memory()


def peak_memory() -> int:
    """Peak memory of this process in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def out_of_memory_kills(root: Path = _ROOT) -> int:
    """How many processes Linux has killed for lack of memory: of this control group, else of the machine."""
    counts = [
        group / name
        for group in _control_groups("memory", root)
        for name in ("memory.events", "memory.oom_control")
    ]
    for file in (*counts, root / "proc/vmstat"):
        if found := re.search(r"^oom_kill (\d+)$", _read(file), re.MULTILINE):
            return int(found[1])
    return 0


def _affinity() -> int:
    """CPUs that this process may run on; macOS cannot restrict them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _physical_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _cpu_quotas(root: Path) -> Iterator[int]:
    """Limits of CPU time, in whole CPUs."""
    for group in _control_groups("cpu", root):
        version_2 = _read(group / "cpu.max").split()
        version_1 = [_read(group / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
        for numbers in (version_2, version_1):
            if len(numbers) == 2 and all(map(str.isdecimal, numbers)) and int(numbers[1]):  # not max, not -1
                yield int(numbers[0]) // int(numbers[1])


def _memory_limits(root: Path) -> Iterator[int]:
    for group in _control_groups("memory", root):
        for name in ("memory.max", "memory.limit_in_bytes"):
            if (limit := _read(group / name).strip()).isdecimal():
                yield int(limit)


def _control_groups(controller: str, root: Path) -> Iterator[Path]:
    """Folders of this process's control groups and of their parents, each group before its parents.

    The controllers `cpu` and `memory` have a hierarchy each in version 1 and share one in version 2.
    """
    groups: dict[str, str] = {}
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        groups |= dict.fromkeys(controllers.split(","), path)
    for line in _read(root / "proc/self/mountinfo").splitlines():
        mount, _, filesystem = line.partition(" - ")
        kind, _, options = filesystem.split(" ", 2)
        hierarchy = {"cgroup": controller, "cgroup2": ""}.get(kind)
        if hierarchy not in groups or (hierarchy and hierarchy not in options.split(",")):
            continue
        top, mount_point = (field.replace(r"\040", " ") for field in mount.split(" ")[3:5])
        folder = root / mount_point.lstrip("/")
        group = PurePosixPath(groups[hierarchy])
        # A container may have its own group mounted and not see the groups above, which `..` stands for.
        below = group.relative_to(top) if group.is_relative_to(top) and ".." not in group.parts else None
        yield from (folder / part for part in ((below, *below.parents) if below else (".",)))


def _read(file: Path) -> str:
    """A file's text; empty where there is none."""
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, this machine's or a GPU's.

    PyTorch has a class of its own for a GPU's memory; for this machine's it raises a RuntimeError in words.
    """
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"  # PyTorch's, which is not imported for this
        or (isinstance(error, RuntimeError) and "allocate memory" in str(error))
    )
