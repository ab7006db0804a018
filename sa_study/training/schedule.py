"""The learning rate over a run: warm-up, and decay in steps or along a cosine.

To add a schedule, add an entry to `_SCHEDULES` and its name to the choices of the setting `schedule`.
"""

from __future__ import annotations

import math

from sa_study.settings.run import Settings


def learning_rate(settings: Settings, time: float) -> float:
    """The learning rate of the new layers at a time of the schedule.

    Warm-up and decay are multiplied. Steps are counted from the first epoch, as the published code and BoT
    count them; the cosine (SGDR, ICLR 2017, without restarts) begins where warm-up ends.

    Args:
        settings: Give the schedule.
        time: Epochs since the beginning of training, not whole within one; below `settings.epochs`.
    """
    return settings.peak_lr * _SCHEDULES[settings.schedule](settings, time) * _warmup(settings, time)


def _steps(settings: Settings, time: float) -> float:
    return float(settings.lr_decay ** (int(time) // settings.decay_epochs))


def _cosine(settings: Settings, time: float) -> float:
    done = max(0.0, time - settings.warmup) / (settings.epochs - settings.warmup)
    return (1 + math.cos(math.pi * done)) / 2


_SCHEDULES = {"step": _steps, "cosine": _cosine}


def _warmup(settings: Settings, time: float) -> float:
    """The share of the rate that warm-up allows: from `warmup_factor` linearly to 1 (Goyal et al., 2017)."""
    if time >= settings.warmup:
        return 1.0
    return settings.warmup_factor + (1 - settings.warmup_factor) * time / settings.warmup
