"""Paths of the checkout under test."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout: `run_study.py`, `deploy/`, `benchmarks/`."""

SEARCH_PATH = os.pathsep.join([str(ROOT / "tests" / "support"), str(ROOT)])
"""`PYTHONPATH` of a process that a test starts: the tests' helpers and the program."""

CLUSTER_DRIVER = ROOT / "tests" / "support" / "cluster_driver.py"
"""A program that joins a Ray cluster for a test."""
