"""Makes all pictures of a network, and writes all of them or none."""

from __future__ import annotations

import errno
import io
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sa_study.metrics import names
from sa_study.metrics.protocol import places_in_gallery
from sa_study.metrics.ranking import RankingMetrics, ranking_metrics
from sa_study.metrics.reranking import rerank_features
from sa_study.report.pictures import maps, ranked
from sa_study.report.pictures.figure import Picture
from sa_study.report.pictures.ranking import Ranking, rank
from sa_study.report.pictures.subject import Subject, subject_of_study
from sa_study.study.folder import StudyFolder
from sa_study.training.evaluate import query_and_gallery_features
from sa_study.utils.errors import StudyFolderError
from sa_study.utils.files import name_in_errors, require_writable
from sa_study.utils.progress import PhaseCallback
from sa_study.utils.randomness import derived_seed

NAMES = (
    *(f"ranked_{group}.png" for group in ranked.GROUPS),
    "attention_stages.png",
    "cam_queries.png",
    "cam_training.png",
    "cmc_curve.png",
    "distances_histogram.png",
    "failures_rank1.png",
)
"""Every file that may be written; an earlier one that is not drawn again is removed."""

_LISTS, _MAPS, _FAILURES, _OVERLAYS = 5, 8, 12, 8
"""Queries of a picture of ranked lists, images with maps, failures, and queries shown in TensorBoard."""

_Named = Iterator[tuple[str, Picture]]


@dataclass(frozen=True)
class PictureFiles:
    """The pictures that were made, in the order of `NAMES`, and why a kind is missing, a line each."""

    files: list[Path]
    left_out: list[str]


def make_study_pictures(
    root: Path,
    data_dir: Path | None = None,
    out: Path | None = None,
    *,
    test: bool = False,
    reranked: bool = False,
    seed: int = 0,
    report: PhaseCallback = lambda *_: None,
) -> tuple[Subject, PictureFiles]:
    """Draws a study's best network into `pictures/`, and its attention into TensorBoard's run `best`.

    With another folder `out` TensorBoard's files are left alone. `data_dir` and `test` choose the images as
    in `subject_of_study`; `reranked` adds a curve to the CMC picture; `seed` is that of all draws.

    Raises:
        StudyError: See `subject_of_study` and `make_pictures`.
    """
    if out is None:
        folder = StudyFolder.existing(root)
        folder.require_own_files()
        if folder.tensorboard.exists() and not folder.tensorboard.is_dir():
            raise StudyFolderError(f"{folder.tensorboard}: is no folder; move it away")
    require_places(out or root / "pictures")  # before the test set is opened
    subject = subject_of_study(root, data_dir, test=test, reranked=reranked, report=report)
    files = make_pictures(subject, out or root / "pictures", seed, report)
    if out is None:
        # TensorBoard's writer takes a second to import.
        from sa_study.training.tensorboard import write_images

        trained, queries = subject.trained, subject.query.images
        images = queries[:: max(1, len(queries) // _OVERLAYS)][:_OVERLAYS]
        overlays = maps.attention_overlays(
            trained.net, images, trained.settings.height, trained.settings.width
        )
        write_images(StudyFolder(root).tensorboard / "best", overlays, trained.epoch or 0)
    return subject, files


def make_pictures(
    subject: Subject, out: Path, seed: int = 0, report: PhaseCallback = lambda *_: None
) -> PictureFiles:
    """Draws every kind of picture and puts them into a folder, all of them or none.

    The folder is made if missing, and other files in it are left alone; the network is moved to its settings'
    device.

    Raises:
        DataError: No query has a match.
        StudyFolderError: `out` is not a folder.
        OSError: `out` cannot be written.
    """
    require_places(out)
    left_out: list[str] = []
    drawn: dict[str, bytes] = {}
    for name, picture in _pictures(subject, seed, report, left_out):
        content = io.BytesIO()
        picture.save(content)
        drawn[name] = content.getvalue()
    _write(out, drawn)
    return PictureFiles([out / name for name in NAMES if name in drawn], left_out)


def require_places(out: Path) -> None:
    """Checks, before anything is drawn, that pictures can be written to a folder.

    Raises:
        StudyFolderError: `out` is a file.
        OSError: `out` cannot be written, or has a folder with the name of a picture.
    """
    if out.exists() and not out.is_dir():
        raise StudyFolderError(f"{out}: is a file; name a folder for the pictures by --out")
    above = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    if not above.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(above))
    require_writable(above / NAMES[0])
    if taken := [name for name in NAMES if (out / name).is_dir()]:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(out / taken[0]))


