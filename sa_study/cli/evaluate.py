"""`evaluate`: the only command, beside `visualize --test`, that opens a study's test set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sa_study.cli.options import (
    MAX_SEEDS,
    Json,
    OtherDataDir,
    Quiet,
    Rerank,
    Set,
    StudyUnlessWeights,
    Weights,
    path_option,
    require_one_network,
)
from sa_study.utils.errors import ConfigError

if TYPE_CHECKING:
    from sa_study.report.terminal.console import Output


_OTHER_DATA = "other data than the study's own: the figures on its own test set stay as they are"


def evaluate(
    context: typer.Context,
    study: StudyUnlessWeights = None,
    weights: Weights = None,
    data_dir: OtherDataDir = None,
    rerank: Rerank = False,
    out: Annotated[Path | None, path_option(help="JSON file to write (with --weights).")] = None,
    baseline: Annotated[bool, typer.Option("--baseline", help="Evaluate the study's baseline too.")] = False,
    retrain: Annotated[
        bool,
        typer.Option(
            "--retrain",
            help="First train the chosen configuration on all training identities, in STUDY/final.",
        ),
    ] = False,
    seeds: Annotated[
        int | None,
        typer.Option(help="With --retrain: how many seeds.", min=1, max=MAX_SEEDS, show_default="1"),
    ] = None,
    overrides: Set = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Evaluate on the test set: a study's best checkpoint, its retrained winner, or a weights file.

    A study records every evaluation of its test set in a ledger. Its figures on other data (--data-dir) are
    written beside those on its own test set and never replace them.
    """
    from sa_study.report.terminal.console import Output
    from sa_study.settings.yaml_files import parse_assignments

    values = parse_assignments(overrides or [])
    study = require_one_network(context, study, weights)
    if seeds is not None and not retrain:
        raise ConfigError("evaluate --seeds: needs --retrain; the seed of a study's checkpoint is fixed")
    output = Output(quiet, as_json)
    if study is not None:
        if out or values:
            raise ConfigError("evaluate --study: takes neither --out (it writes evaluation.json) nor --set")
        if retrain:
            _retrain(output, study, data_dir, seeds or 1, rerank, baseline)
        else:
            _evaluate_study(output, study, data_dir, rerank, baseline)
    elif weights is not None:
        if data_dir is None:
            raise ConfigError("evaluate --weights: needs --data-dir")
        if retrain:
            raise ConfigError("evaluate --retrain: needs --study; 'train' trains from a settings file")
        _evaluate_weights(output, weights, data_dir, rerank, out, values)


def _evaluate_study(output: Output, study: Path, data_dir: Path | None, rerank: bool, baseline: bool) -> None:
    from sa_study.analysis.final.evaluate import evaluate_study
    from sa_study.report.terminal.console import phases
    from sa_study.report.terminal.tables import evaluation_table

    with phases(output.console) as report:
        found = evaluate_study(study, data_dir, reranked=rerank, baseline=baseline, report=report)
    output.result_console.print(evaluation_table(found.evaluations, found.ledger.sentence))
    if not found.own:
        output.conclude(_OTHER_DATA)
    files = {name: study / path.name for name, path in found.files.items()}
    output.say(f"written: {' and '.join(map(str, files.values()))}")
    output.document(
        {
            "study": str(study.absolute()),
            "own_test_set": found.own,
            "evaluations": found.evaluations,
            "files": {name: str(path.absolute()) for name, path in files.items()},
            "test_looks": found.ledger.count,
        }
    )


def _retrain(
    output: Output, study: Path, data_dir: Path | None, seeds: int, rerank: bool, baseline: bool
) -> None:
    from sa_study.analysis.final.retrain import plan_retraining
    from sa_study.report.terminal.repeats import retrained_tables
    from sa_study.report.terminal.training import retrain_with_progress

    plan = plan_retraining(study, data_dir, seeds=seeds, baseline=baseline)
    retrained = retrain_with_progress(output, plan, reranked=rerank)
    for table in retrained_tables(retrained.document, retrained.evaluations, retrained.ledger.sentence):
        output.result_console.print(table)
    if not retrained.own:
        output.conclude(_OTHER_DATA)
    output.say(f"written: {study / retrained.file.name}")
    about = {"own_test_set": retrained.own, "test_looks": retrained.ledger.count}
    output.document({"study": str(study.absolute()), **retrained.document, **about})


def _evaluate_weights(
    output: Output, weights: Path, data_dir: Path, rerank: bool, out: Path | None, values: dict[str, Any]
) -> None:
    from sa_study.analysis.final.evaluate import evaluate_weights
    from sa_study.report.terminal.console import phases
    from sa_study.report.terminal.tables import evaluation_table
    from sa_study.utils.files import require_writable, write_json

    if out and (out.is_dir() or not out.parent.is_dir()):
        raise ConfigError(f"--out {out}: is a folder, or its folder does not exist; name a file")
    if out:
        require_writable(out)
    with phases(output.console) as report:
        found = evaluate_weights(weights, data_dir, values, reranked=rerank, report=report)
    for note in found.notes:
        output.say(note)
    output.result_console.print(evaluation_table(found.evaluations, found.ledger.sentence))
    if out:
        write_json(out, found.evaluations[weights.name])
        output.say(f"written: {out}")
    looks = {"test_looks": found.ledger.count} if found.ledger.count else {}
    output.document({"weights": str(weights.absolute()), "evaluations": found.evaluations, **looks})
