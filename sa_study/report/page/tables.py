"""Rows of the page's tables, except that of the trials, whose columns are in `page.html.j2`."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sa_study.metrics import names
from sa_study.metrics.comparability import image_counts
from sa_study.report.page.page_study import PageStudy
from sa_study.report.terminal.study import stopping_text
from sa_study.report.terminal.tables import evaluation_table
from sa_study.report.terminal.text_table import TextTable
from sa_study.report.text import duration, percent, setting_text, short
from sa_study.report.verdict import why_no_test_gain
from sa_study.tuning.stopping.schedulers import rungs, rungs_of_trial
from sa_study.utils.program import usual_program


def trial_headings(study: PageStudy, metrics: Sequence[str]) -> list[str]:
    """Headings of the table of all trials; the table is sorted by the first of the metrics."""
    figures = [*metrics, *([study.config.minimize] if study.config.minimize else [])]
    cost = ["best epoch", "epochs run", "time", *(["GPU-hours"] if study.cost.gpu_seconds else [])]
    return ["trial", "state", *map(names.heading, figures), *study.params, *cost]


def rung_table(study: PageStudy) -> TextTable:
    """Each rung, how many trials were compared there, and how many were stopped at it."""
    scheduler = study.config.space.scheduler
    reached, stopped = Counter[float](), Counter[float]()
    for trial in study.trials:
        progress = trial.finite_curve[-1][0] if trial.finite_curve else 0.0
        passed = [share for share in rungs_of_trial(scheduler, trial.number) if progress >= share - 1e-9]
        reached.update(passed)
        if passed and trial.state == "PRUNED":
            stopped[passed[-1]] += 1
    rows = [
        (f"{share:.3g} %", str(reached[share]), str(stopped[share]), str(reached[share] - stopped[share]))
        for share in rungs(scheduler)
    ]
    headings = ("share of the schedule", "reached it", "stopped at it", "continued")
    return TextTable(f"Trials at each rung ({scheduler.name})", headings, rows)


def test_table(study: PageStudy) -> TextTable:
    """The test figures of the winner and the baseline; rows that cannot be compared name their images."""
    reason, evaluations = why_no_test_gain(study), {}
    for name, label in (("best", "winner"), ("baseline", "baseline")):
        if evaluation := study.evaluations.get(name):
            images = f" ({image_counts({name: evaluation})})" if reason else ""
            evaluations[label + images] = evaluation
    return evaluation_table(evaluations, one_line=True)


def cost_items(study: PageStudy) -> list[tuple[str, str]]:
    """Names and values of the study's cost."""
    cost = study.cost
    items = [
        ("GPU-hours", f"{cost.gpu_seconds / 3600:,.2f}" if cost.gpu_seconds else "0 (CPU only)"),
        ("training time", duration(cost.seconds)),
        ("epochs", f"{cost.epochs:,}"),
    ]
    begun = [trial.start.timestamp() for trial in study.trials if trial.start]
    ended = [trial.end.timestamp() for trial in study.trials if trial.end]
    if begun and ended:  # pauses included
        items.append(("from first start to last end", duration(max(ended) - min(begun))))
    if cost.training_share is not None:
        items.append(("share of the slots’ time spent training", f"{percent(cost.training_share)} %"))
    return items


def searched_table(study: PageStudy) -> TextTable:
    """Each searched setting, its range, the winner's value and the baseline's."""
    ranges = {name: parameter.describe() for name, parameter in study.config.space.search.items()}
    both = (study.winner, study.baseline)
    rows = [
        (
            short(name),
            short(ranges.get(name, "not in study.yaml")),
            *("–" if trial is None else short_setting(study.value(trial, name)) for trial in both),
        )
        for name in study.params
    ]
    headings = ("searched setting", "range", "winner", "baseline")
    return TextTable("Searched settings", headings, rows, words=(0, 1))


def fixed_rows(study: PageStudy) -> list[tuple[str, str]]:
    """Settings that all trials share."""
    fixed = study.config.space.fixed
    return [(short(name), short_setting(value)) for name, value in fixed.items() if name not in study.params]


def provenance_rows(study: PageStudy) -> list[tuple[str, str]]:
    """Names and values of the figures' provenance: code, data, versions, launches."""
    config, space = study.config, study.config.space
    maximised = names.heading(config.metric, names.VALIDATION)
    minimised = f", minimised {names.heading(config.minimize)}" if config.minimize else ""
    launches = [(f"launch {index}", _launch(one)) for index, one in enumerate(study.launches, start=1)]
    return [
        ("study", short(study.folder.root)),
        ("data set", short(config.data_dir)),
        ("training images (SHA-256)", study.fingerprint or "not recorded"),
        ("maximised", maximised + minimised),
        ("sampler", f"{short(space.sampler)}, seed {config.seed}"),
        ("early stopping", stopping_text(space.scheduler, space.scheduler.name)),
        ("trials’ files", short(config.storage_path or "in the study’s folder")),
        *launches,
    ]


def short_setting(value: Any) -> str:
    """A setting's value, not too long for a table."""
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


def commands(study: PageStudy) -> list[tuple[str, str]]:
    """Next commands to run, each with its purpose."""
    of_study = ("--study", study.folder.root)
    evaluate = ("evaluate", *of_study)
    train = ("train", "--config", study.folder.best_settings, "--data-dir", study.config.data_dir, "--out")
    found: list[tuple[object, ...]] = []
    if not study.driver and study.ended < study.config.goal:
        found.append(("Resume it where it stopped", "resume", *of_study))
    elif not study.driver:
        more = max(study.config.trials, 1) * 2
        found.append(("Double its number of trials", "resume", *of_study, "--trials", more))
    if study.winner is not None:
        retrain = "Train the chosen configuration on all identities and evaluate it once"
        reseed = "Train it with another seed, to see how much the score changes"
        found += [
            ("Check whether any leader is really better than the baseline", "confirm", *of_study),
            (retrain, *evaluate, "--retrain", "--seeds", 3, "--baseline"),
            ("Rerun the winner from its record and compare the figures", "reproduce", *of_study),
            ("Evaluate the winner and the baseline on the test set", *evaluate, "--rerank", "--baseline"),
            ("Train the winner once more, without Ray", *train, "runs/again"),
            (reseed, *train, "runs/seed1", "--set", "seed=1"),
            ("Make the pictures of the winner", "visualize", *of_study),
        ]
    found += [
        ("Check that database, results, curves and checkpoints agree", "audit", *of_study),
        ("Explore it in optuna-dashboard and TensorBoard", "dashboard", *of_study),
        ("Write this page again", "report", *of_study),
    ]
    return [(str(purpose), usual_command(*words)) for purpose, *words in found]


def usual_command(*words: object) -> str:
    """A command of this program as it is usually typed, safe to show."""
    return short(shlex.join(map(str, (*usual_program(), *words))), 2000)
