"""Training and evaluating in this process, as `paper`, `train` and `evaluate --retrain` do."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from sa_study.data.store import TrainingData
    from sa_study.report.terminal.output import Output
    from sa_study.settings.run import Settings
    from sa_study.training.evaluate import EvaluationImages
    from sa_study.training.run import RunFolder


def train_run(
    output: Output,
    run: Settings,
    data: TrainingData,
    folder: RunFolder,
    resume: bool,
    again: Sequence[str] = ("--resume",),
) -> Any:
    """Trains one configuration to its end, a line an epoch.

    Args:
        output: Where to.
        run: What is trained.
        data: Images.
        folder: Of the run.
        resume: Whether to go on with a run that is there.
        again: What the same command needs beside its words to go on after Ctrl-C.

    Returns:
        The figures of the epoch that is kept.

    Raises:
        Exit: With 130 after Ctrl-C; the last epoch is saved.
    """
    from sa_study.metrics import names
    from sa_study.model.weights import pretrained_note
    from sa_study.report.terminal.console import epoch_line, phases
    from sa_study.report.terminal.text import command
    from sa_study.training.run import train

    output.say(
        f"{len(data.train)} images of {data.num_classes} identities; validation: {len(data.query)} queries, "
        f"{len(data.gallery)} gallery images"
    )
    if note := pretrained_note(run.pretrained):
        output.say(note)
    epoch = 0
    try:
        with phases(output.console) as report:
            report("epochs", 0, run.epochs)

            def on_epoch(figures: Mapping[str, float]) -> None:
                nonlocal epoch
                epoch = int(figures[names.EPOCH])
                output.say(epoch_line(figures, run.epochs))
                report("epochs", epoch, run.epochs)

            return train(run, data, folder, resume=resume, on_epoch=on_epoch)
    except KeyboardInterrupt:
        saved = f"epoch {epoch} of {run.epochs} is" if epoch else "any complete epoch is"
        more = [word for word in again if word not in sys.argv]
        line = f"interrupted; {saved} saved in {folder.root}; go on with: {command(*sys.argv[1:], *more)}"
        output.conclude(line)
        raise typer.Exit(130) from None


def evaluate_runs(
    output: Output,
    folders: Mapping[Settings, RunFolder],
    images: EvaluationImages,
    *,
    reranked: bool,
    own: bool = True,
) -> dict[str, dict[str, Any]]:
    """Evaluates trained runs on a test set, each into its folder.

    Args:
        output: Where to.
        folders: The runs.
        images: The test images.
        reranked: Whether to compute the re-ranked figures too.
        own: Whether they are the test images of the data that the runs were trained on.

    Returns:
        The evaluations by seed.
    """
    from sa_study.report.terminal.console import phases
    from sa_study.training.evaluate import evaluate, evaluation_file, load_network
    from sa_study.utils.files import write_json

    evaluations = {}
    for run, folder in folders.items():
        with phases(output.console) as report:
            found = evaluate(load_network(folder.best, {}), images, reranked=reranked, report=report)
        write_json(evaluation_file(folder.evaluation, images, own=own), found)
        evaluations[f"seed {run.seed}"] = found
    return evaluations
