"""`train`: train one configuration."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

from sa_study.cli.options import DataDir, Json, Out, Quiet, Resume, Set, path_option


def train(
    config: Annotated[Path, path_option(help="Settings file, e.g. a study's best.yaml.")],
    data_dir: DataDir,
    out: Out,
    resume: Resume = False,
    overrides: Set = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train one fixed configuration in this process, without Ray."""
    from sa_study.data.dataset import ReidDataset
    from sa_study.data.store import load_training_data
    from sa_study.metrics import names
    from sa_study.report.terminal.console import Output, phases
    from sa_study.report.terminal.training import train_with_progress
    from sa_study.report.text import command, interval, percent
    from sa_study.settings.run import Settings, merged
    from sa_study.settings.space_checks import require_identity_fits
    from sa_study.settings.yaml_files import parse_assignments, read_yaml
    from sa_study.training.run import RunFolder

    values = merged(read_yaml(config), parse_assignments(overrides or []))
    run = Settings.from_mapping(values, str(config))
    folder = RunFolder(out)
    folder.check(run, resume)
    if not folder.config.is_file():
        require_identity_fits(run.batch_size, run.images_per_identity)
    output = Output(quiet, as_json)
    with phases(output.console) as report:
        data = load_training_data(ReidDataset(data_dir), run, partial(report, "decode"))
    best = train_with_progress(output, run, data, folder, resume)
    figures = f": validation mAP {percent(best[names.MAP])} %" if names.MAP in best else ""
    low, high = (best.get(end) for end in names.INTERVALS[names.MAP])
    figures += "" if low is None or high is None else f" ({interval(low, high)})"
    output.conclude(f"kept epoch {best[names.EPOCH]:.0f}{figures} in {folder.best}")
    output.say(f"next: {command('evaluate', '--weights', folder.best, '--data-dir', data_dir)}")
    output.document({"weights": str(folder.best.absolute()), "best": dict(best)})
