"""A study's page, and the page of several: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import errno
import functools
import gzip
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from sa_study.analysis.search_model import MIN_TRIALS as MIN_MODEL_TRIALS
from sa_study.analysis.search_model import search_model
from sa_study.metrics import names
from sa_study.metrics.protocol import PROTOCOL, protocol_notes
from sa_study.report.page import comparison_sentences, comparison_tables, sentences, tables
from sa_study.report.page.album import read_album
from sa_study.report.page.comparison import Comparison
from sa_study.report.page.importance import MIN_TRIALS, importance, samples
from sa_study.report.page.page_study import PageStudy
from sa_study.report.page.plot_style import PALETTE, study_colours
from sa_study.report.page.plots_effects import forest_plot, importance_bars
from sa_study.report.page.plots_space import parallel, slices, surface_axes, surfaces
from sa_study.report.page.plots_trials import best_so_far, curves, front, history, timeline
from sa_study.report.terminal.study_panel import ranked
from sa_study.report.text import STATES, duration, percent, short
from sa_study.report.verdict import validation_lead, why_no_test_gain
from sa_study.utils.errors import StudyFolderError
from sa_study.utils.files import write_text

_HERE = Path(__file__).parent

_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG}


def write_page(root: Path, out: Path | None) -> tuple[Path, str]:
    """Writes the page of the study in a folder, by default as its `report.html`; never half of one.

    Returns:
        The file, and what the page says first.

    Raises:
        StudyFolderError: There is no study, it is damaged, or the page cannot be written there.
    """
    study = PageStudy.read(root)
    path = out if out is not None else root / "report.html"
    return _write(path, lambda: render(study), sentences.study_verdict(study))


def write_comparison(roots: Sequence[Path], out: Path | None) -> tuple[Path, str]:
    """As `write_page` the page that compares several studies, by default `comparison.html` in this folder.

    Raises:
        StudyFolderError: As `Comparison.read`, or the page cannot be written there.
    """
    comparison = Comparison.read(roots)
    path = out if out is not None else Path("comparison.html")
    verdict = comparison_sentences.comparison_verdict(comparison)
    return _write(path, lambda: render_comparison(comparison), verdict)


def _write(path: Path, render: Callable[[], str], verdict: sentences.Verdict) -> tuple[Path, str]:
    """Writes a page, once it is known that it can be written there and replaces nothing but a page."""
    if path.is_dir():
        raise StudyFolderError(f"--out {path}: is a folder; give a file")
    if not path.parent.is_dir():
        raise StudyFolderError(f"--out {path}: there is no folder {path.parent}")
    if path.is_file() and not path.is_symlink() and not _is_page(path):
        raise StudyFolderError(f"--out {path}: is there already, and no HTML page; give another file")
    try:
        write_text(path, render())
    except OSError as error:
        if error.errno not in _DENIED:
            raise
        raise StudyFolderError(
            f"{path}: cannot be written ({error.strerror}); give another file with --out"
        ) from None
    return path, short(f"{verdict.headline} {verdict.judgement}.", 1000)


def _is_page(path: Path) -> bool:
    """Whether a file is empty, or an HTML page."""
    with path.open("rb") as file:
        start = file.read(256)
    return not start or b"<!doctype html" in start.lower()


def render(study: PageStudy) -> str:
    """The page as text."""
    sampled = samples(study)
    found = [item for sample in sampled if (item := importance(study, sample))]
    model, axes = search_model(study), surface_axes(study, found)
    surface, uncertainty = surfaces(study, model, axes)
    confirmation, ablation = study.trust.confirmation, study.trust.ablation
    metric = names.heading(study.config.metric)
    figures = {  # None where there is nothing to draw
        "history": history(study),
        "curves": curves(study),
        "parallel": parallel(study),
        "importance": importance_bars(found),
        "slices": slices(study),
        "surface": surface,
        "uncertainty": uncertainty,
        "timeline": timeline(study),
        "confirmation": confirmation and forest_plot(confirmation.differences, "points over the baseline"),
        "ablation": ablation and forest_plot(ablation.differences, f"points of {metric}"),
        "front": front(study),
    }
    return _fill(
        "page.html.j2",
        study.read_at,
        study=study,
        states=STATES,
        album=read_album(study.folder.root / "pictures"),
        figures=figures,
        found=found,
        samples=sampled,
        min_trials=MIN_TRIALS,
        axes=axes,
        model=model,
        min_model_trials=MIN_MODEL_TRIALS,
        protocol_notes=protocol_notes({PROTOCOL: study.protocol}),
        ranked=ranked,
        sentences=sentences,
        tables=tables,
        why_no_test_gain=why_no_test_gain(study),
        lead=validation_lead(study),
    )


def render_comparison(comparison: Comparison) -> str:
    """The page of several studies as text."""
    studies = comparison.studies
    return _fill(
        "comparison.html.j2",
        max(study.read_at for study in studies.values()),
        comparison=comparison,
        colours_of={name: study_colours(index) for index, name in enumerate(studies)},
        notices=[f"{short(name)}: {line}" for name, study in studies.items() for line in study.notices],
        figures=_comparison_figures(comparison),
        test_lines=comparison_sentences.test_lines(comparison),
        sentences=comparison_sentences,
        tables=comparison_tables,
        run_state=sentences.run_state,
        provenance_rows=tables.provenance_rows,
    )


def _fill(template: str, read_at: float, **values: Any) -> str:
    """Fills a template in; `read_at` is when the studies were read, in seconds since 1970."""
    return (
        _environment()
        .get_template(template)
        .render(
            # A script of ours carries this; whatever a study might smuggle in would not, and is not run.
            nonce=secrets.token_urlsafe(16),
            plotly=_packed_plotly(),
            palette=list(PALETTE.values()),
            written=datetime.fromtimestamp(read_at).astimezone().strftime("%Y-%m-%d %H:%M %Z"),
            names=names,
            **values,
        )
    )


def _comparison_figures(comparison: Comparison) -> dict[str, go.Figure | None]:
    """The figures of a page of several studies by name, with the number of the group."""
    found = {}
    for index, group in enumerate(comparison.groups, start=1):
        for name, cost in (("epochs", "epochs"), ("gpu", "GPU-hours"), ("cpu", "CPU-hours")):
            found[f"{name}{index}"] = best_so_far(comparison, group.studies, cost)
    for index, group in enumerate(comparison.test_groups, start=1):
        differences = comparison_tables.test_differences(comparison, group)
        found[f"test{index}"] = forest_plot(differences, f"points of {names.heading(names.MAP, names.TEST)}")
    return found


def _figure_json(figure: go.Figure) -> str:
    """A figure for plotly, safe inside a `<script>` element."""
    return quoted(figure.update_layout(template=go.layout.Template()).to_json())


def quoted(text: str) -> str:
    """JSON text with the characters escaped that mean something in HTML."""
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


@functools.cache
def _packed_plotly() -> str:
    """plotly.js as base64 of gzip: a third of its size, unpacked once a figure is seen."""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "figure_json": _figure_json,
        "heading": names.heading,
        "percent": percent,
        "duration": duration,
        "setting": tables.short_setting,
        "short": short,
    }
    return environment
