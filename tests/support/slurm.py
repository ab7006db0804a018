"""A real Slurm on this machine, whose nodes are machines of their own as far as they can tell.

Each node has its own network address, host name and processes in Linux namespaces; all see the same files.
Needs root, and Debian's packages `slurm-wlm` and `munge`.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from checkout import ROOT, SUPPORT

USERS = {"ada": 61001, "ben": 61002}
"""Users of the cluster and their ids."""

PATIENCE = 300.0
"""Seconds after which something that a test waits for is not going to happen."""

_CONFIGURATION = """
ClusterName=tests
SlurmctldHost=control(10.77.0.1)
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool_%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
FirstJobId={first_job}
{nodes}
PartitionName=all Nodes=ALL Default=YES State=UP
"""

_CONTROLLER = """
hostname control
ip link set lo up
ip link add bridge type bridge
ip address add 10.77.0.1/24 dev bridge
ip link set bridge up
munged --key-file={folder}/munge.key --socket={folder}/munge.socket --pid-file={folder}/munged.pid \
    --log-file={folder}/munged.log --seed-file={folder}/munge.seed
slurmctld -D
"""

_NODE = """
until ip link show eth0; do sleep 0.05; done
ip link set lo up
ip address add {address}/24 dev eth0
ip link set eth0 up
hostname {name}
mount --bind {folder}/{name}.hosts /etc/hosts
slurmd -D -N {name}
"""


class SlurmCluster:
    """A controller and nodes n1, n2, … of two cores each.

    Attributes:
        folder: A folder that controller and nodes share.
    """

    def __init__(self, nodes: int) -> None:
        # Not in pytest's folder: the jobs' users may not enter that, and sockets allow no long paths.
        self.folder = Path(tempfile.mkdtemp(prefix="sa_slurm_"))
        self.folder.chmod(0o755)
        self._addresses = {f"n{number}": f"10.77.0.{10 + number}" for number in range(1, nodes + 1)}
        # Each machine's outermost process: SIGKILL to it is what a power failure is to a machine.
        self._machines: dict[str, subprocess.Popen[bytes]] = {}
        self._write_files()

    def __enter__(self) -> SlurmCluster:
        try:
            self._start("controller", _CONTROLLER.format(folder=self.folder))
            self.wait("the controller", lambda: "UP" in self.run("scontrol", "ping", check=False))
            for name, address in self._addresses.items():
                self._add(name, address)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        for process in reversed(self._machines.values()):
            process.kill()
            process.wait()
        shutil.rmtree(self.folder)

    def fail(self, name: str) -> None:
        """Has a node fail: its processes are gone at once, and Slurm learns of it."""
        self._machines.pop(name).kill()
        self.run("scontrol", "update", f"NodeName={name}", "State=DOWN", "Reason=failed")

    def run(self, *words: str | Path, user: str = "root", check: bool = True, **environment: str) -> str:
        """Runs a command on the controller's machine.

        Args:
            words: The command.
            user: Who runs it: `root`, or one of `USERS`.
            check: Whether it must succeed.
            environment: Variables beside `PATH`, `HOME` and `SLURM_CONF`.

        Returns:
            What it printed.
        """
        uid = USERS.get(user, 0)
        done = subprocess.run(
            [
                *self._controllers_view(),
                *("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"),
                *map(str, words),
            ],
            env=self._environment | {"HOME": str(self.folder / user)} | environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert not (check and done.returncode), done.stdout
        return done.stdout

    def wait(self, event: str, condition: Callable[[], bool]) -> None:
        """Waits until something is the case.

        Raises:
            AssertionError: It did not become so in `PATIENCE` seconds.
        """
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"still waiting for {event}"
            time.sleep(0.2)

    @property
    def _environment(self) -> dict[str, str]:
        path = [Path(sys.executable).parent, *os.environ["PATH"].split(":"), "/usr/sbin", "/sbin"]
        return {
            "PATH": ":".join(map(str, path)),
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PYTHONPATH": str(SUPPORT),
            "OMP_NUM_THREADS": "1",
        }

    def _add(self, name: str, address: str) -> None:
        """Starts a node and waits until it takes jobs."""
        self._start(name, _NODE.format(name=name, address=address, folder=self.folder))
        inner = str(self._init_of(name))
        self.run("ip", "link", "add", f"to_{name}", "type", "veth", "peer", "eth0", "netns", inner)
        self.run("ip", "link", "set", f"to_{name}", "master", "bridge", "up")
        self.wait(f"node {name}", lambda: self.run("sinfo", "-h", "-o", "%t", "-n", name).strip() == "idle")

    def _start(self, name: str, script: str) -> None:
        """Runs a script as the first process of a machine."""
        own = ["--net", "--uts", "--pid", "--mount-proc", "--kill-child"]
        text = f"set -e\nmount --bind {self.folder}/passwd /etc/passwd\n{self._opened()}{script}"
        with (self.folder / f"{name}.out").open("wb") as out:
            self._machines[name] = subprocess.Popen(
                ["unshare", *own, "sh", "-c", text], env=self._environment, stdout=out, stderr=out
            )

    def _init_of(self, name: str) -> int:
        """Id of a machine's first process."""
        outermost = self._machines[name]
        children = Path(f"/proc/{outermost.pid}/task/{outermost.pid}/children")
        while not (ids := children.read_text().split()):
            assert outermost.poll() is None, (self.folder / f"{name}.out").read_text()
            time.sleep(0.05)
        return int(ids[0])

    def _controllers_view(self) -> list[str]:
        return ["nsenter", f"--target={self._init_of('controller')}", "--net", "--mount", f"--wd={ROOT}"]

    def _write_files(self) -> None:
        nodes = "\n".join(
            f"NodeName={name} NodeAddr={address} CPUs=2 RealMemory=1000 State=UNKNOWN"
            for name, address in self._addresses.items()
        )
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        (self.folder / "slurm.conf").write_text(
            _CONFIGURATION.format(folder=self.folder, nodes=nodes, first_job=1 + os.getpid() % 50_000)
        )
        users = "".join(
            f"{name}:x:{uid}:{uid}::{self.folder / name}:/bin/bash\n" for name, uid in USERS.items()
        )
        (self.folder / "passwd").write_text(Path("/etc/passwd").read_text() + users)
        for name in self._addresses:
            # Debian's installer has a machine's own name so: its address is the loopback's.
            (self.folder / f"{name}.hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {name}\n")
        for name, uid in {**USERS, "root": 0}.items():
            (self.folder / name).mkdir()
            os.chown(self.folder / name, uid, uid)

    def _opened(self) -> str:
        """Commands after which every user may enter the folders of Python and of the code."""
        needed = [Path(sys.base_prefix), Path(sys.prefix), ROOT]
        closed = {
            next((up for up in reversed(path.parents) if not up.stat().st_mode & 0o001), None): path
            for path in needed
        }
        return "".join(
            f"mkdir -p {self.folder}/opened; mount --bind {path} {self.folder}/opened\n"
            f"mount -t tmpfs -o mode=755 none {up}\n"
            f"mkdir -p {path}; mount --bind {self.folder}/opened {path}\n"
            for up, path in closed.items()
            if up
        )
