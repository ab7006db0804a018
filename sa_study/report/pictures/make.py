"""All pictures of a network, drawn and written together."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from sa_study.data.device_images import DeviceImages
from sa_study.data.store import ImageStore
from sa_study.metrics import names
from sa_study.metrics.ranking import RankingMetrics, ranking_metrics
from sa_study.metrics.reranking import rerank_features
from sa_study.report.pictures import activation, attention, curve, failures, histogram, lists
from sa_study.report.pictures.maps import activation_maps, attention_maps, has_attention, prepare
from sa_study.report.pictures.ranks import TOPK, Ranking, rank
from sa_study.report.pictures.sheet import Sheet
from sa_study.report.pictures.subject import Known, Subject
from sa_study.training.features import extract_features
from sa_study.training.precision import memory_format, prepare_device
from sa_study.utils.errors import StudyFolderError
from sa_study.utils.files import name_in_errors, require_writable
from sa_study.utils.progress import PhaseCallback
from sa_study.utils.randomness import derived_seed
from sa_study.utils.text import visible

NAMES = (
    *(f"ranked_{group}.png" for group in lists.GROUPS),
    "attention_stages.png",
    "cam_queries.png",
    "cam_training.png",
    "cmc_curve.png",
    "distances_histogram.png",
    "failures_rank1.png",
)
"""Every file that is written; one that an earlier call left and this one has nothing for is removed."""

_LISTS, _MAPS, _FAILURES = 5, 8, 12
"""Queries of a ranked-lists picture, images of the maps, failures."""


@dataclass(frozen=True)
class Options:
    """What is drawn.

    Attributes:
        reranked: Whether the CMC picture shows the re-ranked curve too.
        seed: Of all draws.
    """

    reranked: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Made:
    """What came of it.

    Attributes:
        files: The pictures, in the order of `NAMES`.
        left_out: Why a kind of picture is missing, a line each.
    """

    files: list[Path]
    left_out: list[str]


def require_places(out: Path) -> None:
    """Checks that pictures can be written, and that no folder has the name of one.

    Raises:
        OSError: They cannot, or one has.
    """
    above = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    if above.is_dir():
        require_writable(above / NAMES[0])
    if taken := [name for name in NAMES if (out / name).is_dir()]:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(out / taken[0]))


def make_pictures(
    subject: Subject, out: Path, options: Options, report: PhaseCallback = lambda *_: None
) -> Made:
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
        for name, sheet in _sheets(subject, options, report, left_out):
            # Not yet named as a picture: whoever collects those of `out` must not find it.
            sheet.save(folder / f"{name}.part")
            drawn.append(name)
        for name in NAMES:
            if name in drawn:
                (folder / f"{name}.part").replace(out / name)
            else:
                (out / name).unlink(missing_ok=True)
    return Made([out / name for name in NAMES if name in drawn], left_out)


def _sheets(
    subject: Subject, options: Options, report: PhaseCallback, left_out: list[str]
) -> Iterator[tuple[str, Sheet]]:
    """Names and pictures one by one, so that one at a time is in memory."""
    features = _features(subject, report)
    ranking = rank(*features, subject.query, subject.gallery, partial(report, "ranking"))
    seed = derived_seed(options.seed, "pictures")
    drawing = _counted(report)
    for name, sheet in itertools.chain(
        _ranking_sheets(subject, ranking, seed, left_out),
        _curve_sheets(subject, ranking, features, options.reranked),
        _map_sheets(subject, ranking, seed, left_out),
    ):
        drawing()
        yield name, sheet
    report("drawing", len(NAMES), len(NAMES))


def _ranking_sheets(
    subject: Subject, ranking: Ranking, seed: int, left_out: list[str]
) -> Iterator[tuple[str, Sheet]]:
    query, gallery, where = subject.query, subject.gallery, subject.where
    for group in lists.GROUPS:
        chosen = lists.choose(ranking, query.pids, group, _LISTS, seed)
        yield f"ranked_{group}.png", lists.draw(ranking, query, gallery, chosen, group, where)
    if wrong := failures.choose(ranking, query.pids, _FAILURES):
        yield "failures_rank1.png", failures.draw(ranking, query, gallery, wrong, where)
    else:
        left_out.append("no failures: the first image of every query is right")


def _curve_sheets(
    subject: Subject, ranking: Ranking, features: tuple[Tensor, Tensor], reranked: bool
) -> Iterator[tuple[str, Sheet]]:
    query, gallery = subject.query, subject.gallery
    yield "distances_histogram.png", histogram.draw(ranking.counts, subject.where)
    curves = {"plain": ranking.metrics}
    if reranked:
        labels = query.pids, gallery.pids, query.camids, gallery.camids
        curves["re-ranked"] = ranking_metrics(rerank_features(*features), *labels, TOPK)
    if subject.ledger_entry:
        again = _rates(curves["re-ranked"]) if reranked else None
        subject.ledger_entry.complete(
            {subject.trained.source.name: {**_rates(ranking.metrics), "reranked": again}}
        )
    yield "cmc_curve.png", curve.draw(curves, len(gallery.pids), subject.where)


def _rates(metrics: RankingMetrics) -> dict[str, Any]:
    return {name: float(getattr(metrics, name)) for name in names.STUDY_METRICS}


def _map_sheets(
    subject: Subject, ranking: Ranking, seed: int, left_out: list[str]
) -> Iterator[tuple[str, Sheet]]:
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
    images = subject.query.images[lists.choose(ranking, subject.query.pids, "random", _MAPS, seed)]
    if has_attention(net):
        yield (
            "attention_stages.png",
            attention.draw(images, attention_maps(net, ready(images)), net.attention, where),
        )
    else:
        left_out.append("no attention maps: the network has no spatial attention (attention: none)")
    yield (
        "cam_queries.png",
        activation.draw(images, activation_maps(net, ready(images)), subject.names, False, where),
    )
    if (known := subject.known) is not None:
        drawn = np.random.default_rng(seed).permutation(len(known.index))
        some = np.array(lists.one_an_identity(drawn, known.labels)[:_MAPS])
        images, classes = known.store.images[known.index[some]], known.labels[some]
        maps = activation_maps(net, ready(images), classes)
        yield (
            "cam_training.png",
            activation.draw(images, maps, known.names, True, _trained_on(subject, known)),
        )


def _trained_on(subject: Subject, known: Known) -> str:
    return f"{subject.network}; images that it was trained on, of {len(known.names):,} identities"


def _features(subject: Subject, report: PhaseCallback) -> tuple[Tensor, Tensor]:
    settings = subject.trained.settings
    device = prepare_device(settings)
    net = subject.trained.net.to(device).to(memory_format=memory_format(settings))

    def of(store: ImageStore, phase: str) -> Tensor:
        images = DeviceImages(store.images, device, resident=False)  # each is needed once
        return extract_features(net, images, np.arange(len(images)), settings, partial(report, phase))

    return of(subject.query, "query features"), of(subject.gallery, "gallery features")


def _counted(report: PhaseCallback) -> Callable[[], None]:
    """Reports one more picture each time it is called."""
    done = 0

    def one_more() -> None:
        nonlocal done
        report("drawing", done, len(NAMES))
        done += 1

    return one_more


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
