"""A study's page: what `view` read, drawn by `figures`, in one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import functools
import gzip
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from sa_study.metrics import names
from sa_study.metrics.comparability import image_counts
from sa_study.report.page import (
    figures,
    figures_contour,
    figures_forest,
    figures_space,
    figures_time,
    trust_table,
    words,
)
from sa_study.report.page.commands import commands
from sa_study.report.page.importance import LEAST, Importance, importance, samples
from sa_study.report.page.palette import PALETTE, STATES
from sa_study.report.page.pictures import Album, read_album
from sa_study.report.page.rungs import stops
from sa_study.report.page.text import for_script, quoted, short
from sa_study.report.page.view import PageStudy
from sa_study.report.text import duration, percent, setting_text
from sa_study.report.verdict import validation_lead, why_no_test_gain
from sa_study.study.trial_summary import TrialSummary
from sa_study.tuning.stopping.schedulers import scheduler_spec

_HERE = Path(__file__).parent
_HEIGHT = 420


@dataclass(frozen=True)
class Chart:
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
    found = [item for sample in samples(study) if (item := importance(study, sample))]
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
        verdict=words.give_verdict(study),
        standing=words.standing(study),
        written=datetime.fromtimestamp(study.read_at).astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        test_rows=words.test_rows(study),
        test_current=study.evaluates_winner,
        ap_formula=words.AP_FORMULA,
        test_counts="" if why_no_test_gain(study) else image_counts(study.evaluations),
        test_apart=why_no_test_gain(study),
        test_intervals=any(one.get("intervals") for one in study.evaluations.values()),
        lead=validation_lead(study),
        worth=trust_table.trust_rows(study),
        score_interval=trust_table.score_interval,
        is_ablation=study.trust.ablation is not None,
        cost=words.cost_items(study),
        charts={chart.name: chart for chart in charts(study, found)},
        found=found,
        samples=samples(study),
        least=LEAST,
        stops=stops(study),
        contour=(figures_contour.contour_axes(study, found), figures_contour.contour_sample(study)),
        album=album,
        settings=searched_rows(study),
        fixed=fixed_rows(study),
        provenance=provenance_rows(study),
        commands=commands(study),
        states=STATES,
        rank=_rank(study),
        heading=names.heading,
        test_figures=names.TEST_FIGURES,
        main_figures=names.STUDY_METRICS,
        metrics=list(dict.fromkeys([study.config.metric, *names.STUDY_METRICS])),
    )


def charts(study: PageStudy, found: list[Importance]) -> list[Chart]:
    """All figures of the page, drawn or explained."""
    metric = names.heading(study.config.metric)
    early = "Nothing to draw yet: no trial has an epoch behind it."
    made: tuple[tuple[str, str, Callable[[], go.Figure | None], str], ...] = (
        ("history", "Score of every trial in order", lambda: figures.history(study), early),
        ("curves", "Learning curves of all trials", lambda: figures.curves(study), early),
        (
            "parallel",
            "Every trial as a line over its settings",
            lambda: figures_space.parallel(study),
            "Needs two trials with a score, and something that is searched.",
        ),
        (
            "importance",
            "Importance of each setting",
            lambda: figures_space.importance_bars(found),
            f"Not computed: that takes {LEAST} comparable trials that differ, and a searched setting.",
        ),
        ("slices", "Score by each setting", lambda: figures_space.slices(study), early),
        (
            "contour",
            "Score over two settings",
            lambda: figures_contour.contour(study, found),
            f"Needs two searched numbers and {LEAST} comparable trials.",
        ),
        (
            "timeline",
            "Trials by slot and time",
            lambda: figures_time.timeline(study),
            "No trial has begun yet.",
        ),
        (
            "confirmation",
            "Differences to the baseline, retrained",
            lambda: figures_forest.forest(study.trust.confirmation, "points over the baseline"),
            "Nothing to draw.",
        ),
        (
            "ablation",
            "What each change does",
            lambda: figures_forest.forest(study.trust.ablation, f"points of {metric}"),
            "Nothing to draw.",
        ),
        ("front", "Both objectives of every complete trial", lambda: figures.front(study), early),
    )
    return [_chart(name, label, draw(), missing) for name, label, draw, missing in made]


def _chart(name: str, label: str, figure: go.Figure | None, missing: str) -> Chart:
    if figure is None:
        return Chart(name, label, "", 0, missing)
    figure.update_layout(template=go.layout.Template())
    height = int(figure.layout.height or _HEIGHT)
    return Chart(name, label, quoted(figure.to_json()), height, missing)


def searched_rows(study: PageStudy) -> list[tuple[str, str, str, str]]:
    """Name of each searched setting, its range, the winner's value and the baseline's."""
    search, best, base = study.config.space.search, study.winner, study.baseline

    def of(trial: TrialSummary | None, name: str) -> str:
        return "–" if trial is None else _setting(study.value(trial, name))

    ranges = {name: parameter.describe() for name, parameter in search.items()}
    return [
        (short(name), short(ranges.get(name, "not in study.yaml")), of(best, name), of(base, name))
        for name in study.params
    ]


def fixed_rows(study: PageStudy) -> list[tuple[str, str]]:
    """Settings that all trials share."""
    fixed = study.config.space.fixed
    return [(short(name), _setting(value)) for name, value in fixed.items() if name not in study.params]


def provenance_rows(study: PageStudy) -> list[tuple[str, str]]:
    """Where the figures come from."""
    config, space = study.config, study.config.space
    rule = space.scheduler
    stopping = rule.name
    if rule.name != "none":
        stopping += f", first looks at {rule.grace_period:g} % of the schedule"
    if scheduler_spec(rule).rule == "halving":
        stopping += f", one trial in {rule.reduction_factor:g} goes on"
    rows = [
        ("study", short(study.folder.root)),
        ("data set", short(config.data_dir)),
        ("training images (SHA-256)", study.fingerprint or "not recorded"),
        (
            "maximised",
            names.heading(config.metric, names.VALIDATION)
            + (f", minimised {names.heading(config.minimize)}" if config.minimize else ""),
        ),
        ("sampler", f"{short(space.sampler)}, seed {config.seed}"),
        ("early stopping", stopping),
        ("trials’ files", short(config.storage_path or "in the study’s folder")),
    ]
    for index, launch in enumerate(study.launches, start=1):
        rows.append((f"launch {index}", _launch(launch)))
    return rows


def _setting(value: Any) -> str:
    return short(setting_text(value))


def _launch(launch: Mapping[str, Any]) -> str:
    parts = [short(launch.get("time", "")), short(launch.get("command", ""))]
    git = launch.get("git")
    if isinstance(git, dict):
        changed = " (changed)" if git.get("dirty") else ""
        parts.append(f"commit {short(git.get('commit', ''), 12)}{changed}")
    packages = launch.get("packages")
    if isinstance(packages, dict):
        named = [f"{short(name, 40)} {short(version, 40)}" for name, version in packages.items()]
        parts.append(f"Python {short(launch.get('python', '?'), 40)}, {', '.join(named)}")
    hardware = launch.get("hardware")
    if isinstance(hardware, dict):
        gpus = hardware.get("gpus")
        cards = ", ".join(short(gpu, 80) for gpu in gpus) if isinstance(gpus, list) and gpus else "no GPU"
        parts.append(
            f"{short(hardware.get('platform', ''), 120)}, {short(hardware.get('cpus'), 12)} CPUs, {cards}"
        )
    return " · ".join(part for part in parts if part)


def _rank(study: PageStudy) -> list[TrialSummary]:
    """Trials as the leaderboard begins: complete ones by score, then the others by score."""
    return sorted(
        study.trials,
        key=lambda trial: (not trial.complete, trial.score is None, -(trial.score or 0.0), trial.number),
    )


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
    environment.filters |= {"percent": percent, "duration": duration, "setting": _setting, "short": short}
    environment.filters["json_text"] = json.dumps
    return environment
