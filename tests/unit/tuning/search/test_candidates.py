"""Configurations that are weighed against each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from sa_study.tuning.search.candidates import Candidates
from sa_study.tuning.search.unit_cube import UnitCube

CUBE = UnitCube(
    {
        "x": FloatDistribution(0.0, 1.0),
        "n": IntDistribution(1, 9),
        "kind": CategoricalDistribution(["a", "b"]),
    }
)


def only_b_has_n(values: Mapping[str, Any]) -> set[str]:
    return {"x", "kind"} | ({"n"} if values["kind"] == "b" else set())


def test_drawn_ones_are_allowed_and_lack_what_they_do_not_have() -> None:
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
