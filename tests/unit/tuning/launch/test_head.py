"""A cluster's head that is gone ends the process with one line; one that is only busy does not."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

PROGRAM = """
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
            [sys.executable, "-c", PROGRAM, address],
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
