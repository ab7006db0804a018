"""Training and evaluation in this process, without Ray, as a person sees them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from sa_study.data.store import TrainingData
from sa_study.metrics import names
from sa_study.model.weights import pretrained_note
from sa_study.report.terminal.console import epoch_line, phases
from sa_study.report.terminal.output import Output
from sa_study.report.terminal.text import command
from sa_study.settings.run import Settings
from sa_study.training.evaluate import EvaluationImages, evaluate, evaluation_file, load_network
from sa_study.training.run import RunFolder, train
from sa_study.utils.files import write_json


def data_line(data: TrainingData) -> str:
    """The sizes of the training set and of the validation split."""
    return (
        f"{len(data.train)} images of {data.num_classes} identities; validation: {len(data.query)} queries, "
        f"{len(data.gallery)} gallery images"
    )


def train_shown(
    output: Output,
    settings: Settings,
    data: TrainingData,
    folder: RunFolder,
    resume: bool,
    resume_options: Sequence[str] = ("--resume",),
) -> Mapping[str, float]:
    """Trains one configuration to its last epoch and prints a line for each.

    Args:
        output: Where to print.
        settings: The configuration.
        data: Images to train and validate on.
        folder: Folder of the run.
        resume: Whether to resume the run that the folder may hold.
        resume_options: Options that this process's command needs in addition to resume after Ctrl-C.

    Returns:
        The figures of the epoch whose weights are kept.

    Raises:
        KeyboardInterrupt: Ctrl-C; the last epoch is saved and the command that resumes it is printed.
    """
    output.say(data_line(data))
    if note := pretrained_note(settings.pretrained):
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
        more = [option for option in resume_options if option not in sys.argv]
        go_on = command(*sys.argv[1:], *more)
        output.conclude(f"interrupted; {saved} saved in {folder.root}; go on with: {go_on}")
        raise


def evaluate_runs(
    output: Output,
    folders: Mapping[Settings, RunFolder],
    images: EvaluationImages,
    *,
    reranked: bool,
    own: bool = True,
) -> dict[str, dict[str, Any]]:
    """Evaluates trained runs on a test set and writes each evaluation into the run's folder.

    Args:
        output: Where to print.
        folders: The folder of each run.
        images: The test images.
        reranked: Whether to compute the re-ranked figures too.
        own: Whether the images are the test set of the data that the runs were trained on.

    Returns:
        The evaluations by seed.
    """
    evaluations = {}
    for settings, folder in folders.items():
        with phases(output.console) as report:
            found = evaluate(load_network(folder.best, {}), images, reranked=reranked, report=report)
        write_json(evaluation_file(folder.evaluation, images, own=own), found)
        evaluations[f"seed {settings.seed}"] = found
    return evaluations
