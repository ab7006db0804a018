"""What a study is expected to cost, as tables in the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
from rich.table import Table

from sa_study.report.terminal.console import safe
from sa_study.report.terminal.text_table import TextTable
from sa_study.report.text import duration
from sa_study.tuning.plan.plan import Plan
from sa_study.utils.files import format_bytes

_SCALED = ("backbone", "depth", "height", "width")
"""Settings whose effect on an epoch's time is computed."""

_UNSCALED = ("batch_size", "accumulate", "parts", "num_features", "attention", "deep_supervision")
"""Settings whose effect on an epoch's time is left out."""


def plan_table(plan: Plan) -> TextTable:
    """Table of a study's expected cost, with early stopping and without."""
    rule = plan.config.space.scheduler.name
    headings = ["", "expected" if rule == "none" else f"with {rule}", "10–90 %"]
    headings += [] if rule == "none" else ["no early stopping"]
    rows = []
    for name, attribute, text in _ROWS:
        if name == "GPU-hours" and not plan.slots.gpus:
            continue
        expected, unstopped = (
            [getattr(run, attribute) for run in runs] for runs in (plan.expected, plan.unstopped)
        )
        low, high = (text(decile) for decile in np.quantile(expected, [0.1, 0.9]))
        row = [name, text(np.mean(expected)), "" if low == high else f"{low} – {high}"]
        rows.append(row + ([] if rule == "none" else [text(np.mean(unstopped))]))
    return TextTable("What the study will take", headings, rows)


def plan_notes(plan: Plan) -> Table:
    """Notes on the assumptions behind the expected cost."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    notes = [
        ("slots", _slots(plan)),
        *([("", plan.cpus_choice)] if plan.cpus_choice else []),
        ("one epoch", _epoch(plan)),
        ("disk", _disk(plan)),
        ("memory", _memory(plan)),
        ("stopping", "simulated with made-up learning curves"),
    ]
    runs, reasons = len(plan.expected), Counter(run.stop_reason for run in plan.expected if run.stop_reason)
    for reason, count in reasons.most_common():
        share = f"in {100 * count / runs:.0f} % of the simulations"
        notes.append(("budget", f"{reason} before all {plan.config.goal} trials end, {share}"))
    for name, text in notes:
        table.add_row(name, safe(text))
    if not plan.memory.suffices:
        table.add_row("", safe("trials may be killed for lack of memory; give fewer --max-concurrent", "red"))
    for disk in plan.disks:
        if not disk.suffices:
            table.add_row("", safe(f"'tune' would refuse: {disk.shortage}", "red"))
    return table


def _slots(plan: Plan) -> str:
    slots = plan.slots
    each = f"{slots.cpus:g} CPU" + (f" and {slots.gpus:g} GPU" if slots.gpus else "")
    where = "on the cluster" if plan.config.address else "on this machine"
    trials = "trials" if slots.concurrent > 1 else "trial"
    return f"{slots.concurrent} {trials} at a time {where}, {each} each"


def _epoch(plan: Plan) -> str:
    """How long an epoch of the baseline takes, and how that is scaled to other configurations."""
    speed, searched = plan.speed, plan.config.space.search
    text = (
        f"{duration(speed.epoch_seconds)} of the baseline, by a few steps measured here: "
        f"{speed.images_per_second:.3g} images/s on the {speed.device.upper()} with one trial alone; "
        "several at a time may be slower"
    )
    scaled, unscaled = (", ".join(filter(searched.get, keys)) for keys in (_SCALED, _UNSCALED))
    text += f"; scaled to other configurations by the operations of an image ({scaled})" if scaled else ""
    return text + (f"; {unscaled} assumed to make no difference" if unscaled else "")


def _disk(plan: Plan) -> str:
    disk, *temporary = plan.disks
    text = f"{format_bytes(disk.need)} for checkpoints of {format_bytes(disk.checkpoint)}; "
    for other in temporary:
        need, free = format_bytes(other.need), format_bytes(other.free or 0)
        text += f"{need} for temporary files, {free} free at {other.folder}; "
    if disk.free is None:
        return f"{text}what is free at {plan.config.storage_path} is not known"
    return f"{text}{format_bytes(disk.free)} free at {disk.folder}"


def _memory(plan: Plan) -> str:
    memory = plan.memory
    text = (
        f"{format_bytes(memory.total)} or more at a time, {format_bytes(memory.trial)} of them for each trial"
    )
    if memory.usable is None:
        return f"{text} over all nodes, whose memory is not known"
    return f"{text}; {format_bytes(memory.usable)} may be used"


_ROWS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("trials", "trials", "{:,.0f}".format),
    ("epochs", "epochs", "{:,.0f}".format),
    ("time", "seconds", duration),
    ("GPU-hours", "gpu_hours", "{:,.1f}".format),
)
"""Rows of the table: a name, an attribute of `SimulatedRun`, and the function that formats its value."""
