"""Real launches in the environments of batch systems and companies, and what is left of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from checkout import CLUSTER_DRIVER, SEARCH_PATH
from study_processes import TINY, Launch, run, trials_of, wait_for_epoch
from test_resume import fill

from sa_study.data.sample import make_sample_data

SPACE = {
    "search": {"lr": {"type": "float", "low": 0.001, "high": 0.05, "log": True}},
    "fixed": {**TINY, "val_identities": 2},
    "baseline": {"lr": 0.01},
    "scheduler": {"name": "none"},
    "trials": 1,
}
DEEP = "a/deep/folder/as/batch/systems/make/one/for/each/job/of/each/user/12345678"
DEAD = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample_data(tmp_path_factory.mktemp("data") / "sample", identities=12, images_per_camera=2)


@pytest.fixture
def words(data: Path, tmp_path: Path) -> Callable[..., list[str | Path]]:
    """A command's words for a study of one trial of this many epochs."""

    def make(command: str, epochs: int) -> list[str | Path]:
        space = tmp_path / "space.yaml"
        space.write_text(yaml.safe_dump({**SPACE, "fixed": {**SPACE["fixed"], "epochs": epochs}}))  # type: ignore[dict-item]
        return [command, "--data-dir", data, "--space", space, "--study", tmp_path / "study"]

    return make


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path leaves room for sockets, as pytest's own do not."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def make_disk(short: Path) -> Iterator[Callable[[int], Path]]:
    """Makes a file system of this many megabytes."""

    def make(megabytes: int) -> Path:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(short)]
        if subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("mounting is not allowed here")
        return short

    yield make
    subprocess.run(["umount", "-l", str(short)], capture_output=True)


def environment(**changes: str | Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return kept | {name: str(value) for name, value in changes.items()}


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir()]


def left_in(folder: Path) -> list[str]:
    """The names there, without the cache that PyTorch makes for compiled steps."""
    return [path.name for path in folder.iterdir() if not path.name.startswith("torchinductor_")]


def test_a_deep_tmpdir_proxies_and_empty_variables(
    words: Callable[..., list[str | Path]], tmp_path: Path
) -> None:
    deep, home = tmp_path / DEEP, tmp_path / "home"
    deep.mkdir(parents=True)
    home.mkdir()
    proxies = {f"{kind}_proxy": DEAD for kind in ("http", "https", "all", "grpc")}
    empty = dict.fromkeys(("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE", "RAY_TMPDIR"), "")
    run(*words("tune", 1), env=environment(HOME=home, TMPDIR=deep, **proxies, **empty))
    assert [trial.state.name for trial in trials_of(tmp_path / "study")] == ["COMPLETE"]
    assert not (home / ".ray").exists(), "a token would lie there"
    assert not files_below(deep)


@pytest.mark.parametrize(
    "variables",
    [
        {"RAY_AUTH_TOKEN": " \n", "RAY_AUTH_MODE": ""},
        {"RAY_AUTH_TOKEN_PATH": "/nowhere", "RAY_AUTH_MODE": "disabled"},
        {"RAY_AUTH_TOKEN_PATH": "", "RAY_AUTH_MODE": "token", "RAY_ENABLE_K8S_TOKEN_AUTH": "true"},
        {"RAY_AUTH_TOKEN": "a-token-of-another-cluster-0123456789", "RAY_AUTH_TOKEN_PATH": ""},
    ],
    ids=str,
)
def test_a_local_launch_leaves_no_token_whatever_the_environment_says(
    variables: dict[str, str], short: Path
) -> None:
    home, temporary = short / "home", short / "tmp"
    home.mkdir()
    temporary.mkdir()
    done = subprocess.run(
        [sys.executable, str(CLUSTER_DRIVER), "none", "work"],
        env=environment(HOME=home, TMPDIR=temporary, PYTHONPATH=SEARCH_PATH, **variables),
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "2", "")
    assert not list(home.iterdir()) and not left_in(temporary)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_rays_files_go_after_a_signal(
    how: signal.Signals, words: Callable[..., list[str | Path]], tmp_path: Path, short: Path
) -> None:
    (short / "ray").mkdir()  # another session's
    with Launch(*words("tune", 1000), env=environment(TMPDIR=short)) as launch:
        wait_for_epoch(tmp_path / "study", 0)
        assert list(short.glob("ray_*/session_*")), "they are there meanwhile"
        launch.process.send_signal(how)
        ended, output = launch.wait()
    assert ended == 130, output
    assert not files_below(short) and left_in(short) == ["ray"]


def test_rays_files_go_after_a_signal_while_it_starts(
    words: Callable[..., list[str | Path]], tmp_path: Path, short: Path
) -> None:
    with Launch(*words("tune", 1), env=environment(TMPDIR=short)) as launch:
        while not list(short.glob("ray_*/session_*")):
            assert launch.process.poll() is None
            time.sleep(0.01)
        launch.process.send_signal(signal.SIGTERM)
        launch.wait()
    assert not left_in(short) and not (tmp_path / "study").exists()


INTERRUPTED_WHILE_CONNECTING = """
import signal, sys
import ray
from sa_study.tuning.launch.cluster import connect
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a script's background runs the tests

def core_worker(*arguments, original=ray._raylet.CoreWorker):
    connection = original(*arguments)
    signal.raise_signal(signal.SIGINT)
    return connection

ray._raylet.CoreWorker = core_worker
try:
    with connect(None):
        raise AssertionError("the launch went on")
except KeyboardInterrupt:
    sys.exit(130)
"""

INTERRUPTED_WHILE_WORKERS_START = """
import sys
from sa_study.tuning.launch.cluster import connect
from sa_study.tuning.launch.local_ray import FirstWorkers

try:
    with connect(None, FirstWorkers(2, ("ray.tune", "torch"))):
        raise KeyboardInterrupt
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("script", [INTERRUPTED_WHILE_CONNECTING, INTERRUPTED_WHILE_WORKERS_START])
def test_ctrl_c_while_ray_starts_neither_crashes_nor_leaves_files(script: str, short: Path) -> None:
    """A connection that only Ray's threads know of is used by them after the exit has freed it, and a worker
    that has not joined Ray yet may outlive it."""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(TMPDIR=short, PYTHONPATH=SEARCH_PATH),
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert (ended.returncode, ended.stderr) == (130, "")
    assert not left_in(short)


def test_a_small_tmpdir_is_foreseen_and_named(
    words: Callable[..., list[str | Path]], make_disk: Callable[[int], Path], tmp_path: Path
) -> None:
    small = make_disk(9)  # trials' checkpoints need none of it, Ray's own files do
    for command in ("tune", "plan"):
        line = run(*words(command, 1), env=environment(TMPDIR=small), code=2, error=True)
        assert line.startswith(f"error: {small}: is full") and line.count("\n") == 1
        assert "TMPDIR" in line
    assert not left_in(small) and not (tmp_path / "study").exists()


def test_a_tmpdir_that_fills_up_is_named(
    words: Callable[..., list[str | Path]], make_disk: Callable[[int], Path], tmp_path: Path
) -> None:
    small = make_disk(300)
    with Launch(*words("tune", 1000), env=environment(TMPDIR=small)) as launch:
        wait_for_epoch(tmp_path / "study", 0)
        number = 0
        while launch.process.poll() is None:  # what a checkpoint gives free is taken, too
            fill(small / f"filler_{(number := number + 1)}")
            time.sleep(0.05)
        code, output = launch.wait()
    assert code == 1
    assert f" in {small} on " in output and f"resume --study {tmp_path / 'study'}" in output
    assert {name.split("_")[0] for name in left_in(small)} == {"filler"}
