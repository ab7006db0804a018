"""Places from 0 to 1: one scale for what searches and for what draws."""

from __future__ import annotations

import numpy as np
import pytest

from sa_study.report.page.importance import unit_position
from sa_study.settings.space import Parameter
from sa_study.settings.unit_scale import UnitScale
from sa_study.tuning.search.suggest import distribution
from sa_study.tuning.search.unit_cube import UnitCube

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


def test_values_of_a_grid_lie_in_the_middle_of_equal_cells() -> None:
    scale = UnitScale(1, 4, step=1)
    assert scale.places(np.arange(1.0, 5.0)).tolist() == [0.125, 0.375, 0.625, 0.875]
    assert scale.numbers(np.array([0.0, 0.24, 0.26, 1.0])).tolist() == [1, 1, 2, 4]
    assert UnitScale(0.01, 1.0, log=True).places(np.array([0.1])) == pytest.approx(0.5)
