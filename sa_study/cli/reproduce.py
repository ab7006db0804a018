"""`reproduce`: rerun a trial from its record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sa_study.cli.options import Json, OtherDataDir, Quiet, Study
from sa_study.utils.errors import ConfigError

if TYPE_CHECKING:
    from sa_study.analysis.reproduce.recorded import Recorded
    from sa_study.analysis.reproduce.rerun import Rerun
    from sa_study.analysis.reproduce.verdict import Verdict
    from sa_study.report.terminal.output import Output


def reproduce(
    study: Study,
    trial: Annotated[
        int | None, typer.Option("--trial", help="Number of the trial.", show_default="the winner", min=0)
    ] = None,
    data_dir: OtherDataDir = None,
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance",
            help="Accepted difference of the metric at the best epoch, in points, on another machine.",
            min=0,
        ),
    ] = 1.0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Rerun a trial from its record alone, without Ray, and compare its figures and weights.

    On the same CPU, versions and code they must be equal to the last bit; elsewhere within the tolerance.
    """
    from sa_study.analysis.reproduce.recorded import read_recorded
    from sa_study.analysis.reproduce.verdict import read_reproductions
    from sa_study.report.terminal.output import Output
    from sa_study.utils.files import require_writable

    if not math.isfinite(tolerance):
        raise ConfigError(f"--tolerance: {tolerance} is not a number of points, such as 1.0")
    output = Output(quiet, as_json)
    recorded = read_recorded(study, trial)
    require_writable(recorded.folder.reproduction)
    read_reproductions(recorded.folder.reproduction)  # raises for a damaged file before hours of training
    try:
        rerun = _rerun(output, recorded, study, data_dir)
    except KeyboardInterrupt:
        output.conclude("interrupted; nothing was written")
        return 130
    return _finish(output, recorded, rerun, study, tolerance)


def _finish(output: Output, recorded: Recorded, rerun: Rerun, study: Path, tolerance: float) -> int:
    """Prints the verdict and adds it to `reproduction.json`; returns the exit code."""
    from sa_study.analysis.reproduce.compare_epochs import DIFFERENT
    from sa_study.analysis.reproduce.verdict import entry, judge, keep

    verdict = judge(recorded, rerun, tolerance)
    found = entry(recorded, rerun, verdict, tolerance)
    _print_verdict(output, recorded, rerun, verdict, tolerance)
    keep(recorded.folder.reproduction, found)
    output.say(f"written: {recorded.folder.reproduction}")
    output.document({"study": str(study.absolute()), **found})
    return 1 if verdict.result == DIFFERENT else 0


def _rerun(output: Output, recorded: Recorded, study: Path, data_dir: Path | None) -> Rerun:
    from sa_study.analysis.reproduce.rerun import load_images, run_again
    from sa_study.metrics import names
    from sa_study.report.terminal.console import epoch_line, phases
    from sa_study.report.terminal.reproduction import opening_line
    from sa_study.report.terminal.training import data_line

    output.say(opening_line(recorded, study))
    with phases(output.console) as report:
        data = load_images(recorded, data_dir, partial(report, "decode"))
    output.say(data_line(data))
    with phases(output.console) as report:
        report("epochs", 0, recorded.goal)

        def on_epoch(figures: Mapping[str, float]) -> None:
            output.say(epoch_line(figures, recorded.settings.epochs))
            report("epochs", int(figures[names.EPOCH]), recorded.goal)

        return run_again(recorded, data, on_epoch)


def _print_verdict(
    output: Output, recorded: Recorded, rerun: Rerun, verdict: Verdict, tolerance: float
) -> None:
    from sa_study.metrics import names
    from sa_study.report.terminal.reproduction import change_lines, figures_table, verdict_lines

    best = recorded.record.best
    if best and int(best[names.EPOCH]) in rerun.epochs:
        output.end.print(figures_table(best, rerun.epochs[int(best[names.EPOCH])]))
    style = {"equal": "green", "different": "red"}.get(verdict.result, "yellow")
    first, *rest = verdict_lines(recorded, rerun, verdict, tolerance)
    output.conclude(first, style)
    for line in (*rest, *change_lines(verdict)):
        output.conclude(line)
