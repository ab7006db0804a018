"""Paths of the checkout under test."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout: `run_study.py`, `deploy/`, `benchmarks/`."""

SUPPORT = ROOT / "tests" / "support"
"""The tests' helpers; on `PYTHONPATH` it also adds the backbone `narrow`."""

SEARCH_PATH = os.pathsep.join([str(SUPPORT), str(ROOT)])
"""`PYTHONPATH` of a process that a test starts: the tests' helpers and the program."""

CLUSTER_DRIVER = ROOT / "tests" / "support" / "cluster_driver.py"
"""A program that joins a Ray cluster for a test."""
