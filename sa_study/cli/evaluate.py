"""`evaluate`: the only command, beside `visualize --test`, that opens a study's test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sa_study.cli.options import (
    MAX_SEEDS,
    Json,
    OtherDataDirs,
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
    from sa_study.analysis.final.evaluate import TestFigures
    from sa_study.report.terminal.console import Output


Retrain = Annotated[
    bool,
    typer.Option(
        "--retrain", help="First train the chosen configuration on all training identities, in STUDY/final."
    ),
]

_OTHER_DATA = "other data than the study's own: the figures on its own test set stay as they are"


def evaluate(
    context: typer.Context,
    study: StudyUnlessWeights = None,
    weights: Weights = None,
    data_dir: OtherDataDirs = None,
    rerank: Rerank = False,
    out: Annotated[Path | None, path_option(help="JSON file to write (with --weights).")] = None,
    baseline: Annotated[bool, typer.Option("--baseline", help="Evaluate the study's baseline too.")] = False,
    retrain: Retrain = False,
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
    written beside those on its own test set and never replace them. Several data sets make one table.
    """
    from sa_study.report.terminal.console import Output
    from sa_study.settings.yaml_files import parse_assignments

    values, data_dirs = parse_assignments(overrides or []), data_dir or []
    study = require_one_network(context, study, weights)
    if seeds is not None and not retrain:
        raise ConfigError("evaluate --seeds: needs --retrain; the seed of a study's checkpoint is fixed")
    if out or retrain:
        _require_one_data_set(data_dirs, "--retrain" if retrain else "--out")
    output = Output(quiet, as_json)
    if study is not None:
        if out or values:
            raise ConfigError("evaluate --study: takes neither --out (it writes evaluation.json) nor --set")
        if retrain:
            _retrain(output, study, data_dirs[0] if data_dirs else None, seeds or 1, rerank, baseline)
        else:
            _evaluate_study(output, study, _named(data_dirs) if data_dirs else {"": None}, rerank, baseline)
    elif weights is not None:
        if not data_dirs:
            raise ConfigError("evaluate --weights: needs --data-dir")
        if retrain:
            raise ConfigError("evaluate --retrain: needs --study; 'train' trains from a settings file")
        _evaluate_weights(output, weights, _named(data_dirs), rerank, out, values)


def _require_one_data_set(data_dirs: Sequence[Path], option: str) -> None:
    if len(data_dirs) > 1:
        hint = " (--json prints figures on several data sets)" if option == "--out" else ""
        raise ConfigError(f"evaluate {option}{hint}: takes one --data-dir")


def _named(data_dirs: Sequence[Path]) -> Mapping[str, Path]:
    """Data sets by the names that tell their rows apart; a single one has the empty name."""
    from sa_study.analysis.final.evaluate import named_test_sets

    return named_test_sets(data_dirs) if len(data_dirs) > 1 else {"": data_dirs[0]}


def _evaluate_study(
    output: Output, study: Path, data_sets: Mapping[str, Path | None], rerank: bool, baseline: bool
) -> None:
    """Evaluates a study on data sets, which `_named` gives."""
    from sa_study.analysis.final.evaluate import evaluate_study
    from sa_study.report.terminal.console import phases

    found, documents = {}, {}
    for name, data_dir in data_sets.items():
        with phases(output.console) as report:
            found[name] = evaluate_study(study, data_dir, reranked=rerank, baseline=baseline, report=report)
        documents[name] = {
            "own_test_set": found[name].own,
            "evaluations": found[name].evaluations,
            "files": {row: str((study / path.name).absolute()) for row, path in found[name].files.items()},
            "test_looks": found[name].ledger.count,
        }
    rows = {
        f"{row}, {name}" if name else row: evaluation
        for name, figures in found.items()
        for row, evaluation in figures.evaluations.items()
    }
    _show(output, rows, found)
    if not all(figures.own for figures in found.values()):
        output.conclude(_OTHER_DATA)
    files = [study / path.name for figures in found.values() for path in figures.files.values()]
    output.say(f"written: {' and '.join(map(str, files))}")
    output.document({"study": str(study.absolute()), **_together(documents)})


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
    output: Output,
    weights: Path,
    data_sets: Mapping[str, Path],
    rerank: bool,
    out: Path | None,
    values: dict[str, Any],
) -> None:
    """Evaluates a weights file on data sets, which `_named` gives."""
    from sa_study.analysis.final.evaluate import evaluate_weights
    from sa_study.report.terminal.console import phases
    from sa_study.utils.files import require_writable, write_json

    if out and (out.is_dir() or not out.parent.is_dir()):
        raise ConfigError(f"--out {out}: is a folder, or its folder does not exist; name a file")
    if out:
        require_writable(out)
    found, documents = {}, {}
    for name, data_dir in data_sets.items():
        with phases(output.console) as report:
            found[name] = evaluate_weights(weights, data_dir, values, reranked=rerank, report=report)
        looks = {"test_looks": found[name].ledger.count} if found[name].ledger.count else {}
        documents[name] = {"evaluations": found[name].evaluations, **looks}
    for note in next(iter(found.values())).notes:
        output.say(note)
    rows = {name or weights.name: figures.evaluations[weights.name] for name, figures in found.items()}
    _show(output, rows, found)
    if out:
        write_json(out, found[""].evaluations[weights.name])
        output.say(f"written: {out}")
    output.document({"weights": str(weights.absolute()), **_together(documents)})


def _show(output: Output, rows: Mapping[str, Mapping[str, Any]], found: Mapping[str, TestFigures]) -> None:
    """Prints figures on data sets as one table, and how often a study has seen each."""
    from sa_study.report.terminal.tables import evaluation_table

    seen = {name: figures.ledger.sentence for name, figures in found.items()}
    said = [f"{name}: {sentence}" if name else sentence for name, sentence in seen.items() if sentence]
    output.result_console.print(evaluation_table(rows, " ".join(said)))


def _together(documents: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The document of a single data set, or those of several by their names."""
    return documents.get("", {"data_sets": documents})
