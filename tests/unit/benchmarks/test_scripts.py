"""The benchmarks' own packages find the project, whichever of them a script imports first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT


@pytest.mark.parametrize(
    "module", ["conventional.ranking", "fault_injection.moments", "gpu_checks", "simulation.landscapes"]
)
def test_a_package_finds_the_project_by_itself(module: str, tmp_path: Path) -> None:
    program = f"import sys; sys.path.insert(0, {str(ROOT / 'benchmarks')!r}); import {module}, sa_study"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
