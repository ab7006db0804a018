"""Hostile weights files and checkpoints."""

from __future__ import annotations

import argparse
import functools
import io
import os
import pickle
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hostile import SPECIAL, Case, Place, Words, cases_of, put
from small_space import SMALL_RESNET
from torch import Tensor

from sa_study.settings.run import Settings
from sa_study.settings.yaml_files import write_yaml
from sa_study.training.run import RunFolder
from sa_study.training.trainer import build_network

SETTINGS: dict[str, Any] = {**SMALL_RESNET, "num_features": 8, "epochs": 2, "val_identities": 0}


RAN = Path(tempfile.gettempdir()) / f"hostile_code_ran_{os.getpid()}"
"""A file that only code from hostile input would make, in whichever folder it runs."""


class Runs:
    """Would make the file `RAN` when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {RAN}",)


@functools.cache
def state() -> dict[str, Tensor]:
    """Sound weights of a small network."""
    return build_network(Settings(**SETTINGS), 10).state_dict()


def saved(content: object, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def changed(name: str, value: Tensor) -> bytes:
    """Sound weights but for one of them."""
    return saved({"state_dict": {**state(), name: value}})


def ours(**changes: Any) -> bytes:
    """A checkpoint of this program, sound but for some fields."""
    values = {
        "state_dict": state(),
        "settings": Settings(**SETTINGS).to_dict(),
        "num_classes": 10,
        "epoch": 1,
        "history": [{"epoch": 1, "seconds": 1.0}],
        "optimizer": {},
        "rng": {},
        "format": 1,
    }
    return saved({**values, **changes})


def with_settings(changes: dict[str, Any], **more: Any) -> bytes:
    return ours(settings={**Settings(**SETTINGS).to_dict(), **changes}, **more)


def wide() -> bytes:
    """A small file whose settings want a network of 100 GB."""
    classifiers = {f"instance{number}.weight": torch.ones(10**6, 1) for number in range(3)}
    return with_settings({"depth": 152, "num_features": 4096}, state_dict={**state(), **classifiers})


def repacked(change: Callable[[bytes], bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A small zip file of torch with its pickle changed, or its entries compressed."""
    source, target = zipfile.ZipFile(io.BytesIO(saved({"a": torch.zeros(77)}))), io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name in source.namelist():
            content = source.read(name)
            archive.writestr(name, change(content) if name.endswith("data.pkl") else content)
    return target.getvalue()


