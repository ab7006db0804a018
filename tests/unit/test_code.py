"""The code's own rules: ruff, strict mypy, and which layer may import what."""

from __future__ import annotations

import subprocess
import sys

import pytest
from checkout import ROOT


@pytest.mark.parametrize(
    "check", [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]], ids=" ".join
)
def test_checkers_pass(check: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *check], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


BARE = ["config", "checkpoint", "engine", "features", "evaluation", "score", "data.sample"] + [
    f"{path.parent.name}.{path.stem}"
    for package in ("data", "metrics", "model")
    for path in (ROOT / "sa_study" / package).glob("[!_]*.py")
]


@pytest.mark.parametrize(
    ("modules", "banned"),
    [
        (["sa_study", "sa_study.cli"], ["torch", "ray", "optuna", "numpy", "torchvision", "PIL", "yaml"]),
        (["sa_study", "sa_study.cli"], ["plotly", "jinja2", "optuna_dashboard", "matplotlib"]),
        (
            ["sa_study.report.page.view", "sa_study.report.page.words", "sa_study.report.page.importance"],
            ["torch", "ray", "torchvision", "plotly", "jinja2"],
        ),
        (["sa_study.report.page.write", "sa_study.report.dashboard"], ["torch", "ray", "torchvision"]),
        (["sa_study.data.store", "sa_study.data.sample", "sa_study.data.check"], ["ray", "optuna"]),
        (["sa_study.model", "sa_study.metrics"], ["ray", "optuna", "sa_study.data"]),
        (
            ["sa_study.training.trainer", "sa_study.training.evaluate", "sa_study.training.run"],
            ["ray", "optuna"],
        ),
        (["sa_study.study.records", "sa_study.report.terminal.study"], ["torch", "ray", "torchvision"]),
        # A study's tables need no network, and a network's files no study.
        (["sa_study.export.run"], ["torch", "ray", "optuna", "numpy", "pyarrow", "onnx"]),
        (
            [f"sa_study.export.{name}" for name in ("epochs", "markup", "paper", "tabular", "trials")],
            ["torch", "ray", "torchvision", "onnx", "pandas"],
        ),
        (["sa_study.export.bundle"], ["ray", "optuna", "yaml", "rich", "onnx", "onnxruntime"]),
        (
            ["sa_study.report.terminal.live_watch", "sa_study.report.json_document", "sa_study.cli.status"],
            ["torch", "ray", "torchvision", "tensorboard"],
        ),
        (
            ["sa_study.report.terminal.text", "sa_study.report.terminal.output"],
            ["torch", "ray", "optuna", "numpy", "yaml"],
        ),
        (
            [
                "sa_study.study.result_files",
                "sa_study.analysis.reproduce.compare_epochs",
                "sa_study.cli.reproduce",
            ],
            ["torch", "ray", "optuna", "yaml", "tensorboard"],
        ),
        # What trains and measures, on a machine that has PyTorch, SciPy and Pillow, and nothing else.
        (
            [f"sa_study.{name}" for name in BARE],
            ["ray", "optuna", "yaml", "rich", "typer", "sklearn", "pandas", "torchvision"],
        ),
        # Pictures need Matplotlib and nothing else beyond that; pyplot would keep figures and share state.
        (
            ["sa_study.report.pictures"],
            ["ray", "optuna", "yaml", "rich", "typer", "pandas", "torchvision", "matplotlib.pyplot"],
        ),
    ],
)
def test_layers(modules: list[str], banned: list[str]) -> None:
    code = (
        f"import sys\nimport {', '.join(modules)}\n"
        f"print([name for name in {banned!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_rays_older_twins_are_not_used() -> None:
    """`ray.train` and `ray.air` have copies of Tune's names that are on their way out."""
    for path in (ROOT / "sa_study").rglob("*.py"):
        assert "ray.train" not in path.read_text() and "ray.air" not in path.read_text(), path


def test_the_public_names() -> None:
    import sa_study

    for name in ("SANet", "ReidDataset", "ranking_metrics", "rerank", "load_weights"):
        assert callable(getattr(sa_study, name))
    with pytest.raises(AttributeError, match="nothing"):
        sa_study.__getattr__("nothing")
