"""Pictures of what a network does: ranked lists, attention, class-activation maps, curves, failures."""

from __future__ import annotations

import contextlib
import importlib
import os


def import_quietly(name: str) -> None:
    """Imports a module and drops what it, or a program that it runs, writes to standard error meanwhile."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):  # noqa: PTH123
        try:
            kept = os.dup(2)
        except OSError:  # this process has no standard error
            importlib.import_module(name)
            return
        os.dup2(nowhere.fileno(), 2)
        try:
            importlib.import_module(name)
        finally:
            os.dup2(kept, 2)
            os.close(kept)


# Without a writable home folder Matplotlib and fontconfig complain of caches that nothing here needs.
import_quietly("matplotlib.font_manager")