def bomb() -> bytes:
    """Two hundred megabytes of zeros in about one."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        with archive.open("archive/data/0", "w", force_zip64=True) as entry:
            for _ in range(20):
                entry.write(bytes(10_000_000))
    return target.getvalue()


HUGE = b"\x8a\x06" + (10**13).to_bytes(6, "little")
"""Ten trillion as a pickle writes it, to replace `b"KM"`, which is how it writes 77."""


def nested(levels: int) -> tuple[Any, ...]:
    """A small value whose text has over 2^levels characters."""
    value: tuple[Any, ...] = ()
    for _ in range(levels):
        value = (value, value)
    return value


def script() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), buffer)
    return buffer.getvalue()


CONV, LAST, BIAS = "base.conv1.weight", "instance2.weight", "instance2.bias"
REFUSES_TO_RUN = ("system", "nothing is run")
# Each case: its name, the file's content, and words of the error.
FILES: list[tuple[str, Callable[[], bytes], str | tuple[str, ...]]] = [
    ("a pickle that runs a command", lambda: pickle.dumps(Runs()), REFUSES_TO_RUN),
    ("the same in a zip file", lambda: saved({"state_dict": Runs()}), REFUSES_TO_RUN),
    ("the same in an old file", lambda: saved([Runs()], legacy=True), REFUSES_TO_RUN),
    ("an object of a class", lambda: saved(argparse.Namespace(a=1)), "argparse.Namespace"),
    ("a program of TorchScript", script, "not a weights file"),
    ("cut off", lambda: saved(state())[:100_000], "damaged"),
    ("an old file, cut off", lambda: saved(state(), legacy=True)[:100_000], "damaged"),
    ("0 bytes", lambda: b"", "empty"),
    ("text", lambda: b"weights\n", "not a weights file"),
    ("compressed zeros", bomb, "unpack to"),
    ("compressed entries", lambda: repacked(lambda c: c + b" " * 10**6, zipfile.ZIP_DEFLATED), "unpack to"),
    ("a claim of ten trillion numbers", lambda: repacked(lambda c: c.replace(b"KM", HUGE)), "damaged"),
    ("the same claim in an old file",
     lambda: saved({"a": torch.zeros(77)}, legacy=True).replace(b"KM", HUGE), "damaged"),
    ("one number, said to be a trillion", lambda: changed(LAST, torch.ones(1).expand(10**12, 8)),
     "fewer numbers"),
    ("a trillion classes of nothing", lambda: changed(LAST, torch.ones(10**12, 0)), "not the weights"),
    ("another shape", lambda: changed(CONV, torch.ones(3, 3)), "differs in base.conv1.weight"),
    ("a key is missing", lambda: saved({k: v for k, v in state().items() if k != CONV}), "lacks"),
    ("no network of ours", lambda: saved({"conv": torch.ones(1)}), "not the weights of an SA network"),
    ("not a number", lambda: changed(CONV, torch.full((64, 3, 7, 7), torch.nan)), "not finite"),
    ("infinity", lambda: changed(BIAS, torch.full((10,), torch.inf)), "not finite"),
    ("complex numbers", lambda: changed(BIAS, torch.ones(10) * 1j), "complex64"),
    ("a sparse tensor", lambda: changed(BIAS, torch.ones(10).to_sparse()), "no plain tensor"),
    ("a tensor without numbers", lambda: changed(BIAS, torch.ones(10, device="meta")), "meta"),
    ("texts for tensors", lambda: saved({"state_dict": {"a": "b"}}), "expected tensors"),
    ("keys that are no texts", lambda: saved({"state_dict": {1: torch.ones(1)}}), "expected tensors"),
    ("settings of a billion layers", lambda: with_settings({"depth": 10**9}), ("depth", "1000000000")),
    ("settings that want 100 GB", wide, "differs in"),
    ("settings that are a list", lambda: ours(settings=[1]), ("settings", "list")),
    ("settings with a tensor", lambda: with_settings({"lr": torch.ones(3)}), ("lr", "Tensor")),
    ("settings that print as 2^60 characters", lambda: with_settings({"lr": nested(60)}), ("lr", "tuple")),
    ("settings of other names", lambda: with_settings({"shell": "touch ran"}), ("unknown setting", "shell")),
    ("settings with a number for a name", lambda: ours(settings={1: 2}), ("settings", "name", "int")),
    ("a terminal's commands in a name", lambda: with_settings({"\x1b]0;x\x07": 1}), "\\x1b"),
    ("half an epoch", lambda: ours(epoch=0.5), "epoch"),
    ("epoch -1", lambda: ours(epoch=-1), "epoch"),
]  # fmt: skip
LAST_CHECKPOINTS: list[tuple[str, Callable[[], bytes], str | tuple[str, ...]]] = [
    ("a pickle that runs a command", lambda: saved(Runs()), REFUSES_TO_RUN),
    ("cut off", lambda: ours()[:5000], "damaged"),
    ("0 bytes", lambda: b"", "empty"),
    ("fields are missing", lambda: saved({"state_dict": state()}), "not a checkpoint written by"),
    ("a format to come", lambda: ours(format=10**6), "format 1000000"),
    ("a format that is no number", lambda: ours(format=nested(60)), "no checkpoint format"),
    ("a negative number of identities", lambda: ours(num_classes=-5), "num_classes"),
    ("a billion epochs", lambda: ours(epoch=10**9), "epoch"),
    ("a history of texts", lambda: ours(history=["a"]), "history"),
    ("a history that is a text", lambda: ours(history="a"), "history"),
    ("a history without figures", lambda: ours(history=[{}]), "history"),
    ("a history that prints as 2^60 characters", lambda: ours(history=[{"epoch": nested(60)}]), "history"),
    ("an optimiser of nothing", lambda: ours(optimizer={"state": {}, "param_groups": []}), "optimiser"),
    ("an optimiser that is a list", lambda: ours(optimizer=[1]), "optimizer"),
    ("no random state", lambda: ours(rng={}), "last.pt"),
    ("weights of another shape", lambda: ours(state_dict={"a": torch.ones(3)}), ("last.pt", "network")),
    ("settings of another run", lambda: with_settings({"lr": 0.5}), ("lr", "0.5")),
]


def _evaluate(place: Place, content: Callable[[], bytes]) -> Words:
    return _special(place, lambda path: put(path, content()))


def _special(place: Place, content: Callable[[Path], object]) -> Words:
    content(place.folder / "weights.pt")
    return "evaluate", "--weights", "weights.pt", "--data-dir", place.market


def _resume(place: Place, content: Callable[[], bytes]) -> Words:
    run = RunFolder(place.folder / "run")
    run.root.mkdir()
    write_yaml(run.config, Settings(**SETTINGS).to_dict())
    put(run.last, content())
    return "train", "--config", run.config, "--data-dir", place.market, "--out", run.root, "--resume"


def _start(place: Place, content: Callable[[], bytes]) -> Words:
    """The file as the backbone of a new run."""
    path = put(place.folder / "backbone.pt", content())
    values = {**SETTINGS, "pretrained": path}
    sets = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    return "paper", "--data-dir", place.market, "--out", "o", *sets


CASES: list[Case] = [
    *cases_of("weights", FILES, _evaluate, naming=("weights.pt",)),
    *cases_of("weights", SPECIAL, _special, naming=("weights.pt",)),
    *cases_of("checkpoint to go on from", LAST_CHECKPOINTS, _resume),
    *cases_of("backbone", FILES[:2], _start, naming=("backbone.pt",)),
]
