"""Pictures of what a network does: ranked lists, attention, class-activation maps, curves, failures."""

from __future__ import annotations

from sa_study.pictures.attention import attention_overlays
from sa_study.pictures.make import NAMES, Made, Options, make_pictures
from sa_study.pictures.study import show_study
from sa_study.pictures.subject import Subject, of_study, of_weights

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
