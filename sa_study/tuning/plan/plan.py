"""Plans a study: measures and estimates what it will take before anything is launched or written."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass

from sa_study.data.store import any_fold
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.tuning.budget import Budget
from sa_study.tuning.launch.cluster import Slots, connect, divide_into_slots
from sa_study.tuning.launch.disk_space import DiskNeed, measure_disks
from sa_study.tuning.launch.prepare import load_data, resolve_settings
from sa_study.tuning.plan.forecast import ForecastInputs, SimulatedRun, simulate_runs
from sa_study.tuning.plan.probe import Speed, probe
from sa_study.tuning.search.samplers import check_sampler
from sa_study.utils.machine import peak_memory, usable_memory
from sa_study.utils.progress import PhaseCallback

# Measured by benchmarks/overhead.py on 2 cores, rounded.
_FIRST_START_SECONDS = 5.0
_NEXT_START_SECONDS = 0.3
_REPORT_SECONDS = 0.2
_CHECKPOINT_BYTES_PER_SECOND = 500e6


@dataclass(frozen=True)
class MemoryNeed:
    """The memory that a study needs at least, as far as the probe shows.

    Attributes:
        trial: Bytes of a trial's process: the probe's, which on a CPU may have had smaller batches.
        total: Bytes of all trials that run at a time, of the driver, and of the images, which trials share.
        usable: Bytes that may be used here; None for a cluster, whose nodes are not known.
    """

    trial: int
    total: int
    usable: int | None

    @classmethod
    def after_probe(cls, image_bytes: int, slots: Slots, *, joined: bool) -> MemoryNeed:
        """The need, from the peak memory of this process, which has decoded the images and run the probe.

        Args:
            image_bytes: Bytes of the decoded images.
            slots: How many trials run at a time.
            joined: Whether they run on a cluster that was there before.
        """
        trial = peak_memory() - image_bytes
        total = (slots.concurrent + 1) * trial + 2 * image_bytes
        return cls(trial, total, None if joined else usable_memory())

    @property
    def suffices(self) -> bool:
        """Whether the memory is enough, as far as is known."""
        return self.usable is None or self.total <= self.usable


@dataclass(frozen=True)
class Plan:
    """Expected cost of a study: epochs, time, GPU-hours, disk space.

    Attributes:
        config: The study, with every setting decided.
        slots: Resources of a trial, and how many trials run at a time.
        speed: The measured speed of the baseline.
        expected: Simulated runs with the study's scheduler.
        unstopped: Simulated runs without early stopping.
        disks: What is written to each disk, and the space that is free; first the disk of the trials' files.
        memory: What is needed, and what may be used.
    """

    config: StudyConfig
    slots: Slots
    speed: Speed
    expected: list[SimulatedRun]
    unstopped: list[SimulatedRun]
    disks: list[DiskNeed]
    memory: MemoryNeed


def make_plan(config: StudyConfig, folder: StudyFolder, report: PhaseCallback) -> Plan:
    """Plans a study; writes nothing.

    Args:
        config: The study that is asked for.
        folder: Where it would be made.
        report: Told the phase and how far it is.

    Raises:
        StudyError: `tune` would refuse the study; disk space and pretrained weights are not checked here.
    """
    check_sampler(config.space, len(config.directions))
    start = time.monotonic()
    data = any_fold(load_data(config, lambda done, total: report("decoding", done, total)))
    with connect(config.address) as session:
        resources = divide_into_slots(config)
        config = resolve_settings(config, resources)
        disks = measure_disks(folder, config, data, resources, config.goal, session)
    preparation = time.monotonic() - start  # the cluster is left: what is measured below runs alone
    baseline = config.space.settings(config.space.baseline)
    speed = probe(baseline, data, lambda done, total: report("measuring an epoch", done, total))
    memory = MemoryNeed.after_probe(data.store.images.nbytes, resources, joined=config.address is not None)
    inputs = ForecastInputs(
        config.goal,
        resources.concurrent,
        resources.gpus,
        Budget(config.time_budget, config.epoch_budget, config.gpu_hours),
        preparation=preparation,
        first_start=_FIRST_START_SECONDS,
        next_start=_NEXT_START_SECONDS,
        between_epochs=_REPORT_SECONDS + disks[0].checkpoint / _CHECKPOINT_BYTES_PER_SECOND,
        epoch_seconds=speed.epoch_seconds_of,
    )
    scheduler = config.space.scheduler
    report("simulating the study", 0, 2)
    expected = simulate_runs(config.space, scheduler, inputs)
    report("simulating the study", 1, 2)
    unstopped = simulate_runs(config.space, dataclasses.replace(scheduler, name="none"), inputs)
    report("simulating the study", 2, 2)
    return Plan(config, resources, speed, expected, unstopped, disks, memory)
