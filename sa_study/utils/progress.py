"""The callbacks that report the progress of long work."""

from __future__ import annotations

from collections.abc import Callable

ProgressCallback = Callable[[int, int], None]
"""Called with how many items are done and how many there are in all."""

PhaseCallback = Callable[[str, int, int], None]
"""A progress callback of work in several phases: called with the phase's name first."""
