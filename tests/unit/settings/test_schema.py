"""The schema accepts what the reader of search spaces does, and refuses wrong keys, types and ranges."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
import yaml
from command_line import CommandLine

from sa_study.settings.run import FIELDS, Settings
from sa_study.settings.schema import settings_schema, space_schema
from sa_study.settings.space_file import SPACES, parse_space
from sa_study.tuning.search.samplers import SAMPLERS
from sa_study.tuning.stopping.schedulers import SCHEDULERS
from sa_study.utils.errors import ConfigError

SCHEMA = space_schema(SAMPLERS, SCHEDULERS)
CHECKER = jsonschema.Draft202012Validator(SCHEMA)


def test_the_schema_is_a_valid_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", sorted(SPACES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_space_that_comes_with_the_program_fits(path: Any) -> None:
    CHECKER.validate(yaml.safe_load(path.read_text()))


LR = {"type": "float", "low": 0.01, "high": 0.1}


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"search": None, "fixed": {"lr": 1, "flip": "1e-1"}},
        {"search": {"lr": {**LR, "log": True}, "epochs": {"type": "int", "low": 4, "high": 100, "step": 2}}},
        {"search": {"lr": {"type": "float", "low": "1e-1", "high": 0.2, "step": 0.01, "log": False}}},
        {"search": {"attention": {"type": "categorical", "choices": ["mean", "none"]}, "lr": LR}},
        {
            "search": {
                "attention": {"type": "categorical", "choices": ["mean", "none"]},
                "lr": {**LR, "when": {"attention": ["mean"]}},
            }
        },
        {"search": {"lr": LR}, "sampler": "tpe", "scheduler": {"name": "median", "grace_period": 5}},
        {"search": {"depth": {"type": "categorical", "choices": [18, 50]}}, "trials": 3},
    ],
)
def test_what_the_reader_takes_fits(spec: dict[str, Any]) -> None:
    parse_space(spec, "space")
    CHECKER.validate(spec)


@pytest.mark.parametrize(
    "spec",
    [
        {"serach": {}},
        {"trials": 0},
        {"trials": "many"},
        {"fixed": {"lr": 0}},
        {"fixed": {"lr": 1000}},
        {"fixed": {"lr": "fast"}},
        {"fixed": {"learning_rate": 0.1}},
        {"fixed": {"attention": "some"}},
        {"fixed": {"deep_supervision": "yes"}},
        {"search": {"seed_": LR}},
        {"search": {"fold": {"type": "int", "low": 0, "high": 1}}},
        {"search": {"device": {"type": "categorical", "choices": ["cpu"]}}},
        {"search": {"lr": {"type": "float", "low": 0.1}}},
        {"search": {"lr": {**LR, "log": True, "step": 0.1}}},
        {"search": {"lr": {**LR, "step": 0}}},
        {"search": {"lr": {**LR, "scale": "log"}}},
        {"search": {"epochs": {"type": "float", "low": 4, "high": 8}}},
        {"search": {"attention": {"type": "int", "low": 0, "high": 1}}},
        {"search": {"lr": {"type": "categorical", "choices": []}}},
        {"search": {"lr": {**LR, "when": {}}}},
        {"scheduler": {"name": "asha", "grace_period": 200}},
        {"scheduler": {"reduction_factor": 1}},
    ],
    ids=json.dumps,
)
def test_what_neither_takes(spec: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        parse_space(spec, "space")
    assert not CHECKER.is_valid(spec)


def test_every_setting_is_described() -> None:
    described = settings_schema()
    assert described.keys() == FIELDS.keys()
    for name, value in Settings().to_dict().items():
        jsonschema.validate(value, described[name])
        assert described[name]["default"] == value and described[name]["description"]


def test_the_command_prints_both(tool: CommandLine) -> None:
    for option, expected in (("--json", settings_schema()), ("--schema", SCHEMA)):
        code, said, complaint = tool.run("settings", option)
        assert (code, complaint) == (0, "") and json.loads(said) == json.loads(json.dumps(expected))
    tool.refuses("settings", "--json", "--schema", naming=["either --json or --schema"])
