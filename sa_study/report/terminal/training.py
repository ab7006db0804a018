"""Training and evaluation in this process, without Ray, as a person sees them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sa_study.analysis.final.retrain import RetrainPlan, load_retraining_data, write_retrained
from sa_study.data.dataset import ReidDataset
from sa_study.data.store import TrainingData
from sa_study.metrics import names
from sa_study.metrics.protocol import protocol_note
from sa_study.model.weights import pretrained_note
from sa_study.report.terminal.console import Output, phases
from sa_study.report.text import command, percent
from sa_study.settings.run import Settings
from sa_study.study.ledger import LedgerSummary, add_ledger_entry, is_own_test_set
from sa_study.study.lock import driver_lock
from sa_study.training.evaluate import (
    EvaluationImages,
    evaluate,
    evaluation_file,
    load_network,
    load_test_images,
)
from sa_study.training.run import RunFolder, train
from sa_study.utils.files import require_writable, write_json
from sa_study.utils.text import plural


def data_line(data: TrainingData) -> str:
    """The sizes of the training set and of the validation split."""
    note = protocol_note(data.store.protocol) if len(data.query) else ""
    return (
        f"{len(data.train)} images of {data.num_classes} identities; validation: {len(data.query)} queries, "
        f"{len(data.gallery)} gallery images{f' ({note})' if note else ''}"
    )


def train_with_progress(
    output: Output,
    settings: Settings,
    data: TrainingData,
    folder: RunFolder,
    resume: bool,
    more_options: Sequence[str] = ("--resume",),
) -> Mapping[str, float]:
    """Trains one configuration to its last epoch, a line for each, or resumes the run in its folder.

    Returns:
        The figures of the epoch whose weights are kept.

    Raises:
        KeyboardInterrupt: Ctrl-C; the last epoch is saved and the command that resumes it is printed: that of
            this process with `more_options`.
    """
    output.say(data_line(data))
    if note := pretrained_note(settings.backbone, settings.pretrained):
        output.say(note)
    epoch = 0
    try:
        with phases(output.console) as report:
            report("epochs", 0, settings.epochs)

            def on_epoch(figures: Mapping[str, float]) -> None:
                nonlocal epoch
                epoch = int(figures[names.EPOCH])
                output.say(epoch_line(figures, settings.epochs))
                report("epochs", epoch, settings.epochs)

            return train(settings, data, folder, resume=resume, on_epoch=on_epoch)
    except KeyboardInterrupt:
        saved = f"epoch {epoch} of {settings.epochs} is" if epoch else "any complete epoch is"
        more = [option for option in more_options if option not in sys.argv]
        go_on = command(*sys.argv[1:], *more)
        output.conclude(f"interrupted; {saved} saved in {folder.root}; go on with: {go_on}")
        raise


def epoch_line(figures: Mapping[str, float], epochs: int) -> str:
    """One line for an epoch of a run in this process."""
    rates = [names.TRAIN_ACCURACY, *(names.STUDY_METRICS if names.MAP in figures else ())]
    return "  ".join(
        [
            f"epoch {figures[names.EPOCH]:.0f}/{epochs}",
            f"loss {figures[names.LOSS]:.3f}",
            *(f"{names.heading(name)} {percent(figures[name])} %" for name in rates),
            f"lr {figures[names.LR]:.2g}",
            f"{figures[names.IMAGES_PER_SECOND]:.0f} images/s",
        ]
    )


def evaluate_runs(
    output: Output,
    folders: Mapping[Settings, RunFolder],
    images: EvaluationImages,
    *,
    reranked: bool,
    own: bool = True,
) -> dict[str, dict[str, Any]]:
    """Evaluates trained runs on a test set and writes each evaluation into the run's folder.

    Returns:
        The evaluations by seed; those of other data than the runs' own (not `own`) have files of their own.
    """
    evaluations = {}
    for settings, folder in folders.items():
        with phases(output.console) as report:
            found = evaluate(load_network(folder.best, {}), images, reranked=reranked, report=report)
        write_json(evaluation_file(folder.evaluation, images, own=own), found)
        evaluations[f"seed {settings.seed}"] = found
    return evaluations


@dataclass(frozen=True)
class Retrained:
    """Test figures of configurations that were retrained on all identities.

    Attributes:
        document: The content of `file`.
        evaluations: Each run's evaluation, by configuration and seed.
        ledger: How often the study has been evaluated on this test set.
        own: Whether the test set is the study's own.
        file: `retrained.json`, or its neighbour for other data.
    """

    document: Mapping[str, Any]
    evaluations: Mapping[str, Mapping[str, Any]]
    ledger: LedgerSummary
    own: bool
    file: Path


def retrain_with_progress(output: Output, plan: RetrainPlan, *, reranked: bool) -> Retrained:
    """Trains configurations on all identities and evaluates all runs as one entry of the test ledger.

    Raises:
        StudyError: A file or an image cannot be used.
        KeyboardInterrupt: Ctrl-C; the last epoch is saved and the command that resumes it is printed.
    """
    study, runs = plan.folder, [run for choice in plan.choices for run in choice.folders.items()]
    study.require_own_files()
    require_writable(study.retrained)
    trained = " and ".join(f"{choice.name} (trial {choice.trial})" for choice in plan.choices)
    what = f"{trained}, {plural(len(plan.choices[0].folders), 'seed')}"
    output.say(f"{plan.reason}: {what} on all training identities")
    with phases(output.console) as report:
        dataset = ReidDataset(plan.data_dir)
        images = load_test_images(dataset, runs[0][0], report)  # a fault raises now, not after training
        data = load_retraining_data(plan, dataset, partial(report, "decode"))
        own = is_own_test_set(study, dataset, images, report)
    file = evaluation_file(study.retrained, images, own=own)
    require_writable(file)
    study.final.mkdir(exist_ok=True)
    with driver_lock(study.final / "driver.lock", output.say):
        for choice in plan.choices:
            for settings, folder in choice.folders.items():
                output.say(f"{choice.name}, seed {settings.seed}")
                train_with_progress(output, settings, data[choice.name], folder, resume=True, more_options=())
        for _, folder in runs:
            require_writable(evaluation_file(folder.evaluation, images, own=own))
            load_network(folder.best, {})  # a damaged file raises before the test set is opened
        entry = add_ledger_entry(study, f"{what}, retrained", images, own=own, reranked=reranked)
        evaluations = {
            choice.name: evaluate_runs(output, choice.folders, images, reranked=reranked, own=own)
            for choice in plan.choices
        }
        named = {f"{name}, {seed}": one for name, of in evaluations.items() for seed, one in of.items()}
        ledger = entry.complete(named)
        document = write_retrained(plan, evaluations, ledger.count, file)
    return Retrained(document, named, ledger, own, file)
