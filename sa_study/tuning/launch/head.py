"""The loss of a cluster's head, noticed within seconds.

Ray's own client waits for a minute, in which Ctrl-C does nothing, and then ends the process with a message of
its own. A study is kept whole by its database, so nothing is lost by ending the process at once.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

_SECONDS_BETWEEN = 1.0
_FAILURES_IN_A_ROW = 5
_CONNECT_TIMEOUT = 3.0


@contextmanager
def exit_when_lost(study: Path, complain: Callable[[str], None]) -> Iterator[None]:
    """Ends the process with exit code 1 if nothing listens at the connected cluster's head any more.

    Args:
        study: Folder of the study that runs.
        complain: Told why, in a thread of its own, before the process ends.
    """
    address = ray.get_runtime_context().gcs_address
    over = threading.Event()

    def watch() -> None:
        failures = 0
        while not over.wait(_SECONDS_BETWEEN):
            failures = 0 if _listens(address) else failures + 1
            if failures == _FAILURES_IN_A_ROW:
                complain(
                    f"the Ray cluster's head at {address} is gone; start the cluster again, then "
                    f"'resume --study {study}': each trial goes on from its last epoch"
                )
                sys.stdout.flush()
                os._exit(1)  # the main thread may be inside Ray's client, which answers no signal

    thread = threading.Thread(target=watch, name="head", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _listens(address: str) -> bool:
    """Whether a connection is taken; a process that is only busy takes it too."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_TIMEOUT):
            return True
    except OSError:
        return False