def _write(out: Path, drawn: Mapping[str, bytes]) -> None:
    """Replaces earlier pictures once all new ones are on disk; removes those of `NAMES` not drawn again."""
    made = next((path for path in reversed([out, *out.parents]) if not path.exists()), None)
    out.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(out)
    folder = out / f".pictures.{os.getpid()}.tmp"
    try:
        with name_in_errors(out, instead_of=folder):
            folder.mkdir()
            for name, content in drawn.items():
                # Not yet named as a picture, for whoever collects the pictures of `out` meanwhile.
                (folder / f"{name}.part").write_bytes(content)
        for name in NAMES:
            if name in drawn:
                (folder / f"{name}.part").replace(out / name)
            else:
                (out / name).unlink(missing_ok=True)
    except BaseException:
        if made:
            shutil.rmtree(made, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _clear_leftovers(out: Path) -> None:
    """Removes what a call that was killed has left in `out`."""
    for folder in out.glob(".pictures.*.tmp"):
        pid = folder.name.split(".")[2]
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (ValueError, OverflowError, PermissionError):
            continue  # not ours, or alive


def _pictures(subject: Subject, seed: int, report: PhaseCallback, left_out: list[str]) -> _Named:
    """Names and pictures one by one, so that one at a time is in memory."""
    features = query_and_gallery_features(subject.trained, subject.query, subject.gallery, report)
    ranking = rank(*features, subject.query, subject.gallery, partial(report, "ranking"))
    curves = {"plain": ranking.metrics}
    if subject.reranked:
        query, gallery = subject.query, subject.gallery
        labels = query.pids, gallery.pids, query.camids, gallery.camids
        places = places_in_gallery(query.camids, gallery.camids)
        curves["re-ranked"] = ranking_metrics(rerank_features(*features, places=places), *labels)
    if subject.ledger_entry:
        again = _rates(curves["re-ranked"]) if subject.reranked else None
        figures = {**_rates(ranking.metrics), "reranked": again}
        subject.ledger_entry.complete({subject.trained.source.name: figures})
    seed = derived_seed(seed, "pictures")
    kinds = (
        _of_ranking(subject, ranking, curves, seed, left_out),
        _of_maps(subject, ranking, seed, left_out),
    )
    for done, named in enumerate(named for kind in kinds for named in kind):
        report("drawing", done, len(NAMES))
        yield named
    report("drawing", len(NAMES), len(NAMES))


def _rates(metrics: RankingMetrics) -> dict[str, Any]:
    return {name: float(getattr(metrics, name)) for name in names.STUDY_METRICS}


def _of_ranking(
    subject: Subject, ranking: Ranking, curves: dict[str, RankingMetrics], seed: int, left_out: list[str]
) -> _Named:
    query, gallery, where = subject.query, subject.gallery, subject.where
    for group in ranked.GROUPS:
        chosen = ranked.choose_queries(ranking, query.pids, group, _LISTS, seed)
        yield f"ranked_{group}.png", ranked.draw_lists(ranking, query, gallery, chosen, group, where)
    if wrong := ranked.choose_failures(ranking, query.pids, _FAILURES):
        yield "failures_rank1.png", ranked.draw_failures(ranking, query, gallery, wrong, where)
    else:
        left_out.append("no failures: the first image of every query is right")
    yield "distances_histogram.png", ranked.draw_distances(ranking.counts, where, query.protocol)
    yield "cmc_curve.png", ranked.draw_cmc(curves, len(gallery.pids), where, query.protocol)


def _of_maps(subject: Subject, ranking: Ranking, seed: int, left_out: list[str]) -> _Named:
    net, where, settings = subject.trained.net, subject.where, subject.trained.settings
    if not net.deep_supervision:
        left_out.append(
            "no attention and class-activation maps: without deep supervision (deep_supervision: false) the "
            "network neither attends to the stages 1–3 nor classifies by them"
        )
        return
    device = next(net.parameters()).device
    ready = partial(maps.prepare, height=settings.height, width=settings.width, device=device)
    images = subject.query.images[ranked.choose_queries(ranking, subject.query.pids, "random", _MAPS, seed)]
    if maps.has_attention(net):
        attention = maps.attention_maps(net, ready(images))
        yield "attention_stages.png", maps.draw_attention(images, attention, net.attention, where)
    else:
        left_out.append("no attention maps: the network has no spatial attention (attention: none)")
    found = maps.activation_maps(net, ready(images))
    yield "cam_queries.png", maps.draw_activation(images, found, subject.names, False, where)
    if known := subject.known:
        drawn = np.random.default_rng(seed).permutation(len(known.train))
        some = np.array(ranked.identities_in_turn(drawn, known.labels)[:_MAPS])
        images = known.store.images[known.train[some]]
        found = maps.activation_maps(net, ready(images), known.labels[some])
        where = f"{subject.network}; images that it was trained on, of {known.num_classes:,} identities"
        yield "cam_training.png", maps.draw_activation(images, found, subject.names, True, where)
