"""What a study will take, told before anything is launched or written."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from sa_study.data.store import any_of
from sa_study.settings.space import Scheduler
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.tuning.budget import Budget
from sa_study.tuning.launch.cluster import Slots, connect, slots
from sa_study.tuning.launch.disk_space import Disk, measure_disks
from sa_study.tuning.launch.prepare import load_data, resolve
from sa_study.tuning.plan.forecast import Play, Terms, play_often
from sa_study.tuning.plan.probe import Speed, probe
from sa_study.tuning.search.samplers import check_sampler
from sa_study.utils.machine import peak_memory, usable_memory
from sa_study.utils.progress import PhaseCallback

# Seconds on the 2 cores that benchmarks/overhead.py was run on, rounded.
_FIRST_WORKER = 5.0
_NEXT_TRIAL = 0.3
_A_REPORT = 0.2
_BYTES_PER_SECOND = 500e6  # of a checkpoint, written and copied


@dataclass(frozen=True)
class Estimate:
    """A figure over all plays.

    Attributes:
        mean: Its mean.
        low: Its first decile.
        high: Its last decile.
    """

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """Of the plays' figures."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        tenths = statistics.quantiles(values, n=10, method="inclusive")
        return cls(statistics.fmean(values), tenths[0], tenths[-1])


@dataclass(frozen=True)
class Forecast:
    """How a study goes with one stopping rule.

    Attributes:
        trials: Trials that end.
        epochs: Epochs of all trials.
        seconds: From the command to the end.
        gpu_hours: Of training.
        budgets: The budgets that end it before its trials do, with the share of plays in which they do.
    """

    trials: Estimate
    epochs: Estimate
    seconds: Estimate
    gpu_hours: Estimate
    budgets: dict[str, float]

    @classmethod
    def of(cls, plays: Sequence[Play], preparation: float) -> Forecast:
        """Of some plays, each after so many seconds of preparation."""
        ends = Counter(play.over for play in plays if play.over)
        return cls(
            Estimate.of([play.trials for play in plays]),
            Estimate.of([play.epochs for play in plays]),
            Estimate.of([preparation + play.seconds for play in plays]),
            Estimate.of([play.gpu_hours for play in plays]),
            {over: count / len(plays) for over, count in ends.most_common()},
        )


@dataclass(frozen=True)
class MemoryNeed:
    """Memory that trials take at a time, as far as the probe can tell.

    Attributes:
        trial: Bytes of one trial's process; the probe's, which on a CPU may have had smaller batches.
        total: Bytes of all that run at a time, of the driver, and of the images, which trials share.
        usable: Bytes that may be used here; None for a cluster, whose nodes are others.
    """

    trial: int
    total: int
    usable: int | None

    @classmethod
    def after_probe(cls, images: int, slots: Slots, *, joined: bool) -> MemoryNeed:
        """What this process, which has decoded so many bytes of images and trained on them, has needed."""
        trial = peak_memory() - images
        return cls(trial, (slots.concurrent + 1) * trial + 2 * images, None if joined else usable_memory())

    @property
    def suffices(self) -> bool:
        """Whether it fits, as far as is known."""
        return self.usable is None or self.total <= self.usable


@dataclass(frozen=True)
class Plan:
    """What a study will take.

    Attributes:
        config: The study, with every setting decided.
        slots: What a trial is given, and how many run at a time.
        trials: Number of trials; no more than there are configurations.
        speed: The baseline's, as measured.
        expected: With the study's stopping rule.
        unstopped: With every trial run to its end.
        disks: What is written where, and what is free; first the trials' disk.
        memory: What is needed, and what may be used.
    """

    config: StudyConfig
    slots: Slots
    trials: int
    speed: Speed
    expected: Forecast
    unstopped: Forecast
    disks: list[Disk]
    memory: MemoryNeed


def make_plan(config: StudyConfig, folder: StudyFolder, report: PhaseCallback) -> Plan:
    """Measures and estimates; writes nothing.

    Args:
        config: What is asked for.
        folder: Where the study would be made.
        report: Told the phase and how far it is.

    Raises:
        StudyError: What `tune` would refuse, apart from a lack of room and of pretrained weights.
    """
    check_sampler(config.space, len(config.directions))
    start = time.monotonic()
    data = any_of(load_data(config, partial(report, "decoding")))
    with connect(config.address) as session:
        room = slots(config)
        config = resolve(config, room)
        disks = measure_disks(folder, config, data, room, config.goal, session)
    preparation = time.monotonic() - start  # the cluster is left: what is measured below runs alone
    baseline = config.space.settings(config.space.baseline)
    speed = probe(baseline, data, partial(report, "measuring an epoch"))
    memory = MemoryNeed.after_probe(data.store.images.nbytes, room, joined=config.address is not None)
    terms = Terms(
        config.goal,
        room.concurrent,
        room.gpus,
        Budget(config.time_budget, config.epoch_budget, config.gpu_hours),
        first=_FIRST_WORKER,
        start=_NEXT_TRIAL,
        between=_A_REPORT + disks[0].checkpoint / _BYTES_PER_SECOND,
    )

    def forecast(scheduler: Scheduler) -> Forecast:
        return Forecast.of(play_often(config.space, scheduler, terms, speed.seconds_of), preparation)

    report("playing it through", 0, 2)
    expected = forecast(config.space.scheduler)
    report("playing it through", 1, 2)
    unstopped = forecast(dataclasses.replace(config.space.scheduler, name="none"))
    report("playing it through", 2, 2)
    return Plan(config, room, config.goal, speed, expected, unstopped, disks, memory)
