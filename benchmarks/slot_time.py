"""Where the time of a study's slots went, from timed steps of its workers and its driver."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sa_study.study.config import StudyConfig


@dataclass(frozen=True)
class Span:
    """A timed step of a worker (for a trial) or of the driver (trial -1), in seconds since 1970."""

    trial: int
    name: str
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.begin


def analyse(spans: list[Span], usage: dict[str, float], config: StudyConfig) -> dict[str, Any]:
    """Where the slots' time went, from the launch's first suggestion to its last epoch."""
    numbers = sorted({span.trial for span in spans} - {-1})
    by_trial = {number: [span for span in spans if span.trial == number] for number in numbers}
    slots = min(config.max_concurrent or 1, len(numbers))
    worker_starts = sorted(by_trial[number][0].begin for number in numbers)
    begins = sorted(named(by_trial[number], "run_epoch")[0].begin for number in numbers)
    ends = sorted(named(by_trial[number], "run_epoch")[-1].end for number in numbers)
    # The slot that a trial is given is the one that has been free for longest.
    gaps = [begin - end for begin, end in zip(begins[slots:], ends, strict=False)]
    shown = {
        "training": usage["training_seconds"],
        "first trials' workers": sum(start - spans[0].begin for start in worker_starts[:slots]),
        "first trials' networks": sum(
            begin - start for begin, start in zip(begins[:slots], worker_starts, strict=False)
        ),
        **between_epochs(by_trial.values()),
        **between_trials(list(by_trial.values()), slots, sum(gaps)),
        "slots without a trial at the end": sum(ends[-1] - end for end in ends[-slots:]),
    }
    shown["the rest"] = usage["slot_seconds"] - sum(shown.values())
    shares = {name: value / usage["slot_seconds"] for name, value in shown.items()}
    return {"shares": shares, "starts": gaps, "steps": steps(spans, by_trial)}


def between_epochs(trials: Iterable[list[Span]]) -> dict[str, float]:
    """Seconds from an epoch of a trial to its next one, by what they are for."""
    whole = checkpoints = 0.0
    for spans in trials:
        epochs = named(spans, "run_epoch")
        whole += sum(later.begin - one.end for one, later in itertools.pairwise(epochs))
        checkpoints += sum(span.seconds for span in named(spans, "finish") if span.end <= epochs[-1].begin)
    return {
        "between epochs: the rest of the checkpoint": checkpoints,
        "between epochs: report, record, decision": whole - checkpoints,
    }


def between_trials(trials: list[list[Span]], slots: int, whole: float) -> dict[str, float]:
    """Seconds from a trial to the next in its slot, by what they are for."""
    by_end = sorted(trials, key=lambda spans: named(spans, "run_epoch")[-1].end)
    by_begin = sorted(trials, key=lambda spans: named(spans, "run_epoch")[0].begin)
    followed = by_end[: len(trials) - slots]
    checkpoints = sum(named(spans, "finish")[-1].seconds for spans in followed)
    networks = sum(made.seconds for spans in by_begin[slots:] for made in named(spans, "__init__"))
    return {
        "to the next trial: the rest of the checkpoint": checkpoints,
        "to the next trial: the network": networks,
        "to the next trial: report, record, suggestion": whole - checkpoints - networks,
    }


def named(spans: list[Span], name: str) -> list[Span]:
    return [span for span in spans if span.name == name]


def steps(spans: list[Span], by_trial: dict[int, list[Span]]) -> dict[str, float]:
    """Median seconds of what happens once an epoch or a trial."""
    later = [span for spans in list(by_trial.values())[1:] for span in spans]  # the first trial warms up
    groups = {
        "an epoch": named(later, "run_epoch"),
        "a checkpoint's tensors, while the epoch is validated": named(later, "_write_tensors"),
        "a checkpoint's rest, after it": named(later, "finish"),
        "an epoch in the database": named(spans, "commit"),
        "a worker's process reset to another trial": named(spans, "reset"),
        "a network built": named(later, "__init__"),
        # Ray asks ten times a second; the longest answers were suggestions.
        "a suggestion": sorted(named(spans, "suggest"), key=lambda span: -span.seconds)[: len(by_trial)],
        "a trial ended in the database": named(spans, "on_trial_complete"),
    }
    return {name: statistics.median(s.seconds for s in group) for name, group in groups.items() if group}
