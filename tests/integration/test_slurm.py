"""`deploy/slurm.sh` on a real Slurm of three machines: stopped, a node that fails, two users, a lost head."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from checkout import ROOT
from optuna.trial import TrialState
from ray.thirdparty_files import psutil
from slurm import SlurmCluster
from study_processes import TINY, trials_of

from sa_study.data.sample import make_sample_data
from sa_study.study.config import StudyConfig

pytestmark = pytest.mark.skipif(
    not shutil.which("slurmctld"), reason="needs slurmctld: apt install slurm-wlm munge"
)

SPACE = {
    "search": {"lr": {"type": "float", "low": 0.001, "high": 0.1, "log": True}},
    "fixed": {**TINY, "val_identities": 2, "epochs": 16},
    "baseline": {"lr": 0.01},
    "scheduler": {"name": "none"},
}


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmCluster]:
    with SlurmCluster(3) as slurm:
        make_sample_data(slurm.folder / "data", identities=8, images_per_camera=2)
        (slurm.folder / "space.yaml").write_text(yaml.safe_dump(SPACE))
        yield slurm


class Job:
    """A study in a batch job of one core a node.

    Args:
        slurm: The cluster.
        user: Whose job it is.
        study: Name of the study's folder.
        words: Options of `tune`.
        options: Options of `sbatch`.
    """

    def __init__(self, slurm: SlurmCluster, user: str, study: str, words: str, *options: str) -> None:
        self._slurm = slurm
        self.study = slurm.folder / user / study
        command = ["sbatch", "--parsable", "--cpus-per-task=1", "--gpus-per-node=0", *options]
        command += [f"--output={self.study}-%j.log", f"{ROOT}/deploy/slurm.sh", str(self.study)]
        command += [f"--data-dir={slurm.folder}/data", f"--space={slurm.folder}/space.yaml", *words.split()]
        said = slurm.run(*command, user=user)
        self.id = said.strip()
        self.log = Path(f"{self.study}-{self.id}.log")

    def state(self) -> str:
        """State and exit code, such as `COMPLETED 0:0`."""
        said = self._slurm.run("scontrol", "show", "job", self.id)
        words = dict(word.partition("=")[::2] for word in said.split())
        return f"{words['JobState']} {words['ExitCode']}"

    def says(self, words: str) -> None:
        """Waits until the log holds these words."""

        def logged() -> bool:
            text = self.log.read_text() if self.log.exists() else ""
            assert self.state().split()[0] in ("PENDING", "RUNNING", "COMPLETING"), text
            return words in text

        self._slurm.wait(f"{words!r} in the log", logged)

    def end(self) -> str:
        """Waits for the job's end; returns its state."""
        over = ("COMPLETED", "FAILED", "CANCELLED", "NODE_FAIL", "TIMEOUT")
        self._slurm.wait(f"the end of {self.study.name}", lambda: self.state().startswith(over))
        return self.state()


def require_tidy_end(job: Job) -> None:
    log = re.sub(r"slurmstepd-.* CANCELLED AT .*\n", "", job.log.read_text())  # Slurm's line about a signal
    for words in ("Killed", "rror:", "Traceback", "Ray has ended"):
        assert words not in log, log
    assert not list(Path("/tmp").glob(f"ray_{job.id}_*")), "a folder of Ray's is left"


def ray_processes(job: Job) -> list[psutil.Process]:
    """Ray's own processes on all nodes of a job, found by the folder that they are given."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            ours = f"/ray_{job.id}_" in " ".join(process.cmdline())
            if ours and process.name() in ("gcs_server", "raylet"):
                found.append(process)
    return found


def test_a_study_is_stopped_goes_on_and_loses_a_node(slurm: SlurmCluster) -> None:
    job = Job(slurm, "ada", "study", "--trials 4", "--nodes=2")
    after = (f"--dependency=afterok:{job.id}", "--export=PATH,HOME,PYTHONPATH")
    follower = Job(slurm, "ada", "study", "--trials 4", "--nodes=3", *after)
    job.says("epoch 1/16")
    address = StudyConfig.read(job.study / "study.yaml").address
    assert address and address.startswith("10.77.0.11:"), "the other node reaches it there"
    slurm.run("scancel", "--signal=TERM", job.id, user="ada")
    assert job.end() == "COMPLETED 0:0", "a planned stop"
    assert "interrupted; go on with" in job.log.read_text()
    assert "Killed" not in job.log.read_text()
    slurm.wait("Ray on three nodes", lambda: len(ray_processes(follower)) == 4)
    assert all(process.environ().get("RAY_AUTH_MODE") == "token" for process in ray_processes(follower))
    follower.says("epoch 2/16")
    slurm.fail("n3")
    assert follower.end() == "COMPLETED 0:0", follower.log.read_text()
    assert "resuming" in follower.log.read_text()
    assert [trial.state for trial in trials_of(job.study)] == [TrialState.COMPLETE] * 4
    [left] = Path("/tmp").glob(f"ray_{follower.id}_*")  # the failed node's
    shutil.rmtree(left)


def test_two_users_share_a_node_and_one_loses_its_head(slurm: SlurmCluster) -> None:
    long = ("--trials 1 --set epochs=1000", "--nodes=1", "--nodelist=n1")
    first, second = (Job(slurm, user, "long", *long) for user in ("ada", "ben"))
    for job in (first, second):
        job.says("epoch 1/1000")
    slurm.run("scancel", "--signal=TERM", "--batch", second.id, user="ben")  # what the script asks of Slurm
    assert second.end() == "COMPLETED 0:0", "a planned stop before the time limit"
    assert "interrupted; go on with" in second.log.read_text()
    require_tidy_end(second)
    assert first.state() == "RUNNING 0:0"
    [head] = [process for process in ray_processes(first) if process.name() == "gcs_server"]
    head.kill()
    assert first.end() == "FAILED 1:0"
    log = first.log.read_text()
    assert log.count("error: the Ray cluster's head at") == 1 and "The program will terminate" not in log, log
    assert "Traceback" not in log and not list(Path("/tmp").glob(f"ray_{first.id}_*"))
