"""The commit that a launch records is that of the code which runs, or none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from checkout import ROOT

CODE = ROOT / "sa_study"
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    command = ["git", "-C", str(folder), *identity, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=ENVIRONMENT)
    return done.stdout.strip()


def repository(folder: Path) -> str:
    """Makes a repository with all that lies in a folder; returns its commit."""
    folder.mkdir(exist_ok=True)
    (folder / "notes.txt").write_text("mine")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    return git(folder, "rev-parse", "HEAD")


def copy_code(folder: Path) -> Path:
    shutil.copytree(CODE, folder / "sa_study", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".gitignore").write_text("__pycache__\n")
    return folder


def recorded(folder: Path, entry: str = "_git()", **more: str) -> Any:
    """What a process that runs a copy of the code records of its commit, without PyTorch's import."""
    code = f"import json; from sa_study import provenance; print(json.dumps(provenance.{entry}))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=folder, env={**ENVIRONMENT, **more}, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_the_commit_of_the_codes_own_checkout_and_the_versions(tmp_path: Path) -> None:
    own = copy_code(tmp_path)
    (own / "timm-9.8.dist-info").mkdir()
    (own / "timm-9.8.dist-info" / "METADATA").write_text("Name: timm\nVersion: 9.8\n")
    commit = repository(own)
    launch = recorded(own, "describe_run()")
    assert launch["git"] == {"commit": commit, "dirty": False}
    assert launch["packages"]["timm"] == "9.8", "an optional package counts where it is installed"
    (own / "sa_study" / "tags.py").write_text("changed = True")
    assert recorded(own) == {"commit": commit, "dirty": True}


@pytest.mark.parametrize(
    "names", [("GIT_DIR",), ("GIT_DIR", "GIT_WORK_TREE"), ("GIT_INDEX_FILE",)], ids="+".join
)
def test_a_repository_that_the_environment_names_does_not_count(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    (tmp_path / "own").mkdir()
    own = copy_code(tmp_path / "own")
    commit = repository(own)
    repository(thesis := tmp_path / "thesis")
    values = {
        "GIT_DIR": str(thesis / ".git"),
        "GIT_WORK_TREE": str(own),
        "GIT_INDEX_FILE": str(thesis / ".git" / "index"),
    }
    assert recorded(own, **{name: values[name] for name in names}) == {"commit": commit, "dirty": False}


@pytest.mark.parametrize("place", [".", "vendor/sa"])
def test_code_that_was_copied_into_another_repository_has_no_commit(tmp_path: Path, place: str) -> None:
    repository(tmp_path)
    folder = tmp_path / place
    folder.mkdir(parents=True, exist_ok=True)
    assert recorded(copy_code(folder)) is None


def test_code_in_a_folder_of_another_repository_has_no_commit_even_if_that_tracks_it(tmp_path: Path) -> None:
    folder = tmp_path / "vendor"
    folder.mkdir()
    copy_code(folder)
    repository(tmp_path)
    assert recorded(folder) is None


def test_code_outside_of_any_repository_has_no_commit(tmp_path: Path) -> None:
    assert recorded(copy_code(tmp_path)) is None
