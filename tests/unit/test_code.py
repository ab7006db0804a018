"""The code's own rules: ruff, strict mypy, and which layer may import what."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from graphlib import TopologicalSorter

import pytest
from checkout import ROOT


@pytest.mark.parametrize(
    "check", [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]], ids=" ".join
)
def test_checkers_pass(check: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *check], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


FLOORS = (
    *("version", "utils", "provenance", "model", "metrics", "settings", "data", "training"),
    *("study", "trackers", "tuning", "analysis", "report", "export", "api", "cli", "__main__"),
)
"""The packages from the bottom up: a module imports from its own floor and from those below it."""


def imports() -> dict[str, set[str]]:
    """For each module the project's modules that it imports, at any place and for types too."""
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in (ROOT / "sa_study").rglob("*.py")
    }
    found: dict[str, set[str]] = {}
    for module, path in files.items():
        named: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                named.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = ((node.module, f"{node.module}.{alias.name}") for alias in node.names)
                named.update(name if name in files else package for package, name in inner)
        found[module] = named & files.keys()
    return found


def test_imports_go_down() -> None:
    def floor(module: str) -> int:
        name = module.split(".")[1] if "." in module else ""
        return FLOORS.index(name) if name else -1  # the package itself, which knows the public names as text

    upwards = [
        f"{module} imports {other}"
        for module, others in imports().items()
        for other in others
        if floor(other) > floor(module) >= 0
    ]
    assert not upwards


def test_no_circle() -> None:
    """Not even one that exists for type checkers alone."""
    tuple(TopologicalSorter(imports()).static_order())


BARE = ["settings.run", "data.sample"] + [
    f"{path.parent.name}.{path.stem}"
    for package in ("data", "metrics", "model", "training")
    for path in (ROOT / "sa_study" / package).glob("[!_]*.py")
    if path.name != "run.py"  # writes YAML
]


LAYERS: list[tuple[list[str], list[str]]] = [
    (["sa_study", "sa_study.cli"], ["torch", "ray", "optuna", "numpy", "torchvision", "PIL", "yaml"]),
    (["sa_study", "sa_study.cli"], ["plotly", "jinja2", "optuna_dashboard", "matplotlib"]),
    (
        [
            "sa_study.report.page.page_study",
            "sa_study.report.page.sentences",
            "sa_study.report.page.importance",
        ],
        ["torch", "ray", "torchvision", "plotly", "jinja2"],
    ),
    (["sa_study.report.page.render", "sa_study.report.dashboard"], ["torch", "ray", "torchvision"]),
    (["sa_study.data.store", "sa_study.data.sample", "sa_study.data.check"], ["ray", "optuna"]),
    (["sa_study.model.network", "sa_study.metrics"], ["ray", "optuna", "sa_study.data"]),
    (
        ["sa_study.training.trainer", "sa_study.training.evaluate", "sa_study.training.run"],
        ["ray", "optuna"],
    ),
    (["sa_study.study.records", "sa_study.report.terminal.study"], ["torch", "ray", "torchvision"]),
    (["sa_study.trackers.mirror"], ["torch", "ray", "torchvision", "mlflow", "wandb"]),
    # A study's tables need no network, and a network's files no study.
    (["sa_study.export.export"], ["torch", "ray", "optuna", "numpy", "pyarrow", "onnx"]),
    (
        [f"sa_study.export.{name}" for name in ("documents", "paper", "tables")],
        ["torch", "ray", "torchvision", "onnx", "pandas"],
    ),
    (["sa_study.export.network_files"], ["ray", "optuna", "yaml", "rich", "onnx", "onnxruntime"]),
    (
        [
            "sa_study.report.terminal.launch_display",
            "sa_study.report.json_document",
            "sa_study.cli.status",
        ],
        ["torch", "ray", "torchvision", "tensorboard"],
    ),
    (
        ["sa_study.report.text", "sa_study.report.terminal.console"],
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
        ["sa_study.report.pictures.make"],
        ["ray", "optuna", "yaml", "rich", "typer", "pandas", "torchvision", "matplotlib.pyplot"],
    ),
]
"""Modules, and what importing them must not import."""

IMPORT = """
import importlib, json, os, sys

def imported(modules, banned):
    reading, writing = os.pipe()
    if not os.fork():
        for name in modules:
            importlib.import_module(name)
        os.write(writing, json.dumps([name for name in banned if name in sys.modules]).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        found = file.read()
    os.wait()
    return json.loads(found or '"failed"')

layers = json.loads(sys.argv[1])
found = {number: imported(*layer) for number, layer in enumerate(layers) if "torch" in layer[1]}
import torch  # once for all that may import it
found |= {number: imported(*layer) for number, layer in enumerate(layers) if "torch" not in layer[1]}
print(json.dumps([found[number] for number in range(len(layers))]))
"""
"""Imports each layer's modules in a process of its own."""


@pytest.fixture(scope="module")
def layers() -> list[object]:
    command = [sys.executable, "-c", IMPORT, json.dumps(LAYERS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout))


@pytest.mark.parametrize("number", range(len(LAYERS)), ids=lambda number: LAYERS[number][0][-1])
def test_layers(layers: list[object], number: int) -> None:
    assert layers[number] == []


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
