"""The files in deploy/: what Ray and bash say of them."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml
from checkout import ROOT
from ray.autoscaler._private.util import prepare_config, validate_config
from typer.main import get_command

from sa_study.cli import app

DEPLOY = ROOT / "deploy"


def test_the_cluster_file_is_one_that_ray_takes() -> None:
    config: dict[str, Any] = prepare_config(yaml.safe_load((DEPLOY / "cluster-aws.yaml").read_text()))
    validate_config(config)
    starts = config["head_start_ray_commands"][1], config["worker_start_ray_commands"][1]
    assert all("RAY_AUTH_MODE=token ray start" in command for command in starts)
    pinned = (DEPLOY.parent / "requirements.txt").read_text()
    version = re.search(r"ray\[tune\]==(\S+)", pinned)
    assert version and all(
        f":{version[1]}-" in config["docker"][image] for image in ("head_image", "worker_image")
    )


def test_the_slurm_script_is_bash() -> None:
    subprocess.run(["bash", "-n", str(DEPLOY / "slurm.sh")], check=True)


def test_a_step_without_the_token_starts_no_ray(tmp_path: Path) -> None:
    """A site's prolog may take a variable away, whatever the script exports."""
    called = tmp_path / "ray"
    called.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    called.chmod(0o755)
    [function] = re.findall(r"^ray_node\(\) .*?^}$", (DEPLOY / "slurm.sh").read_text(), re.S | re.M)
    step = ["bash", "-c", f"{function}\nray_node {tmp_path}/folder --address=127.0.0.1:1"]
    about = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURMD_NODENAME": "n1", "SLURM_CPUS_PER_TASK": "1"}
    for token, starts in (({}, False), ({"RAY_AUTH_TOKEN": ""}, False), ({"RAY_AUTH_TOKEN": "t"}, True)):
        (tmp_path / "folder").mkdir()
        done = subprocess.run(step, env=about | token, capture_output=True, text=True)
        assert (tmp_path / "started").exists() == starts, done.stderr
        assert starts or (done.returncode and "RAY_AUTH_TOKEN: is missing on n1" in done.stderr)
        assert (tmp_path / "folder").exists() != starts, "what a step leaves behind"
        shutil.rmtree(tmp_path / "folder", ignore_errors=True)


def test_the_options_of_the_files_exist() -> None:
    """Every option after `tune` or `resume` in the README and the script is one of the command's."""
    commands: Any = get_command(app)
    text = "".join((DEPLOY / name).read_text() for name in ("README.md", "slurm.sh")).replace("\\\n", " ")
    found = re.findall(r"(?:run_study\.py |\()(tune|resume) ([^)\n]*)", text)
    assert len(found) >= 4
    for name, words in found:
        known = {option for parameter in commands.commands[name].params for option in parameter.opts}
        assert {word for word in shlex.split(words.replace('"', " ")) if word.startswith("--")} <= known
