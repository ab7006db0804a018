"""`resume`: resume a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from sa_study.cli.options import (
    Address,
    EpochBudget,
    GpuHours,
    Json,
    MaxConcurrent,
    Quiet,
    Study,
    TimeBudget,
    Trials,
    path_option,
)


def resume(
    study: Study,
    trials: Trials = None,
    time_budget: TimeBudget = None,
    epoch_budget: EpochBudget = None,
    gpu_hours: GpuHours = None,
    max_concurrent: MaxConcurrent = None,
    address: Address = None,
    data_dir: Annotated[
        Path | None,
        path_option("--data-dir", help="Folder that the same data set is in now.", show_default="as before"),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Resume a study that was stopped or killed, or extend it by more trials or a larger budget."""
    from sa_study.report.terminal.console import Output
    from sa_study.report.terminal.launch import resume_with_live_view, show_end
    from sa_study.tuning.launch.changes import StudyChanges

    output = Output(quiet, as_json)
    changes = StudyChanges(
        trials=trials,
        time_budget=time_budget,
        epoch_budget=epoch_budget,
        gpu_hours=gpu_hours,
        max_concurrent=max_concurrent,
        address=address,
        data_dir=data_dir.absolute() if data_dir else None,
    )
    return show_end(output, study, resume_with_live_view(output, study, changes))
