"""The figures that an epoch reports and an evaluation lists: one table, from which every heading is made.

To add one, add its name, an entry of `_TABLE`, and the name to `TEST_FIGURES` or `RANKING`, whose figures are
the attributes of `metrics.ranking.RankingMetrics`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EPOCH = "epoch"
PROGRESS = "progress"
RANK1 = "rank1"
RANK5 = "rank5"
RANK10 = "rank10"
MAP = "mAP"
MAP_TRAPEZOID = "mAP_trapezoid"
MINP = "mINP"
ALLSHOTS_RANK1 = "allshots_rank1"
LOSS = "loss"
TRAIN_ACCURACY = "train_accuracy"
LR = "lr"
IMAGES_PER_SECOND = "images_per_second"
SECONDS = "seconds"
LATENCY = "latency"
ACCUMULATE = "accumulate"
COST = "cost"

FAILURE = "failure"
"""Why a trial cannot go on: a report of it ends the trial."""

HALT = "halt"
"""Why no trial can go on here: a report of it ends the launch, and leaves the trial to `resume`."""

NOTES = "notes"
"""Events of a trial, such as an epoch that was repeated, in words."""

VALIDATION, TEST, RERANKED = "validation", "test", "re-ranked"


@dataclass(frozen=True)
class Figure:
    """A figure, as it is stored and as it is headed.

    Attributes:
        name: Key in reports, records and files.
        label: What headings and sentences call it.
        unit: Of the printed value. Figures in `%` are stored as fractions.
        direction: Which way is better; None for neither.
    """

    name: str
    label: str
    unit: str
    direction: Literal["maximize", "minimize"] | None


_TABLE = (
    Figure(RANK1, "rank-1", "%", "maximize"),
    Figure(RANK5, "rank-5", "%", "maximize"),
    Figure(RANK10, "rank-10", "%", "maximize"),
    Figure(MAP, "mAP", "%", "maximize"),
    Figure(MAP_TRAPEZOID, "mAP (trapezoid)", "%", "maximize"),
    Figure(MINP, "mINP", "%", "maximize"),
    Figure(ALLSHOTS_RANK1, "all-shots rank-1", "%", "maximize"),
    Figure(LOSS, "loss", "", "minimize"),
    Figure(TRAIN_ACCURACY, "train accuracy", "%", "maximize"),
    Figure(LR, "lr", "", None),
    Figure(IMAGES_PER_SECOND, "images/s", "images/s", "maximize"),
    Figure(SECONDS, "seconds", "s", "minimize"),
    Figure(COST, "cost", "seconds of training", "minimize"),
    Figure(LATENCY, "latency", "milliseconds an image", "minimize"),
)

FIGURES = {figure.name: figure for figure in _TABLE}
"""Every figure by its name."""

STUDY_METRICS = (MAP, RANK1)
"""The figures that a study can maximise."""

SECOND_OBJECTIVES = (COST, LATENCY)
"""The figures that a study can minimise as its second objective."""

RANKING = (RANK1, RANK5, RANK10, MAP)
"""The validation figures of an epoch."""

INTERVALS = {name: (f"{name}_low", f"{name}_high") for name in (RANK1, MAP)}
"""The ends of a validation figure's 95 % interval over identities."""

TEST_FIGURES = (*RANKING, MAP_TRAPEZOID, MINP, ALLSHOTS_RANK1)
"""The rates of an evaluation on the test set."""


def heading(name: str, split: str = "", *, reranked: bool = False) -> str:
    """The heading of a figure, such as `test mAP, re-ranked`.

    Args:
        name: One of `FIGURES`.
        split: `VALIDATION`, `TEST`, or nothing where a table tells.
        reranked: Whether the figure is of re-ranked distances.
    """
    return f"{split} {FIGURES[name].label}".strip() + (f", {RERANKED}" if reranked else "")


_TAGS = {
    LOSS: "train/loss",
    TRAIN_ACCURACY: "train/accuracy",
    LR: "train/lr",
    IMAGES_PER_SECOND: "speed/images_per_second",
    SECONDS: "speed/seconds",
    LATENCY: "speed/milliseconds_per_image",
    PROGRESS: "progress",
    **{name: f"val/{name}" for name in RANKING},
}

FORMER_TAGS = {"train/loss/sum": "train/loss", "speed/seconds_per_epoch": "speed/seconds"}
"""TensorBoard's tags in studies begun with earlier versions, and what they are now."""


def tag_of(name: str) -> str | None:
    """TensorBoard's tag of a figure that a run reports, or None for one that is no curve."""
    return _TAGS.get(name) or (f"train/{name}" if name.startswith(f"{LOSS}/") else None)
