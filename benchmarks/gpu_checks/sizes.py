"""How much is measured: on a GPU within ten minutes, and in a rehearsal on a CPU within seconds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from market import MARKET, MSMT17
from training import PAPER

from sa_study.settings.run import Settings

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

Job = tuple[str, Callable[[], dict[str, Any]]]
"""What is measured, and the function that measures it; None is a figure that this machine cannot give."""


@dataclass(frozen=True)
class Sizes:
    """The sizes of one run.

    Attributes:
        network: The settings whose speed is measured.
        checked: A small network whose results are compared; without dropout, which devices draw differently.
        steps: Steps of an epoch, by batch size.
        rounds: Rounds of each timing; the median counts.
        variants: Precision and layout of each measurement of training, by name.
        compiled: The same of those that are compiled first, which takes a minute each.
        test_sets: Queries and gallery images of each ranking, by name; columns of the features; rounds.
        trials: Numbers of trials at a time.
        workers: Numbers of a DataLoader's workers.
        matrix: Rows and columns of the matrix product that stands for the chip.
        features: Images of which features are extracted.
    """

    network: Settings
    checked: Settings
    steps: Mapping[int, int]
    rounds: int
    variants: Mapping[str, Mapping[str, Any]]
    compiled: Mapping[str, Mapping[str, Any]]
    test_sets: Mapping[str, tuple[Mapping[str, int], int, int]]
    trials: tuple[int, ...]
    workers: tuple[int, ...]
    matrix: int
    features: int


_FAST = {"precision": "bf16", "channels_last": True}
_CHECKED = Settings(
    backbone="resnet18",
    pretrained="none",
    height=64,
    width=32,
    parts=4,
    num_features=32,
    batch_size=8,
    dropout=0.0,
    lr=0.01,
    precision="fp32",
    device=DEVICE.type,
    epochs=2,
)

FULL = Sizes(
    network=PAPER,
    checked=_CHECKED,
    steps={48: 20, 256: 4},
    rounds=3,
    variants={
        "fp32": {"precision": "fp32"},
        "tf32": {"precision": "tf32"},
        "tf32, channels_last": {"precision": "tf32", "channels_last": True},
        "bf16, channels_last": _FAST,
    },
    compiled={
        "bf16, channels_last, compiled": {**_FAST, "compile": "default"},
        "bf16, channels_last, CUDA graphs": {**_FAST, "compile": "cuda-graphs"},
    },
    test_sets={
        "Market-1501, 512 columns": (MARKET, 512, 3),
        "Market-1501, 12,288 columns": (MARKET, 12288, 3),
        "MSMT17, 512 columns": (MSMT17, 512, 1),
    },
    trials=(1, 2, 4, 8),
    workers=(4, 16),
    matrix=8192,
    features=4096,
)

_TINY_SET = {"queries": 20, "gallery": 60, "identities": 8, "cameras": 3, "distractors": 4}

TINY = dataclasses.replace(
    FULL,
    network=dataclasses.replace(_CHECKED, precision="fp32", batch_size=2),
    checked=dataclasses.replace(_CHECKED, height=32, width=16, parts=2, num_features=8, batch_size=4),
    steps={2: 1},
    rounds=1,
    variants={"fp32": {"precision": "fp32"}},
    test_sets={"tiny": (_TINY_SET, 16, 1), "tiny, 600 columns": (_TINY_SET, 600, 1)},
    trials=(1,),
    workers=(0,),
    matrix=64,
    features=4,
)
