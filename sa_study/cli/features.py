"""`features`: the features of any images, and the nearest images of some."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sa_study.cli.options import (
    Set,
    StudyUnlessWeights,
    Weights,
    given_options,
    path_option,
    require_one_network,
)
from sa_study.utils.errors import ConfigError

if TYPE_CHECKING:
    from sa_study.training.extractor import FeatureExtractor

_IMAGES = "a folder, or a CSV file with a column 'path'"
_MAX_TOP = 10_000
_MAX_SKIPPED_LISTED = 5


def features(
    context: typer.Context,
    images: Annotated[Path, path_option(help=f"The images: {_IMAGES}.")],
    out: Annotated[Path, path_option(help="Folder to write features.npy and features.csv into.")],
    study: StudyUnlessWeights = None,
    weights: Weights = None,
    query: Annotated[
        Path | None,
        path_option(help=f"Find the nearest of the images to each of these: {_IMAGES}. Writes matches.csv."),
    ] = None,
    top: Annotated[
        int, typer.Option(help="With --query: how many images for each.", min=1, max=_MAX_TOP)
    ] = 10,
    overrides: Set = None,
) -> None:
    """Compute the features of any images by a study's best network, or by a weights file.

    Images that cannot be read are skipped, and the list says why. Stopped, the same command goes on.
    """
    from sa_study.analysis.features import ABOUT, FEATURES, ROWS, write_features
    from sa_study.analysis.matches import MATCHES, write_matches
    from sa_study.data.image_list import list_images
    from sa_study.report.pictures.matches import PICTURE, write_picture
    from sa_study.report.terminal.console import make_console, phases, say
    from sa_study.utils.text import plural

    if query is None and "top" in given_options(context):
        raise ConfigError("--top: needs --query, whose matches it counts")
    extractor = _extractor(require_one_network(context, study, weights), weights, overrides)
    paths = list_images(images)
    queries = list_images(query) if query else []
    console, skipped = make_console(), list[str]()
    with phases(console) as report:
        written = write_features(extractor, paths, out, report)
        skipped += [f"row {row}: {error}" for row, error in written.errors.items()]
        if queries:
            first, errors = write_matches(extractor, queries, written, top, out, report)
            skipped += [f"query: {error}" for error in errors.values()]
            write_picture(first, written.paths, len(queries), str(extractor.trained.source), out)
    if written.resumed:
        say(console, f"{plural(written.resumed, 'image')} done before")
    for line in skipped[:_MAX_SKIPPED_LISTED]:
        say(console, f"skipped: {line}", "yellow")
    said = f"{plural(len(paths), 'image')}, {written.features.shape[1]:,} features each"
    say(console, f"{said}, {len(written.errors):,} skipped" if written.errors else said)
    for name in (FEATURES, ROWS, ABOUT, *([MATCHES, PICTURE] if queries else [])):
        say(console, f"written: {out / name}")


def _extractor(study: Path | None, weights: Path | None, overrides: list[str] | None) -> FeatureExtractor:
    from sa_study.settings.yaml_files import parse_assignments
    from sa_study.study.summary import StudySummary
    from sa_study.study.winner import winners_network
    from sa_study.training.evaluate import load_network
    from sa_study.training.extractor import FeatureExtractor

    values = parse_assignments(overrides or [])
    if study is not None:
        if values:
            raise ConfigError("features --study: takes no --set; the settings are the best trial's")
        return FeatureExtractor(winners_network(StudySummary.read(study)))
    assert weights is not None
    return FeatureExtractor(load_network(weights, values))
