"""The commands that go on from a study, quoted for a shell."""

from __future__ import annotations

import shlex
from pathlib import Path

from sa_study.report.page.text import short
from sa_study.report.page.view import PageStudy


def commands(study: PageStudy) -> list[tuple[str, str]]:
    """What each command does, and the command."""
    root, data = study.folder.root, study.config.data_dir
    found = []
    if not study.driver and study.ended < study.config.goal:
        found.append(("Go on where it was stopped", _run("resume", "--study", root)))
    elif not study.driver:
        more = str(max(study.config.trials, 1) * 2)
        found.append(("Extend it by as many trials again", _run("resume", "--study", root, "--trials", more)))
    if study.winner is not None:
        best = root / "best.yaml"
        again = _run("train", "--config", best, "--data-dir", data, "--out", "runs/again")
        other = _run("train", "--config", best, "--data-dir", data, "--out", "runs/seed1", "--set", "seed=1")
        evaluate = _run("evaluate", "--study", root, "--rerank", "--baseline")
        final = _run("evaluate", "--study", root, "--retrain", "--seeds", "3", "--baseline")
        found += [
            ("Tell whether any leader is really better", _run("confirm", "--study", root)),
            ("Train the chosen one on all identities, and evaluate it once", final),
            ("Rerun the winner from its record: are the figures equal?", _run("reproduce", "--study", root)),
            ("Evaluate the winner and the baseline on the test set", evaluate),
            ("Train the winner once more, without Ray", again),
            ("Train it with another seed, to see how much that changes", other),
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
