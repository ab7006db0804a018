"""A study's page: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import errno
import functools
import gzip
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import jinja2
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from sa_study.metrics import names
from sa_study.metrics.comparability import image_counts
from sa_study.report.page import (
    plots_contour,
    plots_effects,
    plots_space,
    plots_trials,
    sentences,
    tables,
    trust_table,
)
from sa_study.report.page.album import Album, read_album
from sa_study.report.page.importance import MIN_TRIALS, Importance, importance, samples
from sa_study.report.page.page_study import PageStudy
from sa_study.report.page.plot_style import PALETTE, STATES
from sa_study.report.page.text import for_script, quoted, short
from sa_study.report.text import duration, percent
from sa_study.report.verdict import validation_lead, why_no_test_gain
from sa_study.utils.errors import StudyFolderError
from sa_study.utils.files import write_text

_HERE = Path(__file__).parent

_HEIGHT = 420

_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG}


@dataclass(frozen=True)
class WrittenPage:
    """A page that was written.

    Attributes:
        path: Its file.
        size: Bytes.
        verdict: What it says first.
    """

    path: Path
    size: int
    verdict: str


def write_page(root: Path, out: Path | None) -> WrittenPage:
    """Writes a study's page; a reader never meets half of one.

    Args:
        root: The study's folder.
        out: The file, or None for `report.html` in the folder.

    Raises:
        StudyFolderError: There is no study, it is damaged, or the page cannot be written there.
    """
    study = PageStudy.read(root)
    path = out if out is not None else root / "report.html"
    if path.is_dir():
        raise StudyFolderError(f"--out {path}: is a folder; give a file")
    if not path.parent.is_dir():
        raise StudyFolderError(f"--out {path}: there is no folder {path.parent}")
    text = render(study)
    try:
        write_text(path, text)
    except OSError as error:
        if error.errno not in _DENIED:
            raise
        raise StudyFolderError(
            f"{path}: cannot be written ({error.strerror}); give another file with --out"
        ) from None
    verdict = sentences.give_verdict(study)
    return WrittenPage(path, path.stat().st_size, short(f"{verdict.headline} {verdict.judgement}.", 1000))


@dataclass(frozen=True)
class Plot:
    """A figure in the page.

    Attributes:
        name: Identifies it.
        label: What it shows, for a screen reader.
        json: The figure for plotly, safe inside a `<script>` element; empty where there is none.
        height: Pixels, which are kept free before it is drawn.
        missing: What stands there instead.
    """

    name: str
    label: str
    json: str
    height: int
    missing: str


def render(study: PageStudy, album: Album | None = None) -> str:
    """The page as text.

    Args:
        study: What to show.
        album: Its pictures, those of its folder if not given.
    """
    album = album if album is not None else read_album(study.folder.root / "pictures")
    sampled, apart = samples(study), why_no_test_gain(study)
    found = [item for sample in sampled if (item := importance(study, sample))]
    template = _environment().get_template("page.html.j2")
    return template.render(
        study=study,
        root=short(study.folder.root),
        name=short(study.folder.root.name),
        # A script of ours carries this; whatever a study might smuggle in would not, and is not run.
        nonce=secrets.token_urlsafe(16),
        css=(_HERE / "page.css").read_text(encoding="utf-8"),
        js=(_HERE / "page.js").read_text(encoding="utf-8"),
        plotly=_packed_plotly(),
        palette=for_script(list(PALETTE.values())),
        verdict=sentences.give_verdict(study),
        standing=sentences.standing(study),
        written=datetime.fromtimestamp(study.read_at).astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        test_rows=tables.test_rows(study),
        test_current=study.evaluates_winner,
        ap_formula=sentences.AP_FORMULA,
        test_counts="" if apart else image_counts(study.evaluations),
        test_apart=apart,
        test_intervals=any(one.get("intervals") for one in study.evaluations.values()),
        lead=validation_lead(study),
        trust_rows=trust_table.trust_rows(study),
        score_interval=trust_table.score_interval,
        is_ablation=study.trust.ablation is not None,
        cost=tables.cost_items(study),
        plots={plot.name: plot for plot in draw_plots(study, found)},
        found=found,
        samples=sampled,
        min_trials=MIN_TRIALS,
        rungs=tables.rung_rows(study),
        contour=(plots_contour.contour_axes(study, found), plots_contour.contour_sample(study)),
        album=album,
        settings=tables.searched_rows(study),
        fixed=tables.fixed_rows(study),
        provenance=tables.provenance_rows(study),
        commands=tables.commands(study),
        states=STATES,
        ranked=tables.ranked_trials(study),
        heading=names.heading,
        test_figures=names.TEST_FIGURES,
        main_figures=names.STUDY_METRICS,
        metrics=list(dict.fromkeys([study.config.metric, *names.STUDY_METRICS])),
    )


def draw_plots(study: PageStudy, found: list[Importance]) -> list[Plot]:
    """All figures of the page, drawn or explained."""
    metric = names.heading(study.config.metric)
    early = "Nothing to draw yet: no trial has completed an epoch."
    plots: tuple[tuple[str, str, Callable[[], go.Figure | None], str], ...] = (
        ("history", "Score of every trial in order", lambda: plots_trials.history(study), early),
        ("curves", "Learning curves of all trials", lambda: plots_trials.curves(study), early),
        (
            "parallel",
            "Every trial as a line over its settings",
            lambda: plots_space.parallel(study),
            "Needs two trials with a score, and a searched setting.",
        ),
        (
            "importance",
            "Importance of each setting",
            lambda: plots_effects.importance_bars(found),
            f"Needs {MIN_TRIALS} comparable trials with different scores, and a searched setting.",
        ),
        ("slices", "Score by each setting", lambda: plots_space.slices(study), early),
        (
            "contour",
            "Score over two settings",
            lambda: plots_contour.contour(study, found),
            f"Needs two searched numbers and {MIN_TRIALS} comparable trials.",
        ),
        (
            "timeline",
            "Trials by slot and time",
            lambda: plots_trials.timeline(study),
            "No trial has started yet.",
        ),
        (
            "confirmation",
            "Differences to the baseline, retrained",
            lambda: plots_effects.forest_plot(study.trust.confirmation, "points over the baseline"),
            "Nothing to draw.",
        ),
        (
            "ablation",
            "What each change does",
            lambda: plots_effects.forest_plot(study.trust.ablation, f"points of {metric}"),
            "Nothing to draw.",
        ),
        ("front", "Both objectives of every complete trial", lambda: plots_trials.front(study), early),
    )
    return [_plot(name, label, draw(), missing) for name, label, draw, missing in plots]


def _plot(name: str, label: str, figure: go.Figure | None, missing: str) -> Plot:
    if figure is None:
        return Plot(name, label, "", 0, missing)
    figure.update_layout(template=go.layout.Template())
    height = int(figure.layout.height or _HEIGHT)
    return Plot(name, label, quoted(figure.to_json()), height, missing)


@functools.cache
def _packed_plotly() -> str:
    """plotly.js as base64 of gzip: a third of its size, unpacked once a figure is seen."""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "percent": percent,
        "duration": duration,
        "setting": tables.short_setting,
        "short": short,
    }
    environment.filters["json_text"] = json.dumps
    return environment
