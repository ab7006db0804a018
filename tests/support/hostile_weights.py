"""Hostile weights files and checkpoints."""

from __future__ import annotations

import argparse
import functools
import io
import os
import pickle
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from hostile import Case, Place, Words, closed, folder, link, pipe, put
from torch import Tensor

from sa_study.settings.run import Settings
from sa_study.settings.yaml_files import write_yaml
from sa_study.training.run import RunFolder
from sa_study.training.trainer import build_network

SETTINGS: dict[str, Any] = {
    "depth": 18,
    "pretrained": "none",
    "num_features": 8,
    "height": 32,
    "width": 16,
    "parts": 2,
    "batch_size": 8,
    "epochs": 2,
    "val_identities": 0,
    "threads": 1,
}


class Runs:
    """Would make a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@functools.cache
def state() -> dict[str, Tensor]:
    """Sound weights of a small network."""
    return build_network(Settings(**SETTINGS), 10).state_dict()


def saved(content: object, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def changed(**values: Tensor) -> bytes:
    """Sound weights but for some."""
    return saved({"state_dict": {**state(), **{name.replace("__", "."): v for name, v in values.items()}}})


def ours(**changes: Any) -> bytes:
    """A checkpoint of this program, sound but for some fields."""
    values = {
        "state_dict": state(),
        "settings": Settings(**SETTINGS).to_dict(),
        "num_classes": 10,
        "epoch": 1,
    }
    values |= {"history": [{"epoch": 1, "seconds": 1.0}], "optimizer": {}, "rng": {}, "format": 1}
    return saved({**values, **changes})


def with_settings(**changes: Any) -> bytes:
    return ours(settings={**Settings(**SETTINGS).to_dict(), **changes})


def wide() -> bytes:
    """Weights of few bytes whose settings want a network of 160 GB."""
    classifiers = {
        name: torch.ones(10**6, 1) for name in ("instance0.weight", "instance1.weight", "instance2.weight")
    }
    big = {"depth": 152, "num_features": 4096}
    return ours(state_dict={**state(), **classifiers}, settings={**Settings(**SETTINGS).to_dict(), **big})


def repacked(change: Callable[[bytes], bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A small zip file of torch with its pickle changed, or packed."""
    source, target = zipfile.ZipFile(io.BytesIO(saved({"a": torch.zeros(77)}))), io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name in source.namelist():
            content = source.read(name)
            archive.writestr(name, change(content) if name.endswith("data.pkl") else content)
    return target.getvalue()


