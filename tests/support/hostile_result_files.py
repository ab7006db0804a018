"""Hostile result files of a study: edited or truncated ledgers, confirmations, evaluations and so on."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from hostile import (
    COUNTED,
    READ,
    REFUSED,
    Case,
    Place,
    Words,
    cases_of,
    closed,
    edit,
    folder,
    link,
    made,
    pipe,
    put,
    sql,
    written,
)
from hostile_yaml import BOMB

Damage = Callable[[Path], object]


def events(make: Callable[[Path], object]) -> Damage:
    """Makes a file that TensorBoard would read."""

    def damage(study: Path) -> None:
        path = study / "tensorboard" / "trial_0001" / "events.out.tfevents.1"
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)

    return damage


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
    return written("trials/session_1/experiment_state-2026-11-25_10-00-00.json", text)


NOBODY = '{"trial_data": [["{}", "{}"]]}'
TOLD = json.dumps({"config": {"number": 1, "suggested": {}}, "status": "OK"})
LISTS = json.dumps({"trial_data": [[TOLD, '{"last_result": [1]}']]})
ALIASES = BOMB + "lr: *a39\n"


def evaluation(**changes: object) -> Damage:
    """Changes `evaluation.json`; None drops a key."""
    return lambda study: edit(study / "evaluation.json", **changes)


def results_of_gigabytes(study: Path) -> None:
    path = put(study / "trials" / "session_1" / "trial_0001" / "result.json", "")
    os.truncate(path, 2**33)


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


GPUS = '{"data_fingerprint": "00", "launches": [{"hardware": {"gpus": 5}}]}'
OTHER_IMAGES = '{"data_fingerprint": "00", "launches": [{}]}'
NOISE = bytes(range(256)) * 64
LONG = struct.pack("<QI", 2**60, 0) + NOISE
DEEP = "[" * 100_000
LOOKS_NESTED = f'{{"looks": [{{"x": {"[" * 900}{"]" * 900}}}]}}'
HUGE = evaluation(mAP=10**400)

ENDS = {"audit": COUNTED, "report": READ, "export --formats trials": READ}
"""How the cases of a command end; of other commands they are refused."""

ROWS: list[tuple[Any, ...]] = [
    # name, damage, command, words of the line or the output, how it ends if otherwise
    ("other training images", written("provenance.json", OTHER_IMAGES), "reproduce", "images"),
    ("a trial that there is not", lambda study: study, "reproduce --trial 99", "99"),
    ("a damaged ledger", written("test_ledger.json", "{"), "evaluate", "test_ledger.json"),
    ("a ledger that is a pipe", made(pipe, "test_ledger.json"), "evaluate", "test_ledger.json"),
    ("a ledger that may not be read", made(closed, "test_ledger.json"), "evaluate", "ledger"),
    ("a ledger with 1e999", written("test_ledger.json", '{"looks": [{"x": 1e999}]}'),
     "evaluate", "test_ledger.json"),
    ("a ledger nested 900 deep", written("test_ledger.json", LOOKS_NESTED), "evaluate", "test_ledger.json"),
    ("evaluation.json that is a folder", made(folder, "evaluation.json"), "evaluate", "evaluation.json"),
    ("a damaged ledger before a training", written("test_ledger.json", "[]"),
     "evaluate --retrain", "test_ledger.json"),
    ("a confirmation of another study", written("confirmation.json", '{"winner": 99}'),
     "evaluate --retrain", ("confirmation.json", "confirm again")),
    ("a confirmation that is cut", written("confirmation.json", '{"winner":'),
     "evaluate --retrain", "confirmation.json"),
    ("a final training elsewhere", linked("final/best"), "evaluate --retrain", "is a link"),
    ("a final training that is a file", written("final", ""), "evaluate --retrain", "final"),
    ("10^9 seeds", lambda study: study, "evaluate --retrain --seeds 1000000000", ("--seeds", "1000")),
    ("10^9 seeds", lambda study: study, "confirm --seeds 1000000000", ("--seeds", "1000")),
    ("a run's pictures elsewhere", linked("tensorboard/best"), "visualize --test", "is a link"),
    ("a picture that is a folder", made(folder, "pictures/cmc_curve.png"), "visualize --test", "cmc_curve"),
    ("study.yaml that may not be read", made(closed, "study.yaml"), "status", "study.yaml"),
    ("a database that may not be read", made(closed, "optuna.db"), "status", "optuna.db"),
    ("a second objective that no trial has", two_objectives, "status", "COMPLETE", READ),
    ("evaluation.json that is cut", written("evaluation.json", '{"mAP": 0.'), "report", "written"),
    ("evaluation.json nested deep", written("evaluation.json", DEEP), "report", "written"),
    ("evaluation.json with a NaN", written("evaluation.json", '{"mAP": NaN}'), "report", "written"),
    ("evaluation.json that may not be read", made(closed, "evaluation.json"), "report", "written"),
    ("evaluation.json beyond every float", HUGE, "report", "written"),
    ("evaluation.json without a gallery", evaluation(gallery=None), "report", "written"),
    ("confirmation.json of nothing", written("confirmation.json", "{}"), "report", "written"),
    ("retrained.json that is a pipe", made(pipe, "retrained.json"), "report", "written"),
    ("reproduction.json of numbers", written("reproduction.json", "[1, 2]"), "report", "written"),
    ("evaluation.json beyond every float", HUGE, "export --formats markdown", "evaluation.json"),
    ("evaluation.json with words", evaluation(mAP="0.5"), "export --formats markdown", "evaluation.json"),
    ("evaluation.json with a list", evaluation(settings=[]), "export --formats markdown", "evaluation.json"),
    ("GPUs that are a number", written("provenance.json", GPUS),
     "export --formats markdown", "written", READ),
    ("figures in words", results(mAP="good"), "export --formats trials", "trials"),
    ("results of 8 GB", results_of_gigabytes, "export --formats trials", "trials"),
    ("results of 8 GB", results_of_gigabytes, "audit", ("result.json", "bytes"), REFUSED),
    ("best.yaml with an alias bomb", written("best.yaml", ALIASES), "audit", "best.yaml"),
    ("events that are a pipe", events(pipe), "audit", "tensorboard"),
    ("events of noise", events(lambda path: put(path, NOISE)), "audit", "TensorBoard"),
    ("events of 2^60 bytes", events(lambda path: put(path, LONG)), "audit", "TensorBoard"),
    ("a curve of no trial", written("tensorboard/trial_x/a", ""), "audit", "trial_x"),
    ("a curve that is a file", written("tensorboard/trial_0001", ""), "audit", "trial_0001"),
    ("a curve that may not be read", events(lambda path: closed(path.parent)), "audit", "denied"),
    ("a curve of trial 1111…", written(f"tensorboard/trial_{'1' * 200}/a", ""), "audit", "1111"),
    ("figures in words", results(mAP="good"), "audit", ("result.json", "mAP")),
    ("a loss in words", results(loss="low"), "audit", ("result.json", "loss")),
    ("no progress", results(progress=None), "audit", ("result.json", "progress")),
    ("a time in words", results(timestamp="noon"), "audit", ("result.json", "timestamp")),
    ("epoch 10^12", results(epoch=10**12), "audit", "epochs"),
    ("epoch 2^30", results(epoch=2**30), "audit", ("result.json", "epoch")),
    ("results nested deep", results(loss=[[]] * 9), "audit", ("result.json", "loss")),
    ("a snapshot of numbers", snapshot("[1, 2]"), "audit", "experiment_state"),
    ("a snapshot of no trial", snapshot(NOBODY), "audit", "experiment_state"),
    ("a snapshot of lists", snapshot(LISTS), "audit", "experiment_state"),
    ("a snapshot nested deep", snapshot(DEEP), "audit", "experiment_state"),
    ("trial 9 x 10^18", numbered(9 * 10**18), "audit", "is missing"),
]  # fmt: skip


def _run(place: Place, content: tuple[Damage, str]) -> Words:
    damage, command = content
    damage(place.make_study())
    return *command.split(), "--study", "study"


def _rename(place: Place, content: str) -> Words:
    return "report", "--study", place.make_study().rename(place.folder / content)


KIND = "files beside a study"
NAMED = [
    (f"{name} ({command.split()[0]})", (damage, command), words, *(ends or [ENDS.get(command, REFUSED)]))
    for name, damage, command, words, *ends in ROWS
]
CASES: list[Case] = [
    *cases_of(KIND, NAMED, _run),
    *cases_of(KIND, [("a name that moves the cursor", "st\x1b[31mudy\u202e", "written")], _rename, READ),
]
