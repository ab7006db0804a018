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
    from sa_study.analysis.reproduce.original import OriginalTrial
    from sa_study.analysis.reproduce.reproduction import Reproduction, Rerun
    from sa_study.report.terminal.console import Output


def reproduce(
    study: Study,
    trial: Annotated[
        int | None, typer.Option(help="Number of the trial.", show_default="the winner", min=0)
    ] = None,
    data_dir: OtherDataDir = None,
    tolerance: Annotated[
        float,
        typer.Option(
            help="Accepted difference of the metric at the best epoch, in percentage points, when rerun on "
            "another machine.",
            min=0,
        ),
    ] = 1.0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Rerun a trial from its record alone, without Ray, and compare its figures and weights.

    On the same CPU, versions and code they must be equal to the last bit; elsewhere within the tolerance.
    """
    from sa_study.analysis.reproduce.original import read_original
    from sa_study.analysis.reproduce.reproduction import judge_rerun, read_reproductions
    from sa_study.report.terminal.console import Output
    from sa_study.utils.files import require_writable

    if not math.isfinite(tolerance):
        raise ConfigError(f"--tolerance: {tolerance} is not a number of points, such as 1.0")
    output = Output(quiet, as_json)
    original = read_original(study, trial)
    path = original.study.folder.reproduction
    require_writable(path)
    read_reproductions(path)  # raises for a damaged file before hours of training
    try:
        rerun = _rerun(output, original, study, data_dir)
    except KeyboardInterrupt:
        output.conclude("interrupted; nothing was written")
        return 130
    return _conclude(output, judge_rerun(original, rerun, tolerance), study, path)


def _rerun(output: Output, original: OriginalTrial, study: Path, data_dir: Path | None) -> Rerun:
    from sa_study.analysis.reproduce.reproduction import load_images, rerun_trial
    from sa_study.metrics import names
    from sa_study.report.terminal.console import phases
    from sa_study.report.terminal.repeats import opening_line
    from sa_study.report.terminal.training import data_line, epoch_line

    output.say(opening_line(original, study))
    with phases(output.console) as report:
        data = load_images(original, data_dir, partial(report, "decode"))
    output.say(data_line(data))
    with phases(output.console) as report:
        report("epochs", 0, original.last_epoch)

        def on_epoch(figures: Mapping[str, float]) -> None:
            output.say(epoch_line(figures, original.settings.epochs))
            report("epochs", int(figures[names.EPOCH]), original.last_epoch)

        return rerun_trial(original, data, on_epoch)


def _conclude(output: Output, found: Reproduction, study: Path, path: Path) -> int:
    """Prints a reproduction and stores it; returns the exit code."""
    from sa_study.analysis.reproduce.reproduction import DIFFERENT, add_reproduction
    from sa_study.metrics.protocol import PROTOCOL, protocol_notes
    from sa_study.report.terminal.repeats import change_lines, figures_table, verdict_lines

    trial, document = found.original.summary, found.to_dict()
    if trial.best_epoch in found.rerun.epochs:
        rerun = found.rerun.epochs[trial.best_epoch]
        notes = protocol_notes({PROTOCOL: found.original.study.protocol})
        output.result_console.print(figures_table(trial.record.best, rerun, notes))
    style = {"equal": "green", "different": "red"}.get(found.result, "yellow")
    first, *rest = verdict_lines(found)
    output.conclude(first, style)
    for line in (*rest, *change_lines(found)):
        output.conclude(line)
    add_reproduction(path, document)
    output.say(f"written: {path}")
    output.document({"study": str(study.absolute()), **document})
    return 1 if found.result == DIFFERENT else 0
