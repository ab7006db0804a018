"""What the tests' processes do first: pytest's own, and by `sitecustomize` all that they start."""

from __future__ import annotations

import gc

import narrow_backbone


def prepare() -> None:
    """Adds the backbone `narrow`, and has modules imported faster."""
    narrow_backbone.register()
    # PyTorch and Ray make a million objects as they are imported; looking through them for garbage again and
    # again takes a fifth of the time of a process's start, and the tests start hundreds.
    gc.set_threshold(50_000, 20, 20)
