"""Pictures of what a network does: ranked lists, attention, class-activation maps, curves, failures."""

from __future__ import annotations

from sa_study.report.pictures.quiet import import_quietly

# Without a writable home folder Matplotlib and fontconfig complain of caches that nothing here needs.
import_quietly("matplotlib.font_manager")

from sa_study.report.pictures.attention import attention_overlays  # noqa: E402
from sa_study.report.pictures.make import NAMES, Made, Options, make_pictures  # noqa: E402
from sa_study.report.pictures.study import show_study  # noqa: E402
from sa_study.report.pictures.subject import Subject, of_study, of_weights  # noqa: E402

__all__ = [
    "NAMES",
    "Made",
    "Options",
    "Subject",
    "attention_overlays",
    "make_pictures",
    "of_study",
    "of_weights",
    "show_study",
]
