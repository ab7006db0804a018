"""All that shows a study's best network: pictures in its folder, and in TensorBoard."""

from __future__ import annotations

from pathlib import Path

from sa_study.report.pictures.attention import attention_overlays
from sa_study.report.pictures.make import Made, Options, make_pictures, require_places
from sa_study.report.pictures.subject import Subject, of_study
from sa_study.study.folder import StudyFolder
from sa_study.utils.errors import StudyFolderError
from sa_study.utils.progress import PhaseCallback

_SHOWN = 8
"""Queries whose attention is shown in TensorBoard."""


def show_study(
    root: Path,
    data_dir: Path | None = None,
    out: Path | None = None,
    *,
    test: bool = False,
    options: Options | None = None,
    report: PhaseCallback = lambda *_: None,
) -> tuple[Subject, Made]:
    """Draws a study's best network into `pictures/`, and its attention into TensorBoard's run `best`.

    Args:
        root: The study's folder.
        data_dir: The data set, or None for the study's own.
        out: Another folder for the pictures; then TensorBoard's files are left alone.
        test: Show the test set instead of the validation split.
        options: What is drawn.
        report: Told how far it is.

    Raises:
        StudyError: See `of_study` and `make_pictures`.
    """
    options = options or Options()
    if out is None:
        folder = StudyFolder.existing(root)
        folder.require_own_files()
        if folder.tensorboard.exists() and not folder.tensorboard.is_dir():
            raise StudyFolderError(f"{folder.tensorboard}: is no folder; move it away")
    require_places(out or root / "pictures")  # before the test set is looked at
    subject = of_study(root, data_dir, test=test, reranked=options.reranked, report=report)
    made = make_pictures(subject, out or root / "pictures", options, report)
    if out is None:
        from sa_study.training.tensorboard.writer import (
            write_images,  # TensorBoard's writer takes a second to import
        )

        settings = subject.trained.settings
        images = subject.query.images[:: max(1, len(subject.query.images) // _SHOWN)][:_SHOWN]
        overlays = attention_overlays(subject.trained.net, images, (settings.height, settings.width))
        write_images(StudyFolder(root).tensorboard / "best", dict(overlays), subject.trained.epoch or 0)
    return subject, made
