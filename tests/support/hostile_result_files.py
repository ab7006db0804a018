"""Hostile result files of a study: edited or truncated ledgers, confirmations, evaluations and so on."""

from __future__ import annotations

import functools
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import yaml
from hostile import COUNTED, READ, REFUSED, Case, Place, Words, closed, folder, link, pipe, put, sql
from hostile_yaml import BOMB

Damage = Callable[[Path], object]


def _case(place: Place, damage: Damage, command: str) -> Words:
    study = place.make_study()
    damage(study)
    return *command.split(), "--study", "study"


def file(name: str, content: bytes | str) -> Damage:
    return lambda study: put(study / name, content)


def events(make: Callable[[Path], object]) -> Damage:
    """Makes a file that TensorBoard would read."""

    def damage(study: Path) -> None:
        path = study / "tensorboard" / "trial_0001" / "events.out.tfevents.1"
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)

    return damage


def forbidden(name: str) -> Damage:
    return lambda study: closed(study / name)


def results(**changes: object) -> Damage:
    """Changes the last epoch that Ray wrote of trial 1, the winner; None drops a figure."""

    def damage(study: Path) -> None:
        path = study / "trials" / "session_1" / "trial_0001" / "result.json"
        *lines, last = path.read_text().splitlines()
        values = {**json.loads(last), **changes}
        kept = {name: value for name, value in values.items() if value is not None}
        put(path, "\n".join([*lines, json.dumps(kept)]) + "\n")

    return damage


def snapshot(text: str) -> Damage:
    return file("trials/session_1/experiment_state-2026-11-25_10-00-00.json", text)


NOBODY = '{"trial_data": [["{}", "{}"]]}'
TOLD = json.dumps({"config": {"number": 1, "suggested": {}}, "status": "OK"})
LISTS = json.dumps({"trial_data": [[TOLD, '{"last_result": [1]}']]})
ALIASES = BOMB + "lr: *a39\n"


def evaluation(**changes: object) -> Damage:
    """Changes `evaluation.json`; None drops a key."""

    def damage(study: Path) -> None:
        values = {**json.loads((study / "evaluation.json").read_text()), **changes}
        kept = {name: value for name, value in values.items() if value is not None}
        put(study / "evaluation.json", json.dumps(kept))

    return damage


def results_of_gigabytes(study: Path) -> None:
    path = put(study / "trials" / "session_1" / "trial_0001" / "result.json", "")
    os.truncate(path, 2**33)


def made(make: Callable[[Path], object], name: str) -> Damage:
    return lambda study: make(study / name)


def linked(name: str) -> Damage:
    """A link to a folder beside the study, which is not to be touched."""

    def damage(study: Path) -> None:
        put(study.parent / "precious" / "events.out.tfevents.1", "do not overwrite")
        (study / name).parent.mkdir(parents=True, exist_ok=True)
        link(study / name, study.parent / "precious")

    return damage


def two_objectives(study: Path) -> None:
    values = yaml.safe_load((study / "study.yaml").read_text())
    values["space"]["scheduler"]["name"] = "none"
    put(study / "study.yaml", yaml.safe_dump({**values, "minimize": "cost"}))


def numbered(number: int) -> Damage:
    return lambda study: sql(study, "UPDATE trials SET number = ? WHERE number = 3", number)


def _escaping_name(place: Place) -> Words:
    return "report", "--study", place.make_study().rename(place.folder / "st\x1b[31mudy\u202e")


