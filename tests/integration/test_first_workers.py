"""The first trials take workers that started with Ray, and have imported what a trial needs."""

from __future__ import annotations

import os
import subprocess
import sys

from checkout import ROOT

WORKERS = """
import os, sys, time
import ray
from ray.thirdparty_files import psutil
from ray.tune.execution.class_cache import _ActorClassCache
from sa_study.tuning.launch.cluster import connect
from sa_study.tuning.launch.local_ray import FirstWorkers

class Trial:
    def __init__(self):
        self.found = os.getpid(), "colorsys" in sys.modules, os.environ["OMP_NUM_THREADS"]
    def where(self):
        return self.found

def below(wanted):
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if wanted in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:  # it has ended
            pass
    return found
"""

TAKEN = f"""{WORKERS}
with connect(None, FirstWorkers(1, ("colorsys",), 3)):
    assert len(below("--num_prestart_python_workers=1")) == 1, "not one worker for each core"
    end = time.monotonic() + 100
    while not (first := below("ray::IDLE")):
        assert time.monotonic() < end, "no worker has started"
        time.sleep(0.1)
    trial = _ActorClassCache().get(Trial).options(num_cpus=0).remote()
    assert ray.get(trial.where.remote()) == (first[0].pid, True, "3")
    other = _ActorClassCache().get(Trial).options(num_cpus=0).remote()
    pid, *found = ray.get(other.where.remote())
    assert pid != first[0].pid and found == [True, "3"]
"""

NONE = f"""{WORKERS}
with connect(None):
    trial = _ActorClassCache().get(Trial).options(num_cpus=1).remote()
    pid, imported, threads = ray.get(trial.where.remote())
    workers = below("ray::IDLE") + below("ray::Trial")
    assert [process.pid for process in workers] == [pid] and not imported
    assert threads == "1", "as Ray sets it for a trial of one core"
"""

WITHOUT_GPUS = """
import importlib
import torch

def asked(*arguments):
    raise AssertionError("a worker asked for GPUs before it has a trial")

torch.cuda.is_available = torch.cuda.device_count = torch.cuda.init = torch.cuda._lazy_init = asked
for name in ("_cuda_getDeviceCount", "_cuda_init"):
    if hasattr(torch._C, name):
        setattr(torch._C, name, asked)
from sa_study.tuning.launch.cluster import WORKER_MODULES
for name in WORKER_MODULES:
    importlib.import_module(name)
from sa_study.model.backbones import BACKBONES
from sa_study.tuning.launch import trainable
with torch.device("meta"):
    BACKBONES["resnet18"].build()
assert not torch.cuda.is_initialized()
"""


def run(script: str) -> None:
    variables = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=variables, check=True, timeout=150)


def test_a_trial_takes_a_worker_that_started_with_ray() -> None:
    run(TAKEN)


def test_where_none_is_asked_for_none_starts() -> None:
    run(NONE)


def test_a_worker_that_has_no_trial_asks_for_no_gpu() -> None:
    """It would keep what it found, whatever its trial is given later."""
    run(WITHOUT_GPUS)
