"""Where a result comes from: versions, code, hardware, command."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sa_study.utils.errors import DataError, StudyFolderError
from sa_study.utils.files import PACKAGE_ROOT, PROJECT_ROOT, read_json, write_json
from sa_study.utils.machine import usable_cpus
from sa_study.utils.text import redact
from sa_study.version import VERSION

PACKAGES = ("torch", "torchvision", "ray", "optuna", "numpy", "scipy", "pillow", "tensorboard", "timm")


def describe_run() -> dict[str, Any]:
    """Time, command, versions, code and hardware of this process, as plain values for a JSON file."""
    return {
        "time": utc_now(),
        "command": command_line(),
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "git": _git(),
        "sources": _sources(),
        "hardware": _hardware(),
    }


def version_lines() -> list[str]:
    """Versions of the program and of what its results depend on, one a line."""
    import torch

    cuda = f"CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    return [
        f"sa-study {VERSION}",
        f"Python {platform.python_version()}",
        f"torch {torch.__version__} ({cuda})",
        *(f"{name} {_version(name) or 'is not installed'}" for name in ("ray", "optuna")),
    ]


def utc_now() -> str:
    """The current time in UTC, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def command_line() -> str:
    """The command line of this process, without credentials."""
    return redact(shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]))


def append_launch(path: Path, data_fingerprint: str, **more: Any) -> None:
    """Appends this launch to a folder's `provenance.json`, which is made if it is missing.

    Args:
        path: The file.
        data_fingerprint: Fingerprint of the training images.
        more: More entries of this launch.

    Raises:
        DataError: An earlier launch had other training images; nothing is written.
        StudyFolderError: The file is damaged.
    """
    new = {"data_fingerprint": data_fingerprint, "launches": []}
    before = read_provenance(path) if path.exists() else new
    if before["data_fingerprint"] != data_fingerprint:
        raise DataError(f"the training images are not those that {path.parent} was begun with; give the same")
    write_json(path, {**before, "launches": [*before["launches"], {**describe_run(), **more}]})


def last_slots(path: Path) -> int | None:
    """How many trials a folder's last launch runs at a time; None if `provenance.json` does not hold that.

    Raises:
        StudyFolderError: The file is missing or damaged.
    """
    launches = read_provenance(path)["launches"]
    slots = launches[-1].get("slots", {}).get("concurrent") if launches and is_launch(launches[-1]) else None
    return slots if isinstance(slots, int) else None


def differences(path: Path) -> list[str]:
    """What has changed since a folder's last launch, so that figures may differ in their last digits.

    Raises:
        StudyFolderError: The file is missing or damaged.
    """
    launches, now = read_provenance(path)["launches"], describe_run()
    before = launches[-1] if launches else now
    if not is_launch(before):
        raise StudyFolderError(f"{path}: its last launch is damaged, so nothing can go on from it")
    pairs = {name: (was, now["packages"].get(name)) for name, was in before.get("packages", {}).items()}
    pairs["python"] = before.get("python"), now["python"]
    pairs["code"] = code_of(before), code_of(now)
    return [
        f"{name} was {was} at the last launch, is {is_now} now"
        for name, (was, is_now) in pairs.items()
        if was != is_now
    ]


def code_of(launch: Mapping[str, Any]) -> str:
    """The commit of the code at a launch, and whether the code had uncommitted changes, in words."""
    git = launch.get("git")
    return f"commit {git['commit'][:10]}{' (changed)' if git['dirty'] else ''}" if git else "of no commit"


def read_provenance(path: Path) -> dict[str, Any]:
    """A folder's `data_fingerprint` and `launches`, the latest last.

    Raises:
        StudyFolderError: The file is missing or damaged.
    """
    try:
        entry = read_json(path)
        launches = entry["launches"]
        if not isinstance(launches, list):
            raise ValueError("launches")
        return {"data_fingerprint": str(entry["data_fingerprint"]), "launches": launches}
    except (OSError, ValueError, KeyError):
        raise StudyFolderError(f"{path}: is missing or damaged, so nothing can go on from it") from None


def require_same_images(path: Path, fingerprint: str, data_dir: Path) -> None:
    """Checks that training images are those that a study was begun with.

    Args:
        path: The study's `provenance.json`.
        fingerprint: That of the images.
        data_dir: Folder of the data set.

    Raises:
        DataError: They are others.
        StudyFolderError: The file is missing or damaged.
    """
    expected = read_provenance(path)["data_fingerprint"]
    if fingerprint != expected:
        raise DataError(
            f"{data_dir}: the training images are not those that the study was begun with (fingerprint "
            f"{fingerprint:.12}, not {expected:.12}); give the same by --data-dir"
        )


def is_launch(entry: object) -> bool:
    """Whether an entry has the structure that `describe_run` gives it, as far as it is read."""
    if not isinstance(entry, dict):
        return False
    git = entry.get("git")
    return (
        isinstance(entry.get("packages", {}), dict)
        and isinstance(entry.get("slots", {}), dict)
        and isinstance(entry.get("hardware", {}), dict)
        and (git is None or (isinstance(git, dict) and isinstance(git.get("commit"), str) and "dirty" in git))
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git() -> dict[str, Any] | None:
    """The code's commit, and whether there are uncommitted changes; None outside a checkout of its own.

    Code that was copied or installed into another repository has no commit: that repository's is another's.
    """
    code = str(PACKAGE_ROOT / "__init__.py")
    try:
        if Path(_git_output(PROJECT_ROOT, "rev-parse", "--show-toplevel")) != PROJECT_ROOT:
            return None
        _git_output(PROJECT_ROOT, "ls-files", "--error-unmatch", "--", code)  # fails where it is not tracked
        commit = _git_output(PROJECT_ROOT, "rev-parse", "HEAD")
        changed = _git_output(PROJECT_ROOT, "status", "--porcelain")
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(changed)}


def _git_output(root: Path, *words: str) -> str:
    """The output of a git command in a folder, whatever repository the environment names (`GIT_DIR`)."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(root), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10, env=environment)
    return done.stdout.strip()


def _sources() -> str:
    """A fingerprint of this program's source files, which tells uncommitted changes apart."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE_ROOT.rglob("*.py")):
        digest.update(f"{path.relative_to(PACKAGE_ROOT).as_posix()}\0".encode("utf-8", "surrogateescape"))
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _hardware() -> dict[str, Any]:
    import torch

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "platform": platform.platform(),
        "cpu": _cpu(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "cpus": usable_cpus(),
        "gpus": gpus,
    }


def _cpu(described: Path = Path("/proc/cpuinfo")) -> str:
    """The CPU's model; on some architectures the kernel does not name it."""
    try:
        text = described.read_text(errors="replace")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(\S.*?)\s*$", text, re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()
