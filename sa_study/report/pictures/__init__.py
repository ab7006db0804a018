"""Pictures of what a network does: ranked lists, attention, class-activation maps, curves, failures."""

from __future__ import annotations

import importlib

from sa_study.utils.files import silent_stderr

# Without a writable home folder Matplotlib and fontconfig complain of caches that nothing here needs.
with silent_stderr():
    importlib.import_module("matplotlib.font_manager")
