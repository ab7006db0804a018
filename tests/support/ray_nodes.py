"""Real Ray nodes on this machine, each with its own processes, working directory and view of the files."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from checkout import ROOT, SUPPORT
from narrow_backbone import DEVICES_FOLDER
from ray.thirdparty_files import psutil

CODE = ROOT / "sa_study"
TOKEN = "a-token-of-the-tests-alone-0123456789abcdef"


class Node:
    """One `ray start`, with all processes that came of it."""

    def __init__(self, words: list[str], folder: Path, environment: dict[str, str], hide: list[Path]):
        self.log = folder / f"node_{time.monotonic_ns()}.log"
        cwd = folder / self.log.stem
        cwd.mkdir()
        sizes = ["--num-cpus=1", "--num-gpus=1"]
        program = str(Path(sys.executable).with_name("ray"))
        ray = shlex.join([program, "start", *words, *sizes, "--block"])
        mounts = [f"mount -t tmpfs none {shlex.quote(str(path))} && " for path in hide]
        command = (
            ["unshare", "--mount", "sh", "-c", f"{''.join(mounts)}exec {ray}"] if hide else ["sh", "-c", ray]
        )
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                command, cwd=cwd, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def processes(self) -> list[psutil.Process]:
        """The node's processes, workers too."""
        try:
            first = psutil.Process(self._process.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def runs(self, pid: int) -> bool:
        """Whether a process is one of this node's."""
        return pid in {process.pid for process in self.processes()}

    def kill(self) -> None:
        """SIGKILL to everything at once, as a machine would fail."""
        for process in self.processes():
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        self._process.wait()


class Cluster:
    """A head and more nodes that know no code and no data, of one core each and a GPU that only Ray knows of.

    Args:
        auth: Ray's authentication mode: `token` or `disabled`.

    Attributes:
        devices: A folder with a file for each process that has built the network `narrow`, named by its
            number: the GPUs that it may use.
    """

    def __init__(self, auth: str = "token") -> None:
        self._auth = auth
        self.folder = Path(tempfile.mkdtemp(prefix="sa_nodes_"))  # sockets allow no long paths
        (self.folder / "token").write_text(TOKEN)
        self.devices = self.folder / "devices"
        self.devices.mkdir()
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTHONPATH"))
        }
        self.environment = kept | {
            "HOME": str(self.folder),
            "RAY_AUTH_TOKEN_PATH": str(self.folder / "token"),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(SUPPORT),
            DEVICES_FOLDER: str(self.devices),
            # A dead node is noticed after 5 s, not 20.
            "RAY_health_check_period_ms": "1000",
        }
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.nodes: list[Node] = []

    def __enter__(self) -> Cluster:
        self._start(
            "--head",
            f"--port={self.port}",
            f"--temp-dir={self.folder / 'ray'}",
            "--include-dashboard=false",
            "--disable-usage-stats",
        )
        return self

    def __exit__(self, *exception: object) -> None:
        for node in reversed(self.nodes):
            node.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def add(self, *hide: Path) -> Node:
        """Starts a node that sees empty folders in place of some."""
        return self._start(f"--address={self.address}", hide=list(hide))

    def remove(self, node: Node) -> None:
        """Kills a node."""
        node.kill()
        self.nodes.remove(node)

    def _start(self, *words: str, hide: list[Path] | None = None) -> Node:
        node = Node(list(words), self.folder, self.environment | {"RAY_AUTH_MODE": self._auth}, hide or [])
        self.nodes.append(node)
        deadline = time.monotonic() + 60
        while "Ray runtime started" not in node.log.read_text():
            assert time.monotonic() < deadline, node.log.read_text()
            time.sleep(0.1)
        return node
