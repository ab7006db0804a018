"""How many trials a machine holds."""

from __future__ import annotations

import pytest

from sa_study.study.cluster import _fit


@pytest.mark.parametrize(
    ("machine", "cpus", "gpus", "expected"),
    [
        ({"CPU": 2.0}, 1, 0, 2),
        ({"CPU": 16.0, "GPU": 1.0}, 1, 1, 1),
        ({"CPU": 16.0, "GPU": 1.0}, 1, 0.1, 10),
        ({"CPU": 16.0, "GPU": 1.0}, 1, 0.2, 5),
        ({"CPU": 4.0, "GPU": 1.0}, 1, 0.1, 4),
        ({"CPU": 16.0, "GPU": 2.0}, 1, 0.6, 2),
        ({"CPU": 16.0, "GPU": 4.0}, 1, 2, 2),
        ({"CPU": 16.0, "GPU": 1.0}, 1, 2, 0),
        ({"CPU": 16.0}, 1, 0.5, 0),
        ({"CPU": 1.0}, 0.1, 0, 10),
        ({"GPU": 1.0}, 1, 1, 0),
    ],
)
def test_a_machine_holds(machine: dict[str, float], cpus: float, gpus: float, expected: int) -> None:
    assert _fit(machine, cpus, gpus) == expected
