"""A JSON Schema of search-space files, for editors and other programs; `space_file` remains the judge."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

from sa_study.model.backbones import TIMM
from sa_study.settings.run import FIELDS
from sa_study.settings.space_file import MAX_TRIALS, NEVER_SEARCHED

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_TYPES = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}
_LIMITS = {"low": "minimum", "above": "exclusiveMinimum", "high": "maximum", "below": "exclusiveMaximum"}
_EXPONENT = {"type": "string", "pattern": r"^[+-]?[0-9]+(\.[0-9]*)?[eE][+-]?[0-9]+$"}
"""Such as 1e-3, which YAML 1.1 reads as a text."""


def settings_schema() -> dict[str, dict[str, Any]]:
    """Type, default, allowed values and meaning of every setting, as JSON Schemas by name."""
    return {name: _setting(field) for name, field in FIELDS.items()}


def space_schema(samplers: Collection[str], schedulers: Collection[str]) -> dict[str, Any]:
    """The schema of a search-space file.

    It knows keys, types and ranges; what one entry demands of another is checked when the file is read.
    """
    searched = {name: _parameter(name) for name in FIELDS if name not in NEVER_SEARCHED}
    values = {name: _value(field) for name, field in FIELDS.items()}
    scheduler: dict[str, Any] = {
        "name": {"enum": [*schedulers]},
        "grace_period": _number("percentage of its own schedule before which no trial is stopped", 0.01),
        "reduction_factor": _number("one trial in this many continues past a rung", 1.01),
    }
    sections = {
        "search": ("the searched settings", searched),
        "fixed": ("settings that every trial shares", values),
        "baseline": ("trial 0; what it leaves out is the paper's", values),
        "scheduler": ("early stopping", scheduler),
    }
    return {
        "$schema": DIALECT,
        "title": "Search space of sa-study",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **{name: _section(text, keys) for name, (text, keys) in sections.items()},
            "sampler": {"description": "what suggests settings", "enum": [*samplers]},
            "trials": {**_number("number of trials", 1, MAX_TRIALS), "type": "integer"},
        },
    }


def _number(description: str, low: float, high: float = 100) -> dict[str, Any]:
    return {"description": description, "type": "number", "minimum": low, "maximum": high}


def _section(description: str, keys: dict[str, Any]) -> dict[str, Any]:
    kind = {"type": ["object", "null"], "additionalProperties": False}
    return {"description": description, **kind, "properties": keys}


def _setting(field: dataclasses.Field[Any]) -> dict[str, Any]:
    about = {"description": field.metadata["help"], "default": field.default}
    kind = {"type": _TYPES[str(field.type)]}
    if field.name == "backbone":
        return {**about, **kind, "anyOf": [{"enum": [*field.metadata["choices"]]}, {"pattern": f"^{TIMM}"}]}
    if choices := field.metadata["choices"]:
        return {**about, **kind, "enum": [*choices]}
    return {**about, **kind, **{_LIMITS[name]: limit for name, limit in field.metadata["limits"].items()}}


def _value(field: dataclasses.Field[Any]) -> dict[str, Any]:
    """A setting's value in a file."""
    schema = _setting(field)
    if field.type != "float":
        return schema
    about = {key: schema.pop(key) for key in ("description", "default")}
    return {**about, "anyOf": [schema, _EXPONENT]}


def _parameter(name: str) -> dict[str, Any]:
    """An entry of `search`: choices, or a range where the setting is a number."""
    field, value = FIELDS[name], _value(FIELDS[name])
    when = {
        "description": "searched only where these settings have one of these values",
        "type": "object",
        "minProperties": 1,
        "additionalProperties": {"type": "array", "minItems": 1},
        "propertyNames": {"enum": [*FIELDS]},
    }
    listed = {"type": "array", "items": value, "minItems": 1, "uniqueItems": True}
    ways = [_entry({"type": {"const": "categorical"}, "choices": listed, "when": when}, "choices")]
    if field.type in ("int", "float") and not field.metadata["choices"]:
        number = {
            "type": {"enum": ["int"] if field.type == "int" else ["float", "int"]},
            "low": value,
            "high": value,
            "step": {"type": "number", "exclusiveMinimum": 0},
            "log": {"type": "boolean"},
            "when": when,
        }
        exclusive = {"dependentSchemas": {"step": {"properties": {"log": {"const": False}}}}}
        ways.append({**_entry(number, "low", "high"), **exclusive})
    return {"description": field.metadata["help"], "anyOf": ways}


def _entry(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": ["type", *required],
    }
