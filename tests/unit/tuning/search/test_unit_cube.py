"""Settings as places in a unit cube, and back; configurations that are weighed against each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from sa_study.report.page.importance import unit_position
from sa_study.settings.space import Parameter
from sa_study.tuning.search.suggest import distribution
from sa_study.tuning.search.unit_cube import Candidates, UnitCube, UnitScale

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


PARAMETERS = {
    "lr": Parameter("float", 0.003, 0.3, log=True),
    "dropout": Parameter("float", 0.0, 0.8, step=0.1),
    "epochs": Parameter("int", 10, 60),
    "num_features": Parameter("int", 64, 512, log=True),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_page_draws_settings_where_the_sampler_sees_them(name: str) -> None:
    parameter = PARAMETERS[name]
    cube = UnitCube({name: distribution(parameter)})
    for place in np.linspace(0, 1, 23):
        value = cube.values(np.array([place]))[name]
        assert unit_position(parameter, value) == cube.places([{name: value}])[0, 0]


def test_values_of_a_grid_lie_in_the_middle_of_equal_cells_and_a_log_scale_is_halved_at_its_mean() -> None:
    scale = UnitScale(1, 4, step=1)
    assert scale.places(np.arange(1.0, 5.0)).tolist() == [0.125, 0.375, 0.625, 0.875]
    assert scale.numbers(np.array([0.0, 0.24, 0.26, 1.0])).tolist() == [1, 1, 2, 4]
    assert UnitScale(0.01, 1.0, log=True).places(np.array([0.1])) == pytest.approx(0.5)
    cube = UnitCube({"epochs": SPACE["epochs"], "lr": SPACE["lr"]})
    places = cube.places([{"epochs": epochs, "lr": 1e-3**0.5} for epochs in (40, 80, 120)])
    assert pytest.approx(np.array([[0.1, 0.5, 0.9], [0.5] * 3])) == places.T


CUBE = UnitCube(
    {
        "x": FloatDistribution(0.0, 1.0),
        "n": IntDistribution(1, 9),
        "kind": CategoricalDistribution(["a", "b"]),
    }
)


def only_b_has_n(values: Mapping[str, Any]) -> set[str]:
    return {"x", "kind"} | ({"n"} if values["kind"] == "b" else set())


def test_drawn_candidates_are_allowed_and_lack_inactive_settings() -> None:
    rows = Candidates(CUBE, only_b_has_n).drawn(np.random.default_rng(0), 200)
    found = [CUBE.values(row) for row in rows]
    assert {values["kind"] for values in found} == {"a", "b"}
    assert all(("n" in values) == (values["kind"] == "b") for values in found)
    assert {values["n"] for values in found if "n" in values} == set(range(1, 10))


def test_the_best_come_first_and_near_the_optimum() -> None:
    def merit(places: np.ndarray) -> np.ndarray:
        return np.asarray(-((places[:, 0] - 0.123) ** 2) - (places[:, 1] - 0.5) ** 2)

    ranked = Candidates(CUBE).ranked(merit, np.zeros((0, 3)), np.random.default_rng(0))
    assert (np.diff(merit(ranked)) <= 0).all()
    assert abs(ranked[0, 0] - 0.123) < 0.005 and CUBE.values(ranked[0])["n"] == 5


def test_a_known_good_place_is_searched_around() -> None:
    peak = np.array([0.987, 0.5, 0.25])

    def merit(places: np.ndarray) -> np.ndarray:
        return np.asarray(np.exp(-np.square((places[:, 0] - peak[0]) / 0.0005)))

    starts = peak[None] + np.array([[0.0004, 0.0, 0.0]])
    without = Candidates(CUBE).ranked(merit, np.zeros((0, 3)), np.random.default_rng(1))
    found = Candidates(CUBE).ranked(merit, starts, np.random.default_rng(1))
    assert merit(found[:1])[0] > merit(without[:1])[0]
