"""How many trials a machine holds, addresses without a cluster, and the loss of a cluster's head."""

from __future__ import annotations

import http.server
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from ray._common.usage import usage_lib
from ray.tune.execution.tune_controller import _get_max_pending_trials
from ray.tune.search import SearchGenerator
from ray.tune.search.optuna import OptunaSearch

from sa_study.settings.space_file import parse_space
from sa_study.study.config import StudyConfig
from sa_study.tuning.launch import address, cluster
from sa_study.tuning.launch.cluster import _trials_that_fit, connect, first_workers
from sa_study.utils.errors import ConfigError, RunFailed


@pytest.mark.parametrize(
    ("machine", "cpus", "gpus", "expected"),
    [
        ({"CPU": 2.0}, 1, 0, 2),
        ({"CPU": 16.0, "GPU": 1.0}, 1, 1, 1),
        ({"CPU": 16.0, "GPU": 1.0}, 1, 0.1, 10),
        ({"CPU": 16.0, "GPU": 1.0}, 1, 0.2, 5),
        ({"CPU": 4.0, "GPU": 1.0}, 1, 0.1, 4),
        ({"CPU": 16.0, "GPU": 2.0}, 1, 0.6, 2),
        ({"CPU": 16.0, "GPU": 4.0}, 1, 2, 2),
        ({"CPU": 16.0, "GPU": 1.0}, 1, 2, 0),
        ({"CPU": 16.0}, 1, 0.5, 0),
        ({"CPU": 1.0}, 0.1, 0, 10),
        ({"GPU": 1.0}, 1, 1, 0),
    ],
)
def test_a_machine_holds(machine: dict[str, float], cpus: float, gpus: float, expected: int) -> None:
    assert _trials_that_fit(machine, cpus, gpus) == expected


@pytest.mark.parametrize(
    ("gpus_here", "asked", "trials", "expected"),
    [
        (0, {}, 20, 16),
        (0, {}, 3, 3),
        (0, {"max_concurrent": 5}, 20, 5),
        (0, {"cpus_per_trial": 3.0}, 20, 5),
        (0, {"cpus_per_trial": 32.0}, 20, 0),
        (0, {"cpus_per_trial": None}, 20, 0),
        (2, {}, 20, 2),
        (2, {"cpus_per_trial": None}, 20, 2),
        (2, {"gpus_per_trial": 0.25}, 20, 8),
        (2, {"gpus_per_trial": 0.0}, 20, 16),
    ],
)
def test_as_many_workers_start_with_ray_as_trials_begin(
    gpus_here: int, asked: dict[str, Any], trials: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus_here)
    monkeypatch.setattr(cluster, "usable_cpus", lambda: 16)
    space = parse_space({"fixed": {"backbone": "resnet18"}}, "test")
    workers = first_workers(StudyConfig(data_dir=Path("data"), space=space, trials=1, **asked), trials)
    assert workers.count == expected
    assert workers.threads == (asked.get("cpus_per_trial") or 1)


@pytest.fixture
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives a cluster less time to answer."""
    monkeypatch.setattr(address, "_TIMEOUT_SECONDS", 0.5)


@pytest.fixture
def web_server() -> Iterator[tuple[str, list[str]]]:
    """The address of what is no cluster, and what it was asked for as a proxy."""
    asked: list[str] = []

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            asked.append(self.path)
            self.send_error(502)

    with http.server.HTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}", asked
        server.shutdown()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("127.0.0.1:1", "nothing answers at 127.0.0.1:1"),
        ("no-such-host.invalid:6379", "nothing answers at no-such-host.invalid:6379"),
        ("ray://127.0.0.1:10001", "a study's driver runs on a node of the cluster"),
        ("http://127.0.0.1:8265", "expected auto or HOST:PORT"),
        ("127.0.0.1", "expected auto or HOST:PORT"),
        ("", "expected auto or HOST:PORT"),
    ],
)
def test_an_address_without_a_cluster_is_one_line(given: str, words: str, short_wait: None) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)) as caught, connect(given):
        pass
    assert "\n" not in str(caught.value)


def test_what_is_no_cluster_is_one_line(web_server: tuple[str, list[str]], short_wait: None) -> None:
    with pytest.raises(ConfigError, match=f"--address {web_server[0]}: "), connect(web_server[0]):
        pass


def test_auto_follows_the_environment(short_wait: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray sets RAY_ADDRESS in submitted jobs."""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ConfigError, match=r"nothing answers at 127\.0\.0\.1:1"), connect("auto"):
        pass


