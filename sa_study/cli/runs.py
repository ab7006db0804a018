"""Commands without a study: `evaluate`, `paper`, `train`, `settings`."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sa_study.cli.options import DataDir, Json, OtherDataDir, Out, Quiet, Rerank, Resume, Set, Weights
from sa_study.errors import ConfigError

if TYPE_CHECKING:
    from sa_study.config import Settings
    from sa_study.data.store import TrainingData
    from sa_study.report.output import Output
    from sa_study.training import RunFolder


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (evaluate, paper, train, settings):
        app.command()(command)


def evaluate(
    study: Annotated[
        Path | None, typer.Option("--study", help="Study whose best checkpoint to evaluate.")
    ] = None,
    weights: Weights = None,
    data_dir: OtherDataDir = None,
    rerank: Rerank = False,
    out: Annotated[Path | None, typer.Option("--out", help="JSON file to write (with --weights).")] = None,
    baseline: Annotated[bool, typer.Option("--baseline", help="Evaluate the study's baseline too.")] = False,
    overrides: Set = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Evaluate on the test set: a study's best checkpoint, or a weights file."""
    from sa_study.report.output import Output
    from sa_study.yaml_files import parse_assignments

    values = parse_assignments(overrides or [])
    if (study is None) == (weights is None):
        raise ConfigError("evaluate: give either --study or --weights")
    output = Output(quiet, as_json)
    if study is not None:
        if out or values:
            raise ConfigError("evaluate --study: takes neither --out (it writes evaluation.json) nor --set")
        _evaluate_study(output, study, data_dir, rerank, baseline)
    elif weights is not None:
        if data_dir is None:
            raise ConfigError("evaluate --weights: needs --data-dir")
        _evaluate_weights(output, weights, data_dir, rerank, out, values)


