"""The first trials take workers that started with Ray, and have imported what a trial needs."""

from __future__ import annotations

import subprocess
import sys

from checkout import ROOT

TAKEN = """
import os, sys, time
import ray
from ray.thirdparty_files import psutil
from ray.tune.execution.class_cache import _ActorClassCache
from sa_study.tuning.launch.cluster import connect
from sa_study.tuning.launch.local_ray import FirstWorkers

class Trial:
    def __init__(self):
        self.found = os.getpid(), "colorsys" in sys.modules
    def where(self):
        return self.found

def idle():
    below = psutil.Process().children(recursive=True)
    return [process.pid for process in below if process.cmdline()[:1] == ["ray::IDLE"]]

with connect(None, FirstWorkers(1, ("colorsys",))):
    while not (first := idle()):
        time.sleep(0.1)
    assert len(first) == 1, "not one for each core"
    trial = _ActorClassCache().get(Trial).options(num_cpus=0).remote()
    assert ray.get(trial.where.remote()) == (first[0], True)
    other = _ActorClassCache().get(Trial).options(num_cpus=0).remote()
    pid, imported = ray.get(other.where.remote())
    assert pid != first[0] and imported
"""

WITHOUT_GPUS = """
import torch

def asked(*arguments):
    raise AssertionError("a worker asked for GPUs before it has a trial")

torch.cuda.is_available = torch.cuda.device_count = torch.cuda.init = torch.cuda._lazy_init = asked
for name in ("_cuda_getDeviceCount", "_cuda_init"):
    if hasattr(torch._C, name):
        setattr(torch._C, name, asked)
import ray.tune
from sa_study.model.backbones import BACKBONES
from sa_study.tuning.launch import trainable
with torch.device("meta"):
    BACKBONES["resnet18"].build()
"""


def test_a_trial_takes_a_worker_that_started_with_ray() -> None:
    subprocess.run([sys.executable, "-c", TAKEN], cwd=ROOT, check=True)


def test_a_worker_that_has_no_trial_asks_for_no_gpu() -> None:
    """It would keep what it found, whatever its trial is given later."""
    subprocess.run([sys.executable, "-c", WITHOUT_GPUS], cwd=ROOT, check=True)
