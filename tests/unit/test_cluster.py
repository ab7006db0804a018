"""How many trials a machine holds, and addresses at which there is no cluster."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator

import pytest
import ray
from ray._common.usage import usage_lib
from ray.tune.execution.tune_controller import _get_max_pending_trials
from ray.tune.search import SearchGenerator
from ray.tune.search.optuna import OptunaSearch

from sa_study.errors import ConfigError
from sa_study.study import address
from sa_study.study.cluster import _fit, connect


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
    assert _fit(machine, cpus, gpus) == expected


@pytest.fixture
def web_server() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
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
def test_an_address_without_a_cluster_is_one_line(
    given: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address, "_PATIENCE", 0.5)
    with pytest.raises(ConfigError, match=re.escape(words)) as caught, connect(given):
        pass
    assert "\n" not in str(caught.value)


def test_what_is_no_cluster_is_one_line(web_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "_PATIENCE", 0.5)
    with pytest.raises(ConfigError, match=f"--address {web_server}: "), connect(web_server):
        pass


def test_auto_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray sets RAY_ADDRESS in submitted jobs."""
    monkeypatch.setattr(address, "_PATIENCE", 0.5)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ConfigError, match=r"nothing answers at 127\.0\.0\.1:1"), connect("auto"):
        pass


def test_nothing_is_told_to_anyone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's usage statistics are on unless they are switched off."""
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    assert usage_lib.usage_stats_enabled(), "Ray's own default would do"
    monkeypatch.setattr(ray, "init", lambda **options: None)
    with connect(None):
        assert not usage_lib.usage_stats_enabled()


def test_workers_start_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUNE_MAX_PENDING_TRIALS_PG", raising=False)
    search = SearchGenerator(OptunaSearch())  # stands for any searcher without a limiter
    assert _get_max_pending_trials(search) == 1, "Ray's own default would do"
    monkeypatch.setattr(ray, "init", lambda **options: None)
    with connect(None):
        assert _get_max_pending_trials(search) >= 1000
