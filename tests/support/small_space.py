"""A search space whose trials are small enough to be trained within a unit test."""

from __future__ import annotations

from typing import Any

from sa_study.settings.space import SearchSpace
from sa_study.settings.space_file import parse_space

SMALL: dict[str, Any] = {
    "depth": 18,
    "pretrained": "none",
    "height": 32,
    "width": 16,
    "parts": 2,
    "batch_size": 8,
    "threads": 1,
    "device": "cpu",
}


def small_space(**spec: Any) -> SearchSpace:
    """A space of the fixed settings `SMALL`, with these entries of a space file beside them."""
    return parse_space({"fixed": SMALL, **spec}, "test")
