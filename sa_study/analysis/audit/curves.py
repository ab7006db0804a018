"""What TensorBoard shows of a trial."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

from sa_study.training.tensorboard.tags import FORMER_TAGS


@dataclass(frozen=True)
class Curves:
    """What TensorBoard shows of a trial.

    Attributes:
        scalars: By tag, the value (rounded to 32 bits) of each step.
        times: When the driver wrote each epoch, in seconds since 1970.
        repeated: Tags that have a step twice.
        hparams: Whether the trial has a line in the HParams table.
    """

    scalars: dict[str, dict[int, float]]
    times: dict[int, float]
    repeated: list[str]
    hparams: bool


def run_number(run: Path) -> int:
    """The trial whose curves a folder has.

    Raises:
        ValueError: Its name is none that a trial's has.
    """
    digits = run.name.removeprefix("trial_")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 9:
        raise ValueError("is no trial's folder")
    return int(digits)


def read_curves(run: Path) -> Curves:
    """Reads as TensorBoard does, which leaves out what a later launch wrote again.

    Args:
        run: A trial's folder of event files.

    Raises:
        OSError: It cannot be read, or is no folder.
        ValueError: An event file in it is none, or damaged beyond TensorBoard's reading.
    """
    events_of = (path for path in sorted(run.iterdir()) if "tfevents" in path.name)
    if strange := [path.name for path in events_of if not path.is_file()]:
        raise ValueError(f"{strange[0]!r} is no regular file")
    try:
        reader = EventAccumulator(str(run), size_guidance={SCALARS: 0}).Reload()
    except Exception as error:  # what its parsers raise depends on where a file is damaged
        raise ValueError(f"cannot be read ({type(error).__name__})") from None
    events: defaultdict[str, list[Any]] = defaultdict(list)
    for tag in sorted(reader.Tags()[SCALARS], key=lambda tag: tag not in FORMER_TAGS):
        events[FORMER_TAGS.get(tag, tag)] += reader.Scalars(tag)
    return Curves(
        scalars={tag: {event.step: event.value for event in of_tag} for tag, of_tag in events.items()},
        times={event.step: event.wall_time for event in events.get("progress", [])},
        repeated=[
            tag
            for tag, of_tag in events.items()
            if tag.startswith(("train/", "val/")) and len({event.step for event in of_tag}) < len(of_tag)
        ],
        hparams="_hparams_/session_start_info" in reader.summary_metadata,
    )
