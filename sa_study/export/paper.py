"""What a paper says of a study, as plain text; the templates make Markdown and LaTeX of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sa_study.export.documents import bibtex, render
from sa_study.metrics import names
from sa_study.metrics.comparability import image_counts
from sa_study.metrics.protocol import PROTOCOL, protocol_note, protocol_notes
from sa_study.report.terminal.study import cost_line, stopping_text
from sa_study.report.text import STATES, percent, setting_text
from sa_study.report.verdict import why_no_test_gain
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import TrialSummary
from sa_study.tuning.search.samplers import sampler_spec
from sa_study.tuning.stopping.schedulers import scheduler_spec

_COLUMNS = {
    names.VALIDATION: (names.RANK1, names.MAP),
    names.TEST: (names.RANK1, names.MAP, names.MAP_TRAPEZOID),
    names.RERANKED: (names.RANK1, names.MAP),
}
"""Figures in the results table by group."""

_MARKET_QUERIES = 3368


def write_paper(study: StudySummary, folder: Path) -> None:
    """Writes the tables of a paper on a study and its citations into a new folder."""
    paper = describe(study)
    folder.mkdir()
    for name in ("table.md", "table.tex"):  # with Pandoc's citations; needs booktabs
        (folder / name).write_text(render(f"{name}.j2", **paper), encoding="utf-8")
    (folder / "references.bib").write_text(paper["references"], encoding="utf-8")


def describe(study: StudySummary) -> dict[str, Any]:
    """What there is to say of a study, as text that is not yet escaped, for the templates.

    Returns:
        name: The study's name.
        groups: Columns of figures by group: the group's title and the figures' headings.
        headings: Headings of the results, each with its group.
        results: Rows of a label and a cell for each figure, in per cent; differences in points.
        difference: Whether the last row is a difference.
        notes: Sentences below the table.
        settings: Rows of a searched setting, what is searched, the winner's value and the baseline's.
        about: What the study was and cost: a name and a text.
        cited: What was used and its key in `references.bib`.
        references: BibTeX of these.
    """
    kinds = [names.VALIDATION]
    kinds += [names.TEST] if study.current_evaluations else []
    kinds += [names.RERANKED] if any(test["reranked"] for test in study.current_evaluations.values()) else []
    columns = [(kind, name) for kind in kinds for name in _COLUMNS[kind]]
    best, baseline = (
        [_figure(study, row, trial, kind, name) for kind, name in columns]
        for row, trial in (("best", study.winner), ("baseline", study.baseline))
    )
    results = [[_label("best", study.winner), *map(percent, best)]]
    compared = study.winner is not study.baseline
    if compared:
        results.append([_label("baseline", study.baseline), *map(percent, baseline)])
        not_subtracted = {names.VALIDATION: _why_no_validation_difference(study)}
        stated = [not not_subtracted.get(kind, _why_no_test_difference(study)) for kind, _ in columns]
        results.append(["difference", *map(_difference, best, baseline, stated)])
    titles = {names.RERANKED: f"{names.TEST}, {names.RERANKED}"}
    groups = [(titles.get(kind, kind), list(map(names.heading, _COLUMNS[kind]))) for kind in kinds]
    cited = _cited(study)
    return {
        "name": study.folder.root.name,
        "groups": groups,
        "headings": ["", *(f"{group}: {figure}" for group, figures in groups for figure in figures)],
        "results": results,
        "difference": compared,
        "notes": _notes(study),
        "settings": _settings(study),
        "about": _about(study),
        "cited": cited,
        "references": bibtex(key for _, key in cited),
    }


def _figure(study: StudySummary, row: str, trial: TrialSummary | None, kind: str, name: str) -> float | None:
    """A figure of the winner or the baseline; None where there is none yet."""
    if kind == names.VALIDATION:
        return trial.record.best.get(name) if trial else None
    evaluation: Mapping[str, Any] = study.current_evaluations.get(row, {})
    figures = evaluation.get("reranked") if kind == names.RERANKED else evaluation
    return figures[name] if figures else None


def _difference(one: float | None, other: float | None, stated: bool) -> str:
    return "–" if one is None or other is None or not stated else f"{100 * (one - other):+.1f}"


def _label(name: str, trial: TrialSummary | None) -> str:
    if trial is None:
        return f"{name}: none yet"
    unfinished = "" if trial.complete else f", {trial.state}"
    won = "best = baseline" if name == "best" and trial.baseline else name
    return f"{won} (trial {trial.number}{unfinished})"


def _notes(study: StudySummary) -> list[str]:
    """Caveats that a reader of the figures must know."""
    complete = sum(trial.complete for trial in study.trials)
    notes = ["All figures in per cent, of each trial's best epoch; differences in points, before rounding."]
    defined = (
        "mAP is the mean over queries of the mean over a query's matches of k / (position of the k-th "
        "match), as scikit-learn computes average precision"
    )
    if study.current_evaluations:
        trapezoid = names.heading(names.MAP_TRAPEZOID)
        defined += f"; {trapezoid} follows the data set's own script, which takes the trapezoid rule"
    notes += [f"{defined}.", *protocol_notes({PROTOCOL: study.protocol})]
    if study.winner is None:
        notes.append("No trial is complete yet.")
    elif complete > 1:
        notes.append(
            f"The best was chosen by {names.heading(study.config.metric, names.VALIDATION)} among {complete} "
            "complete trials, so its validation figures are optimistic."
        )
    for where, reason in (
        ("validation", _why_no_validation_difference(study)),
        ("test", _why_no_test_difference(study)),
    ):
        if reason:
            notes.append(f"No difference of {where} figures is stated: {reason}.")
    if "best" in study.current_evaluations:
        notes.append(
            f"Test set: {image_counts(study.current_evaluations)}; it played no part in the choice. "
            f"{study.ledger.sentence}"
        )
    elif study.winner:
        notes.append("The best was not evaluated on the test set.")
    notes += [
        f"{path.name} is of an earlier winner, so it is left out; run 'evaluate' again."
        for name, path in study.folder.evaluation_files.items()
        if name in study.evaluations and name not in study.current_evaluations
    ]
    return notes


def _why_no_validation_difference(study: StudySummary) -> str:
    """Why the validation figures must not be subtracted; empty where they may."""
    if study.winner is None or study.baseline is None or study.same_identities(study.winner, study.baseline):
        return ""
    return "they are of different held-out identities"


def _why_no_test_difference(study: StudySummary) -> str:
    """Why the test figures must not be subtracted; empty where they may, or where there are not two."""
    return why_no_test_gain(study) if len(study.current_evaluations) > 1 else ""


def _settings(study: StudySummary) -> list[tuple[str, str, str, str]]:
    def value(trial: TrialSummary | None, name: str) -> str:
        return setting_text(trial.params[name]) if trial and name in trial.params else "–"

    return [
        (name, parameter.describe(), value(study.winner, name), value(study.baseline, name))
        for name, parameter in study.config.space.search.items()
    ]


def _about(study: StudySummary) -> list[tuple[str, str]]:
    config, space = study.config, study.config.space
    fixed = space.settings({})
    fold = f", fold {fixed.fold}" if fixed.fold else ""
    stopping = stopping_text(space.scheduler, scheduler_spec(space.scheduler).title)
    second = f"; {config.minimize}, minimised" if config.minimize else ""
    launch = _mapping(study.provenance["launches"][-1]) if study.provenance["launches"] else {}
    states = ", ".join(f"{count} {STATES[state]}" for state, count in study.states.items())
    objective = f"{names.heading(config.metric, names.VALIDATION)} of the best epoch, maximised{second}"
    matches = "one query an identity and camera, matches across cameras"
    if note := protocol_note(study.protocol):
        matches = f"every image a query; {note}"
    validation = (
        f"{fixed.val_identities} training identities (at most 20 %) held out, seed {fixed.split_seed}{fold}; "
        f"{matches}"
    )
    return [
        ("trials", f"{len(study.trials)} of {config.goal}" + (f": {states}" if states else "")),
        ("objective", objective),
        ("validation", validation),
        ("sampler", f"{sampler_spec(space.sampler).title}, seed {config.seed}; trial 0 is the baseline"),
        ("early stopping", stopping),
        ("cost", cost_line(study)),
        ("hardware", _hardware(launch)),
        ("software", _software(launch)),
        ("training images", f"SHA-256 {study.provenance['data_fingerprint'][:16]}…"),
    ]


def _mapping(value: Any) -> Mapping[str, Any]:
    """A provenance file may have been written by hand."""
    return value if isinstance(value, Mapping) else {}


def _hardware(launch: Mapping[str, Any]) -> str:
    hardware = _mapping(launch.get("hardware"))
    found = hardware.get("gpus")
    gpus = list(map(str, found)) if isinstance(found, list) else []
    cores = f"{hardware.get('cpus', '?')} CPU cores"
    return f"{len(gpus)} × {gpus[0]}, {cores}" if gpus else cores


def _software(launch: Mapping[str, Any]) -> str:
    packages = _mapping(launch.get("packages"))
    parts = [f"{name} {packages[name]}" for name in ("torch", "ray", "optuna") if name in packages]
    if git := _mapping(launch.get("git")):
        parts.append(f"sa-study at commit {str(git.get('commit'))[:10]}")
    return ", ".join(parts) or "not known"


_CITED_SETTINGS = (
    ("random_erasing", "", "random erasing", "zhong2020random"),
    ("optimizer", "adam", "Adam", "kingma2015adam"),
    ("optimizer", "adamw", "AdamW", "loshchilov2019decoupled"),
    ("schedule", "cosine", "the cosine schedule", "loshchilov2017sgdr"),
    ("label_smoothing", "", "label smoothing", "szegedy2016rethinking"),
    ("triplet_weight", "", "the triplet loss", "hermans2017defense"),
    ("bn_neck", "", "the neck", "luo2019bag"),
)
"""Settings whose value, or any that is not off, calls for a citation: title and key."""


def _cited(study: StudySummary) -> list[tuple[str, str]]:
    """Methods and data that the study used, each with the key of its citation."""
    config, space = study.config, study.config.space
    market = "market-1501" in str(config.data_dir).lower() or any(
        test["queries"] == _MARKET_QUERIES for test in study.current_evaluations.values()
    )
    sampler, scheduler = sampler_spec(space.sampler), scheduler_spec(space.scheduler)
    reranked = any(test["reranked"] for test in study.current_evaluations.values())
    used = [
        (True, ("the network", "wang2018parameter")),
        (True, ("its backbone", "he2016deep")),
        (market, ("Market-1501", "zheng2015scalable")),
        (True, ("Optuna", "akiba2019optuna")),
        (sampler.citation, (sampler.title, sampler.citation)),
        (True, ("Ray Tune", "liaw2018tune")),
        (scheduler.citation, (scheduler.title, scheduler.citation)),
        (reranked, ("re-ranking", "zhong2017reranking")),
        *(
            (value in space.possible(name) if value else any(space.possible(name)), (title, key))
            for name, value, title, key in _CITED_SETTINGS
        ),
    ]
    return [entry for was_used, entry in used if was_used]
