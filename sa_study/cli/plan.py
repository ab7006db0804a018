"""`plan`: estimate the cost of a study before it is launched."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

from sa_study.cli.options import StudyOptions, expand_options, path_option


@partial(expand_options, without=("patience", "track"))
def plan(
    options: StudyOptions,
    study: Annotated[Path, path_option(help="Where the study would be made.", show_default=False)] = Path(
        "runs/study"
    ),
) -> None:
    """Estimate what 'tune' with the same options will take: epochs, time, GPU-hours, disk.

    Writes nothing and launches nothing; measures an epoch on this machine in about a minute.
    """
    from sa_study.report.terminal.console import make_console, phases
    from sa_study.report.terminal.plan import plan_notes, plan_table
    from sa_study.study.folder import StudyFolder
    from sa_study.tuning.plan.plan import make_plan

    console = make_console()
    with phases(console) as report:
        estimate = make_plan(options.config(), StudyFolder.new(study), report)
    console.print(plan_table(estimate))
    console.print(plan_notes(estimate))
