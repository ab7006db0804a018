"""`paper`: rerun the paper's configuration."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Annotated

import typer

from sa_study.cli.options import MAX_SEEDS, DataDir, Json, Out, Quiet, Rerank, Resume, Set
from sa_study.utils.errors import ConfigError


def paper(
    data_dir: DataDir,
    out: Out,
    variant: Annotated[
        str, typer.Option(help="main, ablation, ablation-no-attention, random-erasing or softmax.")
    ] = "main",
    seeds: Annotated[int, typer.Option(help="Number of seeds to train with.", min=1, max=MAX_SEEDS)] = 1,
    rerank: Rerank = False,
    resume: Resume = False,
    overrides: Set = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Rerun the paper's fixed configuration: train on all training identities, evaluate once."""
    from sa_study.data.dataset import ReidDataset
    from sa_study.data.store import load_training_data
    from sa_study.metrics.protocol import protocol_notes
    from sa_study.report.terminal.console import Output, phases
    from sa_study.report.terminal.tables import evaluation_table, seeds_table
    from sa_study.report.terminal.training import evaluate_runs, train_with_progress
    from sa_study.settings.run import PAPER_VARIANTS
    from sa_study.settings.yaml_files import parse_assignments
    from sa_study.training.evaluate import load_test_images, summarise
    from sa_study.training.run import RunFolder
    from sa_study.utils.files import write_json

    if variant not in PAPER_VARIANTS:
        raise ConfigError(f"--variant: {variant!r} is not one of {', '.join(PAPER_VARIANTS)}")
    first = dataclasses.replace(PAPER_VARIANTS[variant], **parse_assignments(overrides or []))
    runs = [dataclasses.replace(first, seed=first.seed + number) for number in range(seeds)]
    folders = {run: RunFolder(out / f"seed_{run.seed}" if seeds > 1 else out) for run in runs}
    for run, folder in folders.items():
        folder.check(run, resume)
    output = Output(quiet, as_json)
    with phases(output.console) as report:
        dataset = ReidDataset(data_dir)
        data = load_training_data(dataset, first, partial(report, "decode"))
        # Read before training, which a faulty image would otherwise waste.
        images = load_test_images(dataset, first, report)
    for run, folder in folders.items():
        train_with_progress(output, run, data, folder, resume)
    evaluations = evaluate_runs(output, folders, images, reranked=rerank)
    output.result_console.print(evaluation_table(evaluations))
    summary = summarise(list(evaluations.values())) if seeds > 1 else None
    if summary:
        write_json(out / "summary.json", summary)
        notes = protocol_notes(next(iter(evaluations.values())))
        output.result_console.print(seeds_table(summary, seeds, notes))
    output.say(f"written: {out}")
    output.document({"out": str(out.absolute()), "evaluations": evaluations, "summary": summary})
