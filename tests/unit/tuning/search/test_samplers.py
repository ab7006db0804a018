"""The table of samplers: what it says can be cited and installed, and what a sampler refuses."""

from __future__ import annotations

import dataclasses

import pytest
from checkout import ROOT

from sa_study.export.documents import bibliography
from sa_study.settings.space import Parameter, SearchSpace
from sa_study.tuning.search.samplers import SAMPLERS, check_sampler, sampler_for
from sa_study.tuning.stopping.schedulers import SCHEDULERS
from sa_study.utils.errors import ConfigError

SPACE = SearchSpace({"parts": Parameter("int", 1, 6)}, {}, {"parts": 6})
LARGE = SearchSpace({"lr": Parameter("float", 0, 1, 1e-6)}, {}, {"lr": 0.1})
ENDLESS = SearchSpace({"lr": Parameter("float", 0.01, 1.0)}, {}, {"lr": 0.1})


def test_papers_are_known_and_requirements_are_those_of_the_tests() -> None:
    cited = {spec.citation for spec in SAMPLERS.values()} | {spec.citation for spec in SCHEDULERS.values()}
    assert cited - {""} <= bibliography().keys()
    requirements = (ROOT / "requirements-dev.txt").read_text().split()
    assert {spec.requirement for spec in SAMPLERS.values()} - {""} <= set(requirements)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_can_search_a_finite_space(name: str) -> None:
    check_sampler(dataclasses.replace(SPACE, sampler=name), 1)


@pytest.mark.parametrize(
    ("name", "space", "objectives", "naming"),
    [
        ("multifidelity", SPACE, 2, r"one objective.*tpe, random, grid, gp"),
        ("cmaes", SPACE, 2, r"cmaes.*one objective.*tpe, random, grid, gp"),
        ("grid", ENDLESS, 1, r"search\.lr.*grid"),
        (
            "grid",
            SearchSpace({"lr": Parameter("float", 0, 1, 1e-6)}, {}, {}),
            1,
            "1000001.*100000 are the most",
        ),
        ("bayes", SPACE, 1, "sampler: 'bayes' is not one of multifidelity, tpe, random, grid, gp, cmaes"),
    ],
)
def test_what_a_sampler_cannot_do_is_refused(
    name: str, space: SearchSpace, objectives: int, naming: str
) -> None:
    with pytest.raises(ConfigError, match=naming):
        check_sampler(dataclasses.replace(space, sampler=name), objectives)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install cmaes=="):
        check_sampler(dataclasses.replace(SPACE, sampler="cmaes"), 1)
    check_sampler(dataclasses.replace(SPACE, sampler="gp"), 2)


def test_what_takes_a_samplers_place_with_two_objectives() -> None:
    assert sampler_for("multifidelity", 1) == "multifidelity" and sampler_for("multifidelity", 2) == "tpe"
    assert sampler_for("cmaes", 2) == "cmaes", "is refused"
    assert all(SAMPLERS[spec.fallback].max_objectives > 1 for spec in SAMPLERS.values() if spec.fallback)
    with pytest.raises(ConfigError, match="'bayes' is not one of"):
        sampler_for("bayes", 1)
