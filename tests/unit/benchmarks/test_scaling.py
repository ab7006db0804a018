"""The benchmarks of growth: the exponents, the tables, and what runs where only PyTorch is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import harness
import scaling
from decoding import differing, draw_images
from growth.nodes import EPOCHS, Clock

BARE = """
import sys
for name in ("ray", "optuna", "yaml", "rich", "typer", "sklearn", "pandas", "tensorboard"):
    sys.modules[name] = None
import decoding, harness, scaling, growth.training, growth.testing
for section in ("trials", "nodes"):
    print(scaling.table(section, scaling.measure(section)).note)
"""


def test_an_exponent_is_that_of_the_power_law() -> None:
    rows = [
        {"images": n, "linear": 3.0 * n, "square": 0.1 * n**2, "same": 7.0, "none": 0.0} for n in (1, 2, 8)
    ]
    found = scaling.exponents("images", rows)
    assert found.pop("none") is None
    assert found == pytest.approx({"linear": 1, "square": 2, "same": 0}, abs=1e-9)
    result = {"title": "Images", "rows": rows, "exponents": {**found, "none": None}, "seconds": 1.0}
    lines = str(scaling.table("images", result)).splitlines()
    assert lines[0] == "Images (1 s)" and lines[-1].split() == ["exponent", "1.00", "2.00", "0.00", "–"]


def test_without_ray_the_rest_is_measured() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BARE], cwd=harness.ROOT / "benchmarks", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    trials, nodes = done.stdout.splitlines()
    assert trials.startswith("not measured: ") and nodes == "not measured: Ray is not installed"


def test_trials_are_counted_from_when_all_slots_work() -> None:
    clock = Clock()
    clock.epochs = [(0.0, 0), (1.0, 0), (5.0, 1), (6.0, 0), (6.0, 1), (7.0, 0), (7.0, 1)]
    assert clock.trials_a_minute(2) == pytest.approx(4 / EPOCHS / 2 * 60)


def test_drawn_images_are_decoded_as_pillow_does(tmp_path: Path) -> None:
    records = draw_images(tmp_path, 5)
    assert len(records) == 5 and differing(records) == 0
