"""Rows of the page's tables: trials, rungs, settings, test figures, cost, provenance and commands."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sa_study.metrics import names
from sa_study.metrics.comparability import image_counts
from sa_study.report.page.page_study import PageStudy
from sa_study.report.page.text import short
from sa_study.report.text import duration, interval, percent, setting_text
from sa_study.report.verdict import why_no_test_gain
from sa_study.study.trial_summary import TrialSummary
from sa_study.tuning.stopping.schedulers import rungs, rungs_of_trial, scheduler_spec


def ranked_trials(study: PageStudy) -> list[TrialSummary]:
    """Trials as the leaderboard begins: complete ones by score, then the others by score."""
    return sorted(
        study.trials,
        key=lambda trial: (not trial.complete, trial.score is None, -(trial.score or 0.0), trial.number),
    )


def rung_rows(study: PageStudy) -> list[dict[str, Any]]:
    """For each rung how many trials were compared there, and how many were stopped at it."""
    scheduler = study.config.space.scheduler
    found = {share: {"share": share, "reached": 0, "stopped": 0} for share in rungs(scheduler)}
    for trial in study.trials:
        progress = trial.finite_curve[-1][0] if trial.finite_curve else 0.0
        reached = [share for share in rungs_of_trial(scheduler, trial.number) if progress >= share - 1e-9]
        for share in reached:
            found[share]["reached"] += 1
        if reached and trial.state == "PRUNED":
            found[reached[-1]]["stopped"] += 1
    return list(found.values())


def test_rows(study: PageStudy) -> list[tuple[str, dict[str, str]]]:
    """Rows of the test figures by name, in per cent; re-ranked ones behind.

    Rows that cannot be compared name the images that each is of.
    """
    rows, apart = [], why_no_test_gain(study)
    for name, label in (("best", "winner"), ("baseline", "baseline")):
        evaluation = study.evaluations.get(name)
        if evaluation is None:
            continue
        label += f" ({short(image_counts({name: evaluation}))})" if apart else ""
        rows.append((label, _rates(evaluation)))
        if again := evaluation.get("reranked"):
            rows.append((f"{label}, {names.RERANKED}", _rates(again)))
    return rows


def _rates(evaluation: Mapping[str, Any]) -> dict[str, str]:
    ends = evaluation.get("intervals") or {}
    return {
        figure: percent(evaluation.get(figure)) + (f" ({interval(*ends[figure])})" if figure in ends else "")
        for figure in names.TEST_FIGURES
    }


def cost_items(study: PageStudy) -> list[tuple[str, str]]:
    """Names and values of the study's cost."""
    cost = study.cost
    items = [("training time", duration(cost.seconds)), ("epochs", f"{cost.epochs:,}")]
    hours = f"{cost.gpu_seconds / 3600:,.2f}" if cost.gpu_seconds else "0 (CPU only)"
    items.insert(0, ("GPU-hours", hours))
    if (span := wall_clock(study)) is not None:
        items.append(("from first start to last end", duration(span)))
    if cost.training_share is not None:
        items.append(("share of the slots’ time spent training", f"{percent(cost.training_share)} %"))
    return items


def wall_clock(study: PageStudy) -> float | None:
    """Seconds from the first trial's begin to the last one's end, pauses included; None before the first."""
    begun = [trial.start.timestamp() for trial in study.trials if trial.start]
    ended = [trial.end.timestamp() for trial in study.trials if trial.end]
    return max(ended) - min(begun) if begun and ended else None


def searched_rows(study: PageStudy) -> list[tuple[str, str, str, str]]:
    """Name of each searched setting, its range, the winner's value and the baseline's."""
    search, best, base = study.config.space.search, study.winner, study.baseline

    def of(trial: TrialSummary | None, name: str) -> str:
        return "–" if trial is None else short_setting(study.value(trial, name))

    ranges = {name: parameter.describe() for name, parameter in search.items()}
    return [
        (short(name), short(ranges.get(name, "not in study.yaml")), of(best, name), of(base, name))
        for name in study.params
    ]


def fixed_rows(study: PageStudy) -> list[tuple[str, str]]:
    """Settings that all trials share."""
    fixed = study.config.space.fixed
    return [(short(name), short_setting(value)) for name, value in fixed.items() if name not in study.params]


def provenance_rows(study: PageStudy) -> list[tuple[str, str]]:
    """Names and values of the figures' provenance: code, data, versions, launches."""
    config, space = study.config, study.config.space
    rule = space.scheduler
    stopping = rule.name
    if rule.name != "none":
        stopping += f", first compares trials at {rule.grace_period:g} % of the schedule"
    if scheduler_spec(rule).rule == "halving":
        stopping += f", one trial in {rule.reduction_factor:g} is kept"
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
    root, data = study.folder.root, study.config.data_dir
    found = []
    if not study.driver and study.ended < study.config.goal:
        found.append(("Resume it where it stopped", _run("resume", "--study", root)))
    elif not study.driver:
        more = str(max(study.config.trials, 1) * 2)
        found.append(("Double its number of trials", _run("resume", "--study", root, "--trials", more)))
    if study.winner is not None:
        best = root / "best.yaml"
        again = _run("train", "--config", best, "--data-dir", data, "--out", "runs/again")
        other = _run("train", "--config", best, "--data-dir", data, "--out", "runs/seed1", "--set", "seed=1")
        evaluate = _run("evaluate", "--study", root, "--rerank", "--baseline")
        final = _run("evaluate", "--study", root, "--retrain", "--seeds", "3", "--baseline")
        found += [
            ("Check whether any leader is really better than the baseline", _run("confirm", "--study", root)),
            ("Train the chosen configuration on all identities and evaluate it once", final),
            ("Rerun the winner from its record and compare the figures", _run("reproduce", "--study", root)),
            ("Evaluate the winner and the baseline on the test set", evaluate),
            ("Train the winner once more, without Ray", again),
            ("Train it with another seed, to see how much the score changes", other),
            ("Make the pictures of the winner", _run("visualize", "--study", root)),
        ]
    found += [
        ("Check that database, results, curves and checkpoints agree", _run("audit", "--study", root)),
        ("Explore it in optuna-dashboard and TensorBoard", _run("dashboard", "--study", root)),
        ("Write this page again", _run("report", "--study", root)),
    ]
    return found


def _run(*words: str | Path) -> str:
    return short("python run_study.py " + shlex.join(map(str, words)), 2000)