def bomb() -> bytes:
    """Two gigabytes of zeros in two megabytes."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        with archive.open("archive/data/0", "w", force_zip64=True) as entry:
            for _ in range(20):
                entry.write(bytes(10_000_000))
    return target.getvalue()


HUGE = b"\x8a\x06" + (10**13).to_bytes(6, "little")
"""Ten trillion, as a pickle has it; in the place of 77."""


def nested(levels: int) -> tuple[Any, ...]:
    """A value of a few bytes that is printed in 2^levels."""
    value: tuple[Any, ...] = ()
    for _ in range(levels):
        value = (value, value)
    return value


def script() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), buffer)
    return buffer.getvalue()


Make = Callable[[Place], bytes]
FILES: list[tuple[str, Make, tuple[str, ...]]] = [
    ("a pickle that runs a command", lambda p: pickle.dumps(Runs(p.ran)), ("system", "nothing is run")),
    ("the same in a zip file", lambda p: saved({"state_dict": Runs(p.ran)}), ("system", "nothing is run")),
    ("the same in an old file", lambda p: saved([Runs(p.ran)], legacy=True), ("system", "nothing is run")),
    ("an object of a class", lambda p: saved(argparse.Namespace(a=1)), ("argparse.Namespace",)),
    ("a program of TorchScript", lambda p: script(), ("not a weights file",)),
    ("cut off", lambda p: saved(state())[:100_000], ("damaged",)),
    ("an old file, cut off", lambda p: saved(state(), legacy=True)[:100_000], ("damaged",)),
    ("0 bytes", lambda p: b"", ("empty",)),
    ("text", lambda p: b"weights\n", ("not a weights file",)),
    ("zeros that are packed", lambda p: bomb(), ("unpack to",)),
    ("packed entries", lambda p: repacked(lambda c: c + b" " * 10**6, zipfile.ZIP_DEFLATED), ("unpack to",)),
    ("a claim of ten trillion numbers", lambda p: repacked(lambda c: c.replace(b"KM", HUGE)), ("damaged",)),
    (
        "the same claim in an old file",
        lambda p: saved({"a": torch.zeros(77)}, legacy=True).replace(b"KM", HUGE),
        ("damaged",),
    ),
    (
        "one number, said to be a trillion",
        lambda p: changed(instance2__weight=torch.ones(1).expand(10**12, 8)),
        ("fewer numbers",),
    ),
    (
        "a trillion classes of nothing",
        lambda p: changed(instance2__weight=torch.ones(10**12, 0)),
        ("not the weights",),
    ),
    (
        "another shape",
        lambda p: changed(base__conv1__weight=torch.ones(3, 3)),
        ("differs in base.conv1.weight",),
    ),
    (
        "a key is missing",
        lambda p: saved({k: v for k, v in state().items() if k != "base.conv1.weight"}),
        ("lacks",),
    ),
    ("no network of ours", lambda p: saved({"conv": torch.ones(1)}), ("not the weights of an SA network",)),
    (
        "not a number",
        lambda p: changed(base__conv1__weight=torch.full((64, 3, 7, 7), torch.nan)),
        ("not finite",),
    ),
    ("infinity", lambda p: changed(instance2__bias=torch.full((10,), torch.inf)), ("not finite",)),
    ("complex numbers", lambda p: changed(instance2__bias=torch.ones(10) * 1j), ("complex64",)),
    ("a sparse tensor", lambda p: changed(instance2__bias=torch.ones(10).to_sparse()), ("no plain tensor",)),
    ("a tensor without numbers", lambda p: changed(instance2__bias=torch.ones(10, device="meta")), ("meta",)),
    ("texts for tensors", lambda p: saved({"state_dict": {"a": "b"}}), ("expected tensors",)),
    ("keys that are no texts", lambda p: saved({"state_dict": {1: torch.ones(1)}}), ("expected tensors",)),
    ("settings of a billion layers", lambda p: with_settings(depth=10**9), ("depth", "1000000000")),
    ("settings that want 160 GB", lambda p: wide(), ("differs in",)),
    ("settings that are a list", lambda p: ours(settings=[1]), ("settings", "list")),
    ("settings with a tensor", lambda p: with_settings(lr=torch.ones(3)), ("lr", "Tensor")),
    ("settings that print as 2^60 lines", lambda p: with_settings(lr=nested(60)), ("lr", "tuple")),
    ("settings of other names", lambda p: with_settings(shell="touch ran"), ("unknown setting", "shell")),
    ("settings with a number for a name", lambda p: ours(settings={1: 2}), ("settings", "name", "int")),
    ("a terminal's commands in a name", lambda p: with_settings(**{"\x1b]0;x\x07": 1}), ("\\x1b",)),
    ("half an epoch", lambda p: ours(epoch=0.5), ("epoch",)),
    ("epoch -1", lambda p: ours(epoch=-1), ("epoch",)),
]

LASTS: list[tuple[str, Make, tuple[str, ...]]] = [
    ("a pickle that runs a command", lambda p: saved(Runs(p.ran)), ("system", "nothing is run")),
    ("cut off", lambda p: ours()[:5000], ("damaged",)),
    ("0 bytes", lambda p: b"", ("empty",)),
    ("fields are missing", lambda p: saved({"state_dict": state()}), ("not a checkpoint written by",)),
    ("a format to come", lambda p: ours(format=10**6), ("format 1000000",)),
    ("a format that is none", lambda p: ours(format=nested(60)), ("no format",)),
    ("less than no identities", lambda p: ours(num_classes=-5), ("num_classes",)),
    ("a billion epochs", lambda p: ours(epoch=10**9), ("epoch",)),
    ("a history of texts", lambda p: ours(history=["a"]), ("history",)),
    ("a history that is a text", lambda p: ours(history="a"), ("history",)),
    ("a history without figures", lambda p: ours(history=[{}]), ("history",)),
    ("a history that prints as 2^60 lines", lambda p: ours(history=[{"epoch": nested(60)}]), ("history",)),
    ("an optimiser of nothing", lambda p: ours(optimizer={"state": {}, "param_groups": []}), ("optimiser",)),
    ("an optimiser that is none", lambda p: ours(optimizer=[1]), ("optimizer",)),
    ("no random state", lambda p: ours(rng={}), ("last.pt",)),
    ("weights of another shape", lambda p: ours(state_dict={"a": torch.ones(3)}), ("last.pt", "network")),
    ("settings of another run", lambda p: with_settings(lr=0.5), ("lr", "0.5")),
]


def _evaluate(make: Make, place: Place) -> Words:
    put(place.folder / "weights.pt", make(place))
    return "evaluate", "--weights", "weights.pt", "--data-dir", place.market


def _resume(make: Make, place: Place) -> Words:
    run = RunFolder(place.folder / "run")
    run.root.mkdir()
    write_yaml(run.config, Settings(**SETTINGS).to_dict())
    put(run.last, make(place))
    return "train", "--config", run.config, "--data-dir", place.market, "--out", run.root, "--resume"


def _start(make: Make, place: Place) -> Words:
    """As the backbone of a new run."""
    put(place.folder / "backbone.pt", make(place))
    values = {**SETTINGS, "pretrained": str(place.folder / "backbone.pt")}
    sets = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    return "paper", "--data-dir", place.market, "--out", "o", *sets


def _special(make: Callable[[Path], object], place: Place) -> Words:
    make(place.folder / "weights.pt")
    return "evaluate", "--weights", "weights.pt", "--data-dir", place.market


SPECIAL: Sequence[tuple[str, Callable[[Path], object], tuple[str, ...]]] = [
    ("a folder", folder, ("directory",)),
    ("a pipe", pipe, ("no regular file",)),
    ("one that may not be read", lambda path: closed(put(path, b"")), ("denied",)),
    ("a device that never ends", lambda path: link(path, "/dev/zero"), ("no regular file",)),
    ("a link to nothing", lambda path: link(path, "gone"), ("No such file",)),
    ("a link to itself", lambda path: link(path, path.name), ("weights.pt",)),
]


def _cases(
    kind: str,
    run: Callable[[Any, Place], Words],
    rows: Sequence[tuple[str, Any, tuple[str, ...]]],
    *file: str,
) -> list[Case]:
    return [
        Case(kind, name, functools.partial(run, make), naming=(*file, *words)) for name, make, words in rows
    ]


CASES: list[Case] = [
    *_cases("weights", _evaluate, FILES, "weights.pt"),
    *_cases("weights", _special, SPECIAL, "weights.pt"),
    *_cases("checkpoint to go on from", _resume, LASTS),
    *_cases("backbone", _start, FILES[:2], "backbone.pt"),
]