PAPER = "export --formats markdown"
GPUS = '{"data_fingerprint": "00", "launches": [{"hardware": {"gpus": 5}}]}'
NOISE = bytes(range(256)) * 64
LONG = struct.pack("<QI", 2**60, 0) + NOISE
DEEP = "[" * 100_000
ROWS: list[tuple[str, Damage, str, tuple[str, ...], str]] = [
    # name, damage, command, words of the line or the output, how it ends
    ("other training images", file("provenance.json", '{"data_fingerprint": "00", "launches": [{}]}'),
     "reproduce", ("images",), REFUSED),
    ("a damaged ledger", file("test_ledger.json", "{"), "evaluate", ("test_ledger.json",), REFUSED),
    ("a damaged ledger before a training", file("test_ledger.json", "[]"), "evaluate --retrain",
     ("test_ledger.json",), REFUSED),
    ("a ledger that is a pipe", lambda s: pipe(s / "test_ledger.json"), "evaluate",
     ("test_ledger.json",), REFUSED),
    ("a confirmation of another study", file("confirmation.json", '{"winner": 99}'),
     "evaluate --retrain", ("confirmation.json", "confirm again"), REFUSED),
    ("a confirmation that is cut", file("confirmation.json", '{"winner":'), "evaluate --retrain",
     ("confirmation.json",), REFUSED),
    ("a trial that there is not", lambda s: s, "reproduce --trial 99", ("99",), REFUSED),
    ("evaluation.json that is cut", file("evaluation.json", '{"mAP": 0.'), "report", ("written",), READ),
    ("evaluation.json nested deep", file("evaluation.json", DEEP), "report", ("written",), READ),
    ("evaluation.json with a NaN", file("evaluation.json", '{"mAP": NaN}'), "report", ("written",), READ),
    ("confirmation.json of nothing", file("confirmation.json", "{}"), "report", ("written",), READ),
    ("retrained.json that is a pipe", lambda s: pipe(s / "retrained.json"), "report", ("written",), READ),
    ("best.yaml with an alias bomb", file("best.yaml", ALIASES), "audit", ("best.yaml",), COUNTED),
    ("events that are a pipe", events(pipe), "audit", ("tensorboard",), COUNTED),
    ("events of noise", events(lambda path: put(path, NOISE)), "audit", ("TensorBoard",), COUNTED),
    ("events of 2^60 bytes", events(lambda path: put(path, LONG)), "audit", ("TensorBoard",), COUNTED),
    ("a curve of no trial", file("tensorboard/trial_x/a", ""), "audit", ("trial_x",), COUNTED),
    ("a curve that is a file", file("tensorboard/trial_0001", ""), "audit", ("trial_0001",), COUNTED),
    ("a curve that may not be read", events(lambda path: closed(path.parent)), "audit", ("denied",), COUNTED),
    ("a curve of trial 1111…", file(f"tensorboard/trial_{'1' * 200}/a", ""), "audit", ("1111",), COUNTED),
    ("figures in words", results(mAP="good"), "audit", ("result.json", "mAP"), COUNTED),
    ("figures in words", results(mAP="good"), "export --formats trials", ("trials",), READ),
    ("a loss in words", results(loss="low"), "audit", ("result.json", "loss"), COUNTED),
    ("no progress", results(progress=None), "audit", ("result.json", "progress"), COUNTED),
    ("a time in words", results(timestamp="noon"), "audit", ("result.json", "timestamp"), COUNTED),
    ("epoch 10^12", results(epoch=10**12), "audit", ("epochs",), COUNTED),
    ("epoch 2^30", results(epoch=2**30), "audit", ("result.json", "epoch"), COUNTED),
    ("results nested deep", results(loss=[[]] * 9), "audit", ("result.json", "loss"), COUNTED),
    ("a snapshot of numbers", snapshot("[1, 2]"), "audit", ("experiment_state",), COUNTED),
    ("a snapshot of no trial", snapshot(NOBODY), "audit", ("experiment_state",), COUNTED),
    ("a snapshot of lists", snapshot(LISTS), "audit", ("experiment_state",), COUNTED),
    ("a snapshot nested deep", snapshot(DEEP), "audit", ("experiment_state",), COUNTED),
    ("study.yaml that may not be read", forbidden("study.yaml"), "status", ("study.yaml",), REFUSED),
    ("a database that may not be read", forbidden("optuna.db"), "status", ("optuna.db",), REFUSED),
    ("a ledger that may not be read", forbidden("test_ledger.json"), "evaluate", ("ledger",), REFUSED),
    ("evaluation.json that may not be read", forbidden("evaluation.json"), "report", ("written",), READ),
    ("evaluation.json beyond every float", evaluation(mAP=10**400), "report", ("written",), READ),
    ("evaluation.json beyond every float", evaluation(mAP=10**400), PAPER, ("evaluation.json",), REFUSED),
    ("evaluation.json with words", evaluation(mAP="0.5"), PAPER, ("evaluation.json",), REFUSED),
    ("evaluation.json with a list", evaluation(settings=[]), PAPER, ("evaluation.json",), REFUSED),
    ("evaluation.json without a gallery", evaluation(gallery=None), "report", ("written",), READ),
    ("evaluation.json that is a folder", made(folder, "evaluation.json"), "evaluate", ("evaluation.json",),
     REFUSED),
    ("a ledger with 1e999", file("test_ledger.json", '{"looks": [{"x": 1e999}]}'), "evaluate",
     ("test_ledger.json",), REFUSED),
    ("a ledger nested 900 deep", file("test_ledger.json", f'{{"looks": [{{"x": {"[" * 900}{"]" * 900}}}]}}'),
     "evaluate", ("test_ledger.json",), REFUSED),
    ("GPUs that are a number", file("provenance.json", GPUS), PAPER, ("written",), READ),
    ("results of 8 GB", results_of_gigabytes, "audit", ("result.json", "bytes"), REFUSED),
    ("results of 8 GB", results_of_gigabytes, "export --formats trials", ("trials",), READ),
    ("a run's pictures elsewhere", linked("tensorboard/best"), "visualize --test", ("is a link",), REFUSED),
    ("a final training elsewhere", linked("final/best"), "evaluate --retrain", ("is a link",), REFUSED),
    ("a final training that is a file", file("final", ""), "evaluate --retrain", ("final",), REFUSED),
    ("a picture that is a folder", made(folder, "pictures/cmc_curve.png"), "visualize --test", ("cmc_curve",),
     REFUSED),
    ("a second objective that no trial has", two_objectives, "status", ("COMPLETE",), READ),
    ("trial 9 x 10^18", numbered(9 * 10**18), "audit", ("is missing",), COUNTED),
    ("10^9 seeds", lambda s: s, "evaluate --retrain --seeds 1000000000", ("--seeds", "1000"), REFUSED),
    ("10^9 seeds", lambda s: s, "confirm --seeds 1000000000", ("--seeds", "1000"), REFUSED),
    ("reproduction.json of numbers", file("reproduction.json", "[1, 2]"), "report", ("written",), READ),
]  # fmt: skip

CASES = [
    Case(
        "files beside a study",
        f"{name} ({command.split()[0]})",
        functools.partial(_case, damage=damage, command=command),
        ends,
        naming,
    )
    for name, damage, command, naming, ends in ROWS
] + [Case("files beside a study", "a name that moves the cursor", _escaping_name, READ, ("written",))]
