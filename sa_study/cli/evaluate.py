"""`evaluate`: the only command, beside `visualize --test`, that opens a study's test set."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sa_study.cli.options import MAX_SEEDS, Json, OtherDataDir, Quiet, Rerank, Set, Weights, path_option
from sa_study.utils.errors import ConfigError

if TYPE_CHECKING:
    from sa_study.analysis.final.retrain import RetrainPlan
    from sa_study.report.terminal.output import Output


_OTHER_DATA = "other data than the study's own: the figures on its own test set stay as they are"


def evaluate(
    study: Annotated[
        Path | None, path_option("--study", help="Study whose best checkpoint to evaluate.")
    ] = None,
    weights: Weights = None,
    data_dir: OtherDataDir = None,
    rerank: Rerank = False,
    out: Annotated[Path | None, path_option("--out", help="JSON file to write (with --weights).")] = None,
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
        typer.Option(
            "--seeds", help="With --retrain: how many seeds.", min=1, max=MAX_SEEDS, show_default="1"
        ),
    ] = None,
    overrides: Set = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Evaluate on the test set: a study's best checkpoint, its retrained winner, or a weights file.

    A study keeps a ledger of every look at its test set. Its figures on other data (--data-dir) are written
    beside those on its own test set, never over them.
    """
    from sa_study.report.terminal.output import Output
    from sa_study.settings.yaml_files import parse_assignments

    values = parse_assignments(overrides or [])
    if (study is None) == (weights is None):
        raise ConfigError("evaluate: give either --study or --weights")
    if seeds is not None and not retrain:
        raise ConfigError("evaluate --seeds: goes with --retrain; a study's checkpoint has the seed it has")
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
    from sa_study.analysis.final.evaluate_study import evaluate_study
    from sa_study.report.terminal.console import evaluation_table, phases

    with phases(output.console) as report:
        found = evaluate_study(study, data_dir, reranked=rerank, baseline=baseline, report=report)
    output.end.print(evaluation_table(found.evaluations, found.looks.sentence))
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
            "test_looks": found.looks.count,
        }
    )


def _retrain(
    output: Output, study: Path, data_dir: Path | None, seeds: int, rerank: bool, baseline: bool
) -> None:
    """Trains on all identities, evaluates all runs in one look, and keeps `retrained.json`."""
    from sa_study.analysis.final.retrain import load_retraining_data, plan_retraining, write_retrained
    from sa_study.data.dataset import ReidDataset
    from sa_study.report.terminal.console import phases
    from sa_study.report.terminal.retrained import retrained_tables
    from sa_study.report.terminal.training import evaluate_runs, train_shown
    from sa_study.study.lock import driver_lock
    from sa_study.study.own_images import is_own_test_set
    from sa_study.study.test_ledger import begin_look
    from sa_study.training.evaluate import evaluation_file, load_network, load_test_images
    from sa_study.utils.files import require_place

    plan = plan_retraining(study, data_dir, seeds=seeds, baseline=baseline)
    plan.folder.require_own_files()
    require_place(plan.folder.retrained)
    what = f"{_trained(plan)}, {seeds} seed{'s' if seeds > 1 else ''}"
    output.say(f"{plan.reason}: {what} on all training identities")
    with phases(output.console) as report:
        dataset = ReidDataset(plan.data_dir)
        # Before training: a fault in them would cost all of it.
        images = load_test_images(dataset, next(iter(plan.choices[0].folders)), report)
        data = load_retraining_data(plan, dataset, partial(report, "decode"))
        own = is_own_test_set(plan.folder, dataset, images, report)
    target = evaluation_file(plan.folder.retrained, images, own=own)
    require_place(target)
    plan.folder.final.mkdir(exist_ok=True)
    with driver_lock(plan.folder.final / "driver.lock", output.say):
        for choice in plan.choices:
            for run, folder in choice.folders.items():
                output.say(f"{choice.name}, seed {run.seed}")
                train_shown(output, run, data[choice.name], folder, resume=True, resume_options=())
        for run_folder in (folder for choice in plan.choices for folder in choice.folders.values()):
            require_place(evaluation_file(run_folder.evaluation, images, own=own))
            load_network(run_folder.best, {})  # a damaged one is told before the test set is looked at
        look = begin_look(plan.folder, f"{what}, retrained", images, own=own, reranked=rerank)
        evaluations = {
            choice.name: evaluate_runs(output, choice.folders, images, reranked=rerank, own=own)
            for choice in plan.choices
        }
        named = {f"{name}, {seed}": one for name, of in evaluations.items() for seed, one in of.items()}
        looks = look.complete(named)
        found = write_retrained(plan, evaluations, looks.count, target)
    for table in retrained_tables(found, named, looks.sentence):
        output.end.print(table)
    if not own:
        output.conclude(_OTHER_DATA)
    output.say(f"written: {study / target.name}")
    about = {"own_test_set": own, "test_looks": looks.count}
    output.document({"study": str(study.absolute()), **found, **about})


def _trained(plan: RetrainPlan) -> str:
    return " and ".join(f"{choice.name} (trial {choice.trial})" for choice in plan.choices)


def _evaluate_weights(
    output: Output, weights: Path, data_dir: Path, rerank: bool, out: Path | None, values: dict[str, Any]
) -> None:
    from sa_study.data.dataset import ReidDataset
    from sa_study.data.layouts import TEST_SPLITS
    from sa_study.report.terminal.console import evaluation_table, phases
    from sa_study.study.own_images import is_own_test_set
    from sa_study.study.test_ledger import Seen, begin_look, require_ledger, study_of
    from sa_study.training.evaluate import evaluate, load_network, load_test_images
    from sa_study.utils.files import require_place, write_json

    if out and (out.is_dir() or not out.parent.is_dir()):
        raise ConfigError(f"--out {out}: is a folder, or lies in one that does not exist; name a file")
    if out:
        require_place(out)
    dataset = ReidDataset(data_dir, TEST_SPLITS)
    trained = load_network(weights, values)
    for note in trained.notes:
        output.say(note)
    looks = Seen()
    with phases(output.console) as report:
        if study := study_of(weights):
            require_ledger(study)
        images = load_test_images(dataset, trained.settings, report)
        look = None
        if study:
            own = is_own_test_set(study, dataset, images, report)
            look = begin_look(study, str(weights), images, own=own, reranked=rerank)
        evaluation = evaluate(trained, images, reranked=rerank, report=report)
    if look:
        looks = look.complete({weights.name: evaluation})
    output.end.print(evaluation_table({weights.name: evaluation}, looks.sentence))
    if out:
        write_json(out, evaluation)
        output.say(f"written: {out}")
    document = {"weights": str(weights.absolute()), "evaluations": {weights.name: evaluation}}
    output.document({**document, "test_looks": looks.count} if look else document)
