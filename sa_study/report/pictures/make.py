"""Makes all pictures of a network, and writes all of them or none."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from sa_study.metrics import names
from sa_study.metrics.ranking import RankingMetrics, ranking_metrics
from sa_study.metrics.reranking import rerank_features
from sa_study.report.pictures import overlays, plots, ranked
from sa_study.report.pictures.figure import Picture
from sa_study.report.pictures.maps import activation_maps, attention_maps, has_attention, prepare
from sa_study.report.pictures.ranking import TOPK, Ranking, rank
from sa_study.report.pictures.subject import Subject, TrainedImages, of_study
from sa_study.study.folder import StudyFolder
from sa_study.training.evaluate import query_and_gallery_features
from sa_study.utils.errors import StudyFolderError
from sa_study.utils.files import name_in_errors, require_writable
from sa_study.utils.progress import PhaseCallback
from sa_study.utils.randomness import derived_seed
from sa_study.utils.text import visible

NAMES = (
    *(f"ranked_{group}.png" for group in ranked.GROUPS),
    "attention_stages.png",
    "cam_queries.png",
    "cam_training.png",
    "cmc_curve.png",
    "distances_histogram.png",
    "failures_rank1.png",
)
"""Every file that is written; one that an earlier call left and this one has nothing for is removed."""

_LISTS, _MAPS, _FAILURES, _OVERLAYS = 5, 8, 12, 8
"""Queries of a picture of ranked lists, images with maps, failures, and queries shown in TensorBoard."""


@dataclass(frozen=True)
class Options:
    """Choices of what `visualize` draws.

    Attributes:
        reranked: Whether the CMC picture shows the re-ranked curve too.
        seed: Of all draws.
    """

    reranked: bool = False
    seed: int = 0


@dataclass(frozen=True)
class PictureFiles:
    """The pictures that were made.

    Attributes:
        files: The pictures, in the order of `NAMES`.
        left_out: Why a kind of picture is missing, a line each.
    """

    files: list[Path]
    left_out: list[str]


def require_places(out: Path) -> None:
    """Raises OSError where pictures cannot be written, or a folder has the name of one."""
    above = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    if above.is_dir():
        require_writable(above / NAMES[0])
    if taken := [name for name in NAMES if (out / name).is_dir()]:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(out / taken[0]))


def make_pictures(
    subject: Subject, out: Path, options: Options, report: PhaseCallback = lambda *_: None
) -> PictureFiles:
    """Draws every kind of picture and puts them into a folder, all of them or none.

    Args:
        subject: The network and its images; the network is moved to its settings' device.
        out: The folder, made where it is not there; other files in it are left alone.
        options: What is drawn.
        report: Told how far it is.

    Raises:
        DataError: No query has a match.
        StudyFolderError: `out` is not a folder.
        OSError: It cannot be written.
    """
    require_places(out)
    subject = dataclasses.replace(subject, network=visible(subject.network))
    with _folder(out) as folder:
        left_out: list[str] = []
        drawn = []
        for name, picture in _pictures(subject, options, report, left_out):
            # Not yet named as a picture: whoever collects those of `out` must not find it.
            picture.save(folder / f"{name}.part")
            drawn.append(name)
        for name in NAMES:
            if name in drawn:
                (folder / f"{name}.part").replace(out / name)
            else:
                (out / name).unlink(missing_ok=True)
    return PictureFiles([out / name for name in NAMES if name in drawn], left_out)


def make_study_pictures(
    root: Path,
    data_dir: Path | None = None,
    out: Path | None = None,
    *,
    test: bool = False,
    options: Options | None = None,
    report: PhaseCallback = lambda *_: None,
) -> tuple[Subject, PictureFiles]:
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
    files = make_pictures(subject, out or root / "pictures", options, report)
    if out is None:
        # TensorBoard's writer takes a second to import.
        from sa_study.training.tensorboard import write_images

        settings = subject.trained.settings
        images = subject.query.images[:: max(1, len(subject.query.images) // _OVERLAYS)][:_OVERLAYS]
        maps = overlays.attention_overlays(subject.trained.net, images, (settings.height, settings.width))
        write_images(StudyFolder(root).tensorboard / "best", dict(maps), subject.trained.epoch or 0)
    return subject, files


def _pictures(
    subject: Subject, options: Options, report: PhaseCallback, left_out: list[str]
) -> Iterator[tuple[str, Picture]]:
    """Names and pictures one by one, so that one at a time is in memory."""
    features = query_and_gallery_features(subject.trained, subject.query, subject.gallery, report)
    ranking = rank(*features, subject.query, subject.gallery, partial(report, "ranking"))
    seed = derived_seed(options.seed, "pictures")
    drawn = itertools.chain(
        _ranked_lists(subject, ranking, seed, left_out),
        _plots(subject, ranking, features, options.reranked),
        _overlays(subject, ranking, seed, left_out),
    )
    for done, named in enumerate(drawn):
        report("drawing", done, len(NAMES))
        yield named
    report("drawing", len(NAMES), len(NAMES))


def _ranked_lists(
    subject: Subject, ranking: Ranking, seed: int, left_out: list[str]
) -> Iterator[tuple[str, Picture]]:
    query, gallery, where = subject.query, subject.gallery, subject.where
    for group in ranked.GROUPS:
        chosen = ranked.choose_queries(ranking, query.pids, group, _LISTS, seed)
        yield f"ranked_{group}.png", ranked.draw_lists(ranking, query, gallery, chosen, group, where)
    if wrong := ranked.choose_failures(ranking, query.pids, _FAILURES):
        yield "failures_rank1.png", ranked.draw_failures(ranking, query, gallery, wrong, where)
    else:
        left_out.append("no failures: the first image of every query is right")


def _plots(
    subject: Subject, ranking: Ranking, features: tuple[Tensor, Tensor], reranked: bool
) -> Iterator[tuple[str, Picture]]:
    query, gallery = subject.query, subject.gallery
    yield "distances_histogram.png", plots.draw_distances(ranking.counts, subject.where)
    curves = {"plain": ranking.metrics}
    if reranked:
        labels = query.pids, gallery.pids, query.camids, gallery.camids
        curves["re-ranked"] = ranking_metrics(rerank_features(*features), *labels, TOPK)
    if subject.ledger_entry:
        again = _rates(curves["re-ranked"]) if reranked else None
        figures = {**_rates(ranking.metrics), "reranked": again}
        subject.ledger_entry.complete({subject.trained.source.name: figures})
    yield "cmc_curve.png", plots.draw_cmc(curves, len(gallery.pids), subject.where)


def _rates(metrics: RankingMetrics) -> dict[str, Any]:
    return {name: float(getattr(metrics, name)) for name in names.STUDY_METRICS}


def _overlays(
    subject: Subject, ranking: Ranking, seed: int, left_out: list[str]
) -> Iterator[tuple[str, Picture]]:
    net, where, settings = subject.trained.net, subject.where, subject.trained.settings
    if not net.deep_supervision:
        left_out.append(
            "no attention and class-activation maps: without deep supervision (deep_supervision: false) the "
            "network neither attends to the stages 1–3 nor classifies by them"
        )
        return
    ready = partial(
        prepare, height=settings.height, width=settings.width, device=next(net.parameters()).device
    )
    images = subject.query.images[ranked.choose_queries(ranking, subject.query.pids, "random", _MAPS, seed)]
    if has_attention(net):
        yield (
            "attention_stages.png",
            overlays.draw_attention(images, attention_maps(net, ready(images)), net.attention, where),
        )
    else:
        left_out.append("no attention maps: the network has no spatial attention (attention: none)")
    yield (
        "cam_queries.png",
        overlays.draw_activation(images, activation_maps(net, ready(images)), subject.names, False, where),
    )
    if (known := subject.known) is not None:
        drawn = np.random.default_rng(seed).permutation(len(known.index))
        some = np.array(ranked.one_an_identity(drawn, known.labels)[:_MAPS])
        images, classes = known.store.images[known.index[some]], known.labels[some]
        maps = activation_maps(net, ready(images), classes)
        yield (
            "cam_training.png",
            overlays.draw_activation(images, maps, known.names, True, _trained_on(subject, known)),
        )


def _trained_on(subject: Subject, known: TrainedImages) -> str:
    return f"{subject.network}; images that it was trained on, of {len(known.names):,} identities"


@contextmanager
def _folder(out: Path) -> Iterator[Path]:
    """A folder inside `out` for half-made files; gone afterwards, and `out` too where nothing came of it."""
    if out.exists() and not out.is_dir():
        raise StudyFolderError(f"{out}: is a file; name a folder for the pictures by --out")
    made = next((path for path in reversed([out, *out.parents]) if not path.exists()), None)
    out.mkdir(parents=True, exist_ok=True)
    _clear_remains(out)
    folder = out / f".pictures.{os.getpid()}.tmp"
    try:
        with name_in_errors(out, instead_of=folder):
            folder.mkdir()
        yield folder
    except BaseException:
        if made:
            shutil.rmtree(made, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _clear_remains(out: Path) -> None:
    """Removes what a call that was killed has left in `out`."""
    for folder in out.glob(".pictures.*.tmp"):
        pid = folder.name.split(".")[2]
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (ValueError, OverflowError, PermissionError):
            continue  # not ours, or alive
