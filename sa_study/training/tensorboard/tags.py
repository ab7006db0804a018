"""TensorBoard's names of what a run reports; needs neither PyTorch nor TensorBoard."""

from __future__ import annotations

from sa_study.metrics import names

_TAGS = {
    names.LOSS: "train/loss",
    names.TRAIN_ACCURACY: "train/accuracy",
    names.LR: "train/lr",
    names.IMAGES_PER_SECOND: "speed/images_per_second",
    names.SECONDS: "speed/seconds",
    names.LATENCY: "speed/milliseconds_per_image",
    names.PROGRESS: "progress",
    **{name: f"val/{name}" for name in names.RANKING},
}

FORMER_TAGS = {"train/loss/sum": "train/loss", "speed/seconds_per_epoch": "speed/seconds"}
"""Tags of studies begun with earlier versions, and what they are now."""


def tag_of(name: str) -> str | None:
    """The tag under which a reported figure is written, or None for one that is no curve."""
    return _TAGS.get(name) or (f"train/{name}" if name.startswith(f"{names.LOSS}/") else None)
