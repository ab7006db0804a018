"""What differs between a launch and now, and what a launch records of its machine and its code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from original_trial import NOW

from sa_study import provenance
from sa_study.analysis.reproduce.original import launch_changes
from sa_study.provenance import describe_run


def lines(launch: object, now: dict[str, Any] | None = None, **devices: bool) -> list[str]:
    gpu_then, gpu_now = devices.get("gpu_then", False), devices.get("gpu_now", False)
    found = launch_changes({1: launch}, now or NOW, gpu_then=gpu_then, gpu_now=gpu_now)
    return [change.line for change in found]


def test_every_difference_is_named() -> None:
    hardware: dict[str, Any] = NOW["hardware"]
    assert lines(NOW) == []
    then = {
        **NOW,
        "python": "3.12.1",
        "packages": {"torch": "2.14.0", "scipy": "1.17.1"},
        "git": {"commit": "fedcba9876543210", "dirty": True},
        "sources": "00" * 32,
        "hardware": {**hardware, "cpu": "Xeon", "instruction_set": "AVX2", "platform": "Linux-5"},
    }
    assert lines(then) == [
        "torch was 2.14.0, is 2.15.0 now",
        "scipy was 1.17.1, is not installed now",
        "numpy was not installed, is 2.4.6 now",
        "python was 3.12.1, is 3.11.7 now",
        "CPU was Xeon, is EPYC 9654 now",
        "CPU instruction set was AVX2, is AVX512 now",
        "platform was Linux-5, is Linux-6.1 now",
        "code was commit fedcba9876 (changed), is commit 0123456789 now",
    ]


def test_gpus_are_named_where_they_are_used() -> None:
    hardware: dict[str, Any] = NOW["hardware"]
    other = {**NOW, "hardware": {**hardware, "gpus": ["A100", "A100"]}}
    assert lines(other) == []
    assert lines(other, gpu_then=True, gpu_now=True) == ["device was A100, is H100 now"]
    assert lines(NOW, gpu_then=True, gpu_now=True) == []
    assert lines(NOW, gpu_then=True) == ["device was H100, is the CPU now"]
    assert lines(NOW, gpu_now=True) == ["device was the CPU, is H100 now"]


def test_changed_checkouts_are_told_apart_by_their_files() -> None:
    dirty = {**NOW, "git": {**NOW["git"], "dirty": True}}
    assert lines(dirty, dirty) == []
    assert lines({**dirty, "sources": "00" * 32}, dirty) == [
        "code: same commit 0123456789 (changed), but other uncommitted changes"
    ]
    [change] = launch_changes({1: dirty}, NOW, gpu_then=False, gpu_now=False)
    assert change.line.endswith("with the same program files") and not change.explains
    older = {name: value for name, value in dirty.items() if name != "sources"}
    assert "not recorded whether its uncommitted changes are the same" in lines(older, dirty)[0]
    assert lines({name: value for name, value in NOW.items() if name != "sources"}) == []


def test_what_was_not_recorded_is_said() -> None:
    older = {**NOW, "hardware": {"platform": "Linux-6.1", "cpus": 2, "gpus": []}}
    assert lines(older) == [
        "CPU: not recorded, is EPYC 9654 now",
        "CPU instruction set: not recorded, is AVX512 now",
    ]
    cases: list[object] = [None, [], {"git": 3}, {"packages": [1]}]
    for damaged in cases:
        assert lines(damaged) == ["what the study ran with: not recorded"]


def test_an_edited_file_fills_no_screen() -> None:
    hostile = {**NOW, "packages": {f"p{number}": "x" * 999 for number in range(999)}, "python": ["a"] * 999}
    found = lines(hostile)
    assert len(found) == 41 and found[-1].startswith("and ") and max(map(len, found)) < 300


def test_all_launches_of_a_trial_are_compared() -> None:
    newer = {**NOW, "python": "3.12.1"}
    found = launch_changes({1: newer, 2: NOW, 4: newer}, NOW, gpu_then=False, gpu_now=False)
    assert [change.line for change in found] == ["python was 3.12.1, is 3.11.7 now (launch 1, 4)"]


def test_the_cpu_is_recorded(tmp_path: Path) -> None:
    hardware = describe_run()["hardware"]
    assert hardware["instruction_set"] == torch.backends.cpu.get_cpu_capability()
    assert hardware["cpu"]
    described = tmp_path / "cpuinfo"
    described.write_text("processor\t: 0\nmodel name\t: AMD EPYC 9654  \nmodel name\t: other\n")
    assert provenance._cpu(described) == "AMD EPYC 9654"
    for text in ("", "model name\t:\n", "Hardware: x\n"):
        described.write_text(text)
        assert provenance._cpu(described) == provenance._cpu(tmp_path / "none") != ""


def test_sources_tell_changed_programs_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "sa_study"
    (package / "data").mkdir(parents=True)
    monkeypatch.setattr(provenance, "PACKAGE_ROOT", package)
    seen: set[str] = set()
    steps: list[Callable[[], object]] = [
        lambda: (package / "data" / "a.py").write_text("x = 1\n"),
        lambda: (package / "data" / "a.py").write_text("x = 2\n"),
        lambda: (package / "data" / "a.py").rename(package / "a.py"),
    ]
    for step in steps:
        step()
        assert provenance._sources() == provenance._sources() not in seen
        seen.add(provenance._sources())
    (package / "notes.txt").write_text("no program")
    assert provenance._sources() in seen