def paper(
    data_dir: DataDir,
    out: Out,
    variant: Annotated[
        str, typer.Option(help="main, ablation, ablation-no-attention, random-erasing or softmax.")
    ] = "main",
    seeds: Annotated[int, typer.Option(help="Repeat with so many seeds.", min=1)] = 1,
    rerank: Rerank = False,
    resume: Resume = False,
    overrides: Set = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Rerun the paper's fixed configuration: train on all training identities, evaluate once."""
    from sa_study.config import PAPER_VARIANTS, Settings
    from sa_study.data.market1501 import Market1501
    from sa_study.evaluation import evaluate, load_network, load_test_images, summarise
    from sa_study.files import write_json
    from sa_study.report.console import evaluation_table, phases, seeds_table
    from sa_study.report.output import Output
    from sa_study.training import RunFolder, load_training_data
    from sa_study.yaml_files import parse_assignments

    if variant not in PAPER_VARIANTS:
        raise ConfigError(f"--variant: {variant!r} is not one of {', '.join(PAPER_VARIANTS)}")
    values = {**PAPER_VARIANTS[variant], **parse_assignments(overrides or [])}
    first = Settings.from_mapping(values, f"variant {variant}")
    runs = [dataclasses.replace(first, seed=first.seed + number) for number in range(seeds)]
    folders = {run: RunFolder(out / f"seed_{run.seed}" if seeds > 1 else out) for run in runs}
    for run, folder in folders.items():
        folder.check(run, resume)
    output = Output(quiet, as_json)
    with phases(output.console) as report:
        dataset = Market1501(data_dir)
        data = load_training_data(dataset, first, lambda done, total: report("decode", done, total))
        # Before training: a fault in them would cost all of it.
        images = load_test_images(dataset, first, report)
    evaluations: dict[str, Any] = {}
    for run, folder in folders.items():
        _train(output, run, data, folder, resume)
        with phases(output.console) as report:
            found = evaluate(load_network(folder.best, {}), images, reranked=rerank, report=report)
        write_json(folder.evaluation, found)
        evaluations[f"seed {run.seed}"] = found
    output.end.print(evaluation_table(evaluations))
    summary = summarise(list(evaluations.values())) if seeds > 1 else None
    if summary:
        write_json(out / "summary.json", summary)
        output.end.print(seeds_table(summary, seeds))
    output.say(f"written: {out}")
    output.document({"out": str(out.absolute()), "evaluations": evaluations, "summary": summary})


def train(
    config: Annotated[Path, typer.Option("--config", help="Settings file, e.g. a study's best.yaml.")],
    data_dir: DataDir,
    out: Out,
    resume: Resume = False,
    overrides: Set = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train one fixed configuration in this process, without Ray."""
    from sa_study import keys
    from sa_study.config import Settings
    from sa_study.data.market1501 import Market1501
    from sa_study.report.console import percent, phases
    from sa_study.report.output import Output
    from sa_study.report.text import command
    from sa_study.training import RunFolder, load_training_data
    from sa_study.yaml_files import parse_assignments, read_yaml

    values = {**read_yaml(config), **parse_assignments(overrides or [])}
    run = Settings.from_mapping(values, str(config))
    folder = RunFolder(out)
    folder.check(run, resume)
    output = Output(quiet, as_json)
    with phases(output.console) as report:
        data = load_training_data(
            Market1501(data_dir), run, lambda done, total: report("decode", done, total)
        )
    best = _train(output, run, data, folder, resume)
    figures = f": validation mAP {percent(best[keys.MAP])} %" if keys.MAP in best else ""
    output.conclude(f"kept epoch {best[keys.EPOCH]:.0f}{figures} in {folder.best}")
    output.say(f"next: {command('evaluate', '--weights', folder.best, '--data-dir', data_dir)}")
    output.document({"weights": str(folder.best.absolute()), "best": dict(best)})


def settings() -> None:
    """List every setting that --set, a space file and train --config take."""
    from sa_study.config import describe_settings
    from sa_study.report.console import settings_table
    from sa_study.report.output import make_console

    make_console().print(settings_table(describe_settings()))


def _train(output: Output, run: Settings, data: TrainingData, folder: RunFolder, resume: bool) -> Any:
    from sa_study import keys
    from sa_study.report.console import epoch_line, phases
    from sa_study.report.text import command
    from sa_study.training import train

    output.say(
        f"{len(data.train)} images of {data.num_classes} identities; validation: {len(data.query)} queries, "
        f"{len(data.gallery)} gallery images"
    )
    epoch = 0
    try:
        with phases(output.console) as report:
            report("epochs", 0, run.epochs)

            def on_epoch(figures: Mapping[str, float]) -> None:
                nonlocal epoch
                epoch = int(figures[keys.EPOCH])
                output.say(epoch_line(figures, run.epochs))
                report("epochs", epoch, run.epochs)

            return train(run, data, folder, resume=resume, on_epoch=on_epoch)
    except KeyboardInterrupt:
        saved = f"epoch {epoch} of {run.epochs} is" if epoch else "any complete epoch is"
        again = command(*sys.argv[1:], *([] if "--resume" in sys.argv else ["--resume"]))
        output.conclude(f"interrupted; {saved} saved in {folder.root}; go on with: {again}")
        raise typer.Exit(130) from None


def _evaluate_study(output: Output, study: Path, data_dir: Path | None, rerank: bool, baseline: bool) -> None:
    from sa_study.report.console import evaluation_table, phases
    from sa_study.study.final import evaluate_study

    with phases(output.console) as report:
        found = evaluate_study(study, data_dir, reranked=rerank, baseline=baseline, report=report)
    output.end.print(evaluation_table(found))
    output.say(f"written: {study / 'evaluation.json'}")
    output.document({"study": str(study.absolute()), "evaluations": found})


def _evaluate_weights(
    output: Output, weights: Path, data_dir: Path, rerank: bool, out: Path | None, values: dict[str, Any]
) -> None:
    from sa_study.data.market1501 import Market1501
    from sa_study.evaluation import evaluate, load_network, load_test_images
    from sa_study.files import write_json
    from sa_study.report.console import evaluation_table, phases

    if out and (out.is_dir() or not out.parent.is_dir()):
        raise ConfigError(f"--out {out}: is a folder, or lies in one that does not exist; name a file")
    dataset = Market1501(data_dir)
    trained = load_network(weights, values)
    if trained.unused:
        output.say(f"not used of {weights}: {', '.join(trained.unused)}")
    with phases(output.console) as report:
        images = load_test_images(dataset, trained.settings, report)
        evaluation = evaluate(trained, images, reranked=rerank, report=report)
    output.end.print(evaluation_table({weights.name: evaluation}))
    if out:
        write_json(out, evaluation)
        output.say(f"written: {out}")
    output.document({"weights": str(weights.absolute()), "evaluations": {weights.name: evaluation}})
