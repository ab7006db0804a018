"""Memory of concurrent trials on a node: the images are held once, however many trials there are.

Usage: python benchmarks/memory.py [--trials N] [--megabytes N] [--json FILE]

Runs 1, 2, … N concurrent trials on this machine, each the project's own trainable on a small network.
After the second epoch of all, /proc/PID/smaps_rollup gives the memory of their worker processes: resident
(every page that a process maps), proportional (shared pages divided among those that map them) and
private. Each trial first reads every page of the images. As a control, the same with a copy of the images
in each trial. About 4 minutes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import harness
import numpy as np
from ray import tune

from sa_study.data.store import ImageStore, TrainingData
from sa_study.metrics import names
from sa_study.settings.run import Settings
from sa_study.study.storage import Storage
from sa_study.tuning.launch.cluster import connect
from sa_study.tuning.launch.trainable import TrialProcess

MIB = 2**20
HEIGHT, WIDTH = 128, 64
TRAIN, HELD_OUT, IDENTITIES = 64, 16, 8
"""Images that are trained and scored on, and their identities; the others only lie there."""

SETTINGS = {
    "depth": 18,
    "pretrained": "none",
    "height": 64,
    "width": 32,
    "parts": 2,
    "num_features": 16,
    "batch_size": 16,
    "epochs": 1000,
    "threads": 1,
    "device": "cpu",
}


def images_of(megabytes: int) -> TrainingData:
    count = megabytes * MIB // (HEIGHT * WIDTH * 3)
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(count, HEIGHT, WIDTH, 3), dtype=np.uint8)
    images.flags.writeable = False
    pids = np.arange(count) % IDENTITIES
    store = ImageStore(images, pids, np.arange(count) // IDENTITIES % 2, fingerprint="random")
    held_out = np.arange(TRAIN, TRAIN + HELD_OUT)
    return TrainingData(store, np.arange(TRAIN), pids[:TRAIN], held_out, held_out, IDENTITIES)


class MeasuredTrial(TrialProcess):
    """A process that has read every image, and keeps a copy of them if it is told to."""

    def setup(self, config: dict[str, Any], *, data: TrainingData, storage: Storage) -> None:  # type: ignore[override]
        """Reads the images."""
        run = config["run"]
        self._read = np.array(data.store.images) if run["copies"] else data.store.images
        assert self._read.max() == 255
        super().setup(run, data={0: data}, backbones={}, storage=storage, metric=names.MAP)


class WorkerMemoryMonitor(tune.Callback):
    """Measures all trials' processes once each has ended its second epoch; then ends them."""

    def __init__(self, trials: int):
        self._trials = trials
        self._epochs: dict[int, int] = {}
        self.held: list[dict[str, float]] = []

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Measures once, when the last process is ready."""
        self._epochs[result["pid"]] = result[names.EPOCH]
        if not self.held and sum(epoch >= 2 for epoch in self._epochs.values()) == self._trials:
            self.held = [memory_of(pid) for pid in self._epochs]

    def stop(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Whether all has been measured."""
        return bool(self.held)


def memory_of(pid: int) -> dict[str, float]:
    """MiB of a process: resident, proportional and private."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kib = {name: int(words.split()[0]) for name, words in (line.split(":") for line in lines)}
    private = kib["Private_Clean"] + kib["Private_Dirty"]
    return {"resident": kib["Rss"] / 1024, "proportional": kib["Pss"] / 1024, "private": private / 1024}


def side_by_side(data: TrainingData, trials: int, copies: bool) -> dict[str, Any]:
    """Sums over the worker processes of this many trials at a time, MiB."""
    monitor = WorkerMemoryMonitor(trials)
    settings = Settings.from_mapping(SETTINGS).to_dict()
    runs = [
        {"number": number, "settings": settings, "resume_from": [], "copies": copies}
        for number in range(trials)
    ]
    with connect(None), tempfile.TemporaryDirectory() as folder:
        trainable = tune.with_parameters(MeasuredTrial, data=data, storage=Storage(folder))
        tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1 / 8}),
            param_space={"run": tune.grid_search(runs)},
            run_config=tune.RunConfig(storage_path=folder, callbacks=[monitor], stop=monitor.stop, verbose=0),
        ).fit()
    sums = {name: sum(process[name] for process in monitor.held) for name in monitor.held[0]}
    return {"trials": trials, "copies": copies, **sums}


def growth(rows: list[dict[str, Any]], name: str) -> float:
    """MiB that each trial after the first adds."""
    first, last = rows[0], rows[-1]
    return float((last[name] - first[name]) / (last["trials"] - first["trials"]))


def measure(most: int, megabytes: int) -> dict[str, Any]:
    data = images_of(megabytes)
    shared = [side_by_side(data, trials, copies=False) for trials in range(1, most + 1)]
    copied = [side_by_side(data, trials, copies=True) for trials in (1, most)]
    return {
        "images": data.store.images.nbytes / MIB,
        "rows": [*shared, *copied],
        "growth_shared": growth(shared, "proportional"),
        "growth_copied": growth(copied, "proportional"),
        "private_shared": growth(shared, "private"),
    }


def table(result: dict[str, Any]) -> harness.Table:
    kinds = ("resident", "proportional", "private")
    rows = [
        (
            f"{row['trials']}{', each with a copy' if row['copies'] else ''}",
            *(f"{row[name]:,.0f}" for name in kinds),
        )
        for row in result["rows"]
    ]
    note = (
        f"each further trial adds {result['growth_shared']:.0f} MiB; "
        f"{result['growth_copied']:.0f} MiB if each had a copy of the {result['images']:.0f} MiB of images"
    )
    title = f"Worker processes of concurrent trials, {result['images']:.0f} MiB of images, MiB"
    return harness.table(title, ("trials", *kinds), rows, note)


def main() -> None:
    parser = harness.argument_parser(__doc__, "memory")
    parser.add_argument("--trials", type=int, default=3, help="most concurrent trials, at least 2")
    parser.add_argument("--megabytes", type=int, default=300, help="size of the images in MiB")
    options = parser.parse_args()
    result = measure(options.trials, options.megabytes)
    harness.finish(result, options.json, table(result))


if __name__ == "__main__":
    main()
