"""Settings as places in a unit cube, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from sa_study.tuning.search.unit_cube import UnitCube

SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-3, 1.0, log=True),
    "dropout": FloatDistribution(0.0, 0.8, step=0.1),
    "epochs": IntDistribution(40, 120, step=20),
    "batch": IntDistribution(16, 512, log=True),
    "momentum": FloatDistribution(0.1, 0.99),
    "attention": CategoricalDistribution(("mean", "softmax", "none")),
    "fixed": FloatDistribution(0.5, 0.5),
    "one": CategoricalDistribution((True,)),
}


def test_every_allowed_value_comes_back() -> None:
    cube = UnitCube(SPACE)
    rng = np.random.default_rng(0)
    places = cube.snapped(rng.random((300, len(SPACE))))
    assert places.min() >= 0 and places.max() <= 1
    configurations = [cube.values(row) for row in places]
    assert np.allclose(cube.places(configurations), places)
    for values in configurations:
        assert all(SPACE[name]._contains(SPACE[name].to_internal_repr(values[name])) for name in SPACE)
        assert isinstance(values["epochs"], int) and isinstance(values["one"], bool)
    for name, values_of in {"dropout": 9, "epochs": 5, "attention": 3}.items():
        assert len({values[name] for values in configurations}) == values_of


@pytest.mark.parametrize(("name", "ends"), [("lr", (1e-3, 1.0)), ("epochs", (40, 120)), ("batch", (16, 512))])
def test_the_ends_of_the_cube_are_the_ends_of_the_range(name: str, ends: tuple[float, float]) -> None:
    cube = UnitCube({name: SPACE[name]})
    values = [cube.values(cube.snapped(np.array([place])))[name] for place in (-0.5, 0.0, 1.0, 2.0)]
    assert values == pytest.approx([ends[0], ends[0], ends[1], ends[1]])


def test_a_logarithmic_range_is_halved_at_its_geometric_mean() -> None:
    cube = UnitCube({"lr": SPACE["lr"]})
    assert cube.values(np.array([0.5]))["lr"] == pytest.approx(1e-3**0.5)


def test_values_of_a_grid_have_cells_of_one_width() -> None:
    cube = UnitCube({"epochs": SPACE["epochs"]})
    assert cube.places([{"epochs": 40}, {"epochs": 80}, {"epochs": 120}]).ravel() == pytest.approx(
        [0.1, 0.5, 0.9]
    )


def test_different_choices_are_one_apart_and_a_lacking_setting_is_in_the_middle() -> None:
    cube = UnitCube({"attention": SPACE["attention"], "lr": SPACE["lr"]})
    rows: list[dict[str, Any]] = [
        {"attention": "mean", "lr": 0.1},
        {"attention": "none", "lr": 0.1},
        {"lr": 0.1},
        {"attention": "mean"},
    ]
    places = cube.places(rows)
    columns = cube.columns(places)
    assert columns.shape == (4, 4) and list(cube.axis_of) == [0, 0, 0, 1]
    distances = np.sqrt(np.square(columns[:, None] - columns).sum(axis=2))
    assert distances[0, 1] == pytest.approx(1) and distances[0, 2] == distances[1, 2] == pytest.approx(
        0.5**0.5
    )
    assert columns[3, 3] == 0.5
    assert cube.values(places[2]) == {"lr": pytest.approx(0.1)} and cube.values(places[3]) == {
        "attention": "mean"
    }
