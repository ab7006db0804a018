"""`visualize`: pictures of what a network does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sa_study.cli.options import (
    OtherDataDir,
    Set,
    StudyUnlessWeights,
    Weights,
    path_option,
    require_one_network,
)
from sa_study.utils.errors import ConfigError


def visualize(
    context: typer.Context,
    study: StudyUnlessWeights = None,
    weights: Weights = None,
    data_dir: OtherDataDir = None,
    out: Annotated[
        Path | None, path_option(help="Folder for the pictures.", show_default="STUDY/pictures")
    ] = None,
    test: Annotated[
        bool, typer.Option("--test", help="Show a study on the test set, not on its validation split.")
    ] = False,
    rerank: Annotated[bool, typer.Option("--rerank", help="Show the re-ranked CMC curve too.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the random queries.", min=0)] = 0,
    overrides: Set = None,
) -> None:
    """Make pictures of what a network does: ranked lists, attention, class activations, CMC, failures.

    A study is shown on its validation split; only --test opens the test set. A weights file is
    shown on the test set of --data-dir.
    """
    from sa_study.settings.yaml_files import parse_assignments

    values = parse_assignments(overrides or [])
    study = require_one_network(context, study, weights)
    if study is not None and values:
        raise ConfigError("visualize --study: takes no --set; the settings are the best trial's")
    if weights is not None and (data_dir is None or out is None):
        raise ConfigError(f"visualize --weights: needs {'--data-dir' if data_dir is None else '--out'}")

    from sa_study.report.pictures.make import make_pictures, make_study_pictures
    from sa_study.report.pictures.subject import subject_of_weights
    from sa_study.report.terminal.console import make_console, phases, say

    console = make_console()
    with phases(console) as report:
        if study is not None:
            subject, pictures = make_study_pictures(
                study, data_dir, out, test=test, reranked=rerank, seed=seed, report=report
            )
        else:
            assert weights is not None and data_dir is not None and out is not None
            subject = subject_of_weights(weights, data_dir, values, reranked=rerank, report=report)
            pictures = make_pictures(subject, out, seed, report)
    looks = [subject.ledger_entry.summary.sentence] if subject.ledger_entry else []
    written = [f"written: {path}" for path in pictures.files]
    lines = [subject.where, *subject.trained.notes, *looks, *pictures.left_out, *written]
    for line in lines:
        say(console, line)
