"""The wheel, installed in an environment of its own and used from a folder outside the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from checkout import ROOT, SUPPORT
from optuna.trial import TrialState
from ray_nodes import Cluster
from study_processes import trials_of

from sa_study.version import VERSION

Tool = Callable[..., str]
SMALL = ("--space", "demo", "--trials", "2", "--set", "backbone=narrow", "--set", "epochs=1")


def run(*words: str | Path, **options: object) -> str:
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=900, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("sa_study", "search_spaces"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md"):
        shutil.copy(ROOT / name, source)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder, source)
    [file] = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the programs of an environment that has the wheel, and the test environment's packages."""
    root = tmp_path_factory.mktemp("environment") / "env"
    run(sys.executable, "-m", "venv", "--without-pip", root)
    python = root / "bin" / "python"
    packages = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    (Path(packages) / "test_environment.pth").write_text(sysconfig.get_path("purelib"))
    install = ("install", "--no-deps", "--no-index", wheel)
    run(sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python, *install)
    return root / "bin"


@pytest.fixture
def tool(environment: Path, tmp_path: Path) -> Tool:
    """The installed program, in a folder outside the checkout."""

    def call(*words: str | Path, program: tuple[str, ...] = ("sa-study",), **changes: str) -> str:
        variables = {**os.environ, "PYTHONPATH": str(SUPPORT), "COLUMNS": "200", **changes}
        return run(environment / program[0], *program[1:], *words, cwd=tmp_path, env=variables)

    return call


def test_the_wheel_is_complete(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        packed = set(file.namelist())
    files = [path for path in (ROOT / "sa_study").rglob("*") if path.is_file()]
    wanted = {path.relative_to(ROOT).as_posix() for path in files if path.suffix != ".pyc"}
    wanted |= {f"sa_study/search_spaces/{path.name}" for path in (ROOT / "search_spaces").glob("*.yaml")}
    assert wanted <= packed, wanted - packed
    about = f"sa_study-{VERSION}.dist-info/"
    assert all(name.startswith(about) for name in packed - wanted), packed - wanted


def test_the_program_names_itself_as_it_was_called(tool: Tool, environment: Path, tmp_path: Path) -> None:
    assert tool("--version").startswith(f"sa-study {VERSION}\n")
    assert "learning rate" in tool("settings")
    assert tool("-h", program=("python", "-m", "sa_study")).lstrip().startswith("Usage: python -m sa_study ")
    path = f"{environment}{os.pathsep}{os.environ['PATH']}"
    run(environment / "sa-study", "data", "make", tmp_path / "data", "--identities", "12", cwd=tmp_path)
    said = tool("tune", "--data-dir", "data", "--study", "study", *SMALL, PATH=path)
    assert "evaluate --study study --baseline" in said
    assert "is the winner really better? sa-study confirm --study study" in said
    assert [trial.state for trial in trials_of(tmp_path / "study")] == [TrialState.COMPLETE] * 2
    assert "sa-study train --config" in (tmp_path / "study" / "best.yaml").read_text()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster() as cluster:
        yield cluster


def test_the_driver_hands_its_code_to_a_cluster(tool: Tool, cluster: Cluster, tmp_path: Path) -> None:
    cluster.add()
    tool("data", "make", tmp_path / "data", "--identities", "12")
    words = ("--data-dir", tmp_path / "data", "--study", tmp_path / "study", "--address", cluster.address)
    tool("tune", *words, *SMALL, **{**cluster.environment, "PYTHONPATH": str(SUPPORT)})
    trials = trials_of(tmp_path / "study")
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 2
