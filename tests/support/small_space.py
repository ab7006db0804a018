"""Settings, and a search space, of runs that are small enough to be trained within a unit test."""

from __future__ import annotations

import copy
from typing import Any

from sa_study.settings.space import SearchSpace
from sa_study.settings.space_file import parse_space

SMALL: dict[str, Any] = {
    "backbone": "narrow",
    "pretrained": "none",
    "height": 32,
    "width": 16,
    "parts": 2,
    "batch_size": 8,
    "threads": 1,
    "device": "cpu",
}


SMALL_RESNET = {**SMALL, "backbone": "resnet18"}
"""`SMALL` with a real backbone, for tests of sizes and speed."""


def changed(spec: dict[str, Any], place: list[str], value: Any) -> dict[str, Any]:
    """A copy of a space file's content with another value at a place."""
    copied = copy.deepcopy(spec)
    inner = copied
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return copied


def small_space(**spec: Any) -> SearchSpace:
    """A space of the fixed settings `SMALL`, with these entries of a space file beside them."""
    return parse_space({"fixed": SMALL, **spec}, "test")