def test_no_proxy_is_asked_for_a_cluster(
    web_server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray's own connections go past proxies."""
    for kind in ("http", "https", "all", "grpc"):
        for name in (f"{kind}_proxy", f"{kind}_proxy".upper()):
            monkeypatch.setenv(name, f"http://{web_server[0]}")
    monkeypatch.setattr(address, "_TIMEOUT_SECONDS", 2.0)
    with pytest.raises(ConfigError, match="nothing answers"), connect("127.0.0.1:1"):
        pass
    assert web_server[1] == []


@pytest.mark.parametrize("certificates", [None, "/nowhere"])
def test_certificates_that_cannot_be_used_are_one_line(
    certificates: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_USE_TLS", "1")
    for name in ("RAY_TLS_SERVER_CERT", "RAY_TLS_SERVER_KEY", "RAY_TLS_CA_CERT"):
        monkeypatch.setenv(name, certificates or "")
    with pytest.raises(ConfigError, match="RAY_USE_TLS: the certificates cannot be used"):
        connect("127.0.0.1:1").__enter__()


def test_an_empty_variable_is_an_unset_one(short_wait: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*address.AUTH_VARIABLES, "RAY_ADDRESS", "RAY_TMPDIR", "TMPDIR", "RAY_USE_TLS"):
        monkeypatch.setenv(name, "")
    with pytest.raises(ConfigError, match="nothing answers"), connect("127.0.0.1:1"):
        pass
    assert not [name for name, value in os.environ.items() if name.startswith("RAY_") and not value]
    assert "TMPDIR" not in os.environ


@pytest.mark.parametrize("mode", [None, "disabled", "token"])
def test_a_local_token_is_new_and_what_was_there_before_comes_back(
    mode: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {"RAY_AUTH_MODE": mode, "RAY_AUTH_TOKEN": "another cluster's", "RAY_AUTH_TOKEN_PATH": "/nowhere"}
    for name, value in before.items():
        monkeypatch.delenv(name, raising=False)
        if value:
            monkeypatch.setenv(name, value)
    seen = []
    monkeypatch.setattr(ray, "init", lambda **options: seen.append(os.environ["RAY_AUTH_TOKEN"]))
    for _ in range(2):
        with connect(None):
            assert os.environ["RAY_AUTH_MODE"] == "token" and "RAY_AUTH_TOKEN_PATH" not in os.environ
            ray_itself = address._compiled
            assert ray_itself.get_authentication_mode() == ray_itself.AuthenticationMode.TOKEN
        assert {name: os.environ.get(name) for name in before} == before
    assert len({*seen, "another cluster's"}) == 3


def test_nothing_is_told_to_anyone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's usage statistics are on unless they are switched off."""
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    assert usage_lib.usage_stats_enabled(), "Ray's own default would do"
    monkeypatch.setattr(ray, "init", lambda **options: None)
    with connect(None):
        assert not usage_lib.usage_stats_enabled()


def test_installed_trackers_are_not_imported_to_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    count, trackers = sys.modules["ray.tune.tune"].air_usage, "ray.air.integrations.comet"
    monkeypatch.delitem(sys.modules, trackers, raising=False)
    monkeypatch.setattr(ray, "init", lambda **options: None)
    with connect(None):
        count.tag_callbacks([None])
        assert trackers not in sys.modules
    count.tag_callbacks([None])
    assert trackers in sys.modules, "Ray's own function would import it"


def test_workers_start_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUNE_MAX_PENDING_TRIALS_PG", raising=False)
    search = SearchGenerator(OptunaSearch())  # stands for any searcher without a limiter
    assert _get_max_pending_trials(search) == 1, "Ray's own default would do"
    monkeypatch.setattr(ray, "init", lambda **options: None)
    with connect(None):
        assert _get_max_pending_trials(search) >= 1000


@pytest.mark.parametrize("failures", [1, 2])
def test_a_ray_that_does_not_start_in_time_is_tried_again_and_then_one_line(
    failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray waits 30 s, which is too short on a machine that is busy, and says so in a bare Exception."""
    outcomes = iter([True] * failures + [False])

    def start(_system_config: dict[str, object], **_: object) -> None:
        assert list(_system_config) == ["preload_python_modules"], "what Ray adds names its first session"
        _system_config["object_spilling_config"] = "the session's folder"
        if next(outcomes):
            raise Exception("The current node timed out during startup. This could happen.")

    monkeypatch.setattr(ray, "init", start)
    if failures == 1:
        with connect(None):
            pass
        return
    with (
        pytest.raises(RunFailed, match="did not start on this machine, tried twice") as caught,
        connect(None),
    ):
        pass
    assert "\n" not in str(caught.value)


def test_a_start_that_was_interrupted_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def start(**_: object) -> None:
        tries.append("a try")
        signal.raise_signal(signal.SIGTERM)
        raise Exception("The current node timed out during startup. This could happen.")

    monkeypatch.setattr(ray, "init", start)
    with pytest.raises(KeyboardInterrupt), connect(None):
        raise AssertionError("the launch went on")
    assert len(tries) == 1


WATCH = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from sa_study.tuning.launch import cluster

cluster.ray.get_runtime_context = lambda: SimpleNamespace(gcs_address=sys.argv[1])
print("watching", flush=True)
with cluster.exit_when_head_is_lost(Path("one"), lambda line: print(line, file=sys.stderr)):
    time.sleep(1000)
"""


def test_a_head_that_is_gone_ends_the_process() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # and never accepts: the head is busy
        address = "{}:{}".format(*listening.getsockname())
        with subprocess.Popen(
            [sys.executable, "-c", WATCH, address],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout and process.stdout.readline() == "watching\n"
            time.sleep(1)
            assert process.poll() is None
            listening.close()
            _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert said.count("\n") == 1 and f"the Ray cluster's head at {address} is gone" in said
    assert "resume --study one" in said
