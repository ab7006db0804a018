"""A program that joins a Ray cluster and runs one of `COMMANDS` there.

Usage: cluster_driver.py ADDRESS [COMMAND [WORDS]]; the address `none` starts Ray on this machine alone.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import ray
from ray.experimental import internal_kv
from ray.thirdparty_files import psutil

from sa_study.study.storage import Storage
from sa_study.tuning.launch.address import join_address
from sa_study.tuning.launch.cluster import capacity, connect
from sa_study.utils.errors import ConfigError


def work() -> None:
    """Exchanges objects with an actor, in both directions."""

    class Worker:
        def exchange(self, boxes: list[ray.ObjectRef[int]]) -> list[ray.ObjectRef[int]]:
            return [ray.put(1 + ray.get(boxes[0]))]

    worker: Any = ray.remote(num_cpus=1)(Worker)
    answer: Any = ray.get(worker.remote().exchange.remote([ray.put(1)]), timeout=60)
    print(ray.get(answer[0], timeout=60))


def watch() -> None:
    """Prints how many trials of one core fit, whenever it changes."""
    last = -1
    while True:
        if (now := capacity(1, 0)) != last:
            print(now, flush=True)
        last = now
        time.sleep(0.1)


def reach(*uris: str) -> None:
    """Prints for each storage URI whether all nodes reach it, or why not."""
    for uri in uris:
        try:
            Storage(uri).require_reachable()
            print("reached")
        except ConfigError as error:
            print(error)


def pretend(address: str, ray_version: str) -> None:
    """Joins once more while the cluster claims another version of Ray."""
    key, namespace = b"CLUSTER_METADATA", b"cluster"
    known = internal_kv._internal_kv_get(key, namespace=namespace)
    changed = json.dumps({**json.loads(known), "ray_version": ray_version}).encode()
    internal_kv._internal_kv_put(key, changed, namespace=namespace)
    try:
        join_address(address)
    finally:
        internal_kv._internal_kv_put(key, known, namespace=namespace)


def listen() -> None:
    """Prints the addresses at which this process and Ray's listen."""
    ours = [psutil.Process(), *psutil.Process().children(recursive=True)]
    sockets = [found for process in ours for found in process.net_connections("tcp")]
    hosts = {
        found.laddr.ip.removeprefix("::ffff:") for found in sockets if found.status == psutil.CONN_LISTEN
    }
    print(*sorted(hosts))


COMMANDS = {command.__name__: command for command in (work, watch, reach, pretend, listen)}

if __name__ == "__main__":
    address, *rest = sys.argv[1:]
    try:
        with connect(None if address == "none" else address):
            if rest:
                COMMANDS[rest[0]](*rest[1:])
    except ConfigError as error:
        print("refused:", error)
