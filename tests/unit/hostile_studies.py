"""Study folders that somebody edited, cut, exchanged or set a trap in."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile import READ, REFUSED, Case, Place, Words, edit, folder, link, pipe, put, remove, sql

Damage = Callable[[Path], object]

OF_RECORD = "key = 'record' AND trial_id = (SELECT trial_id FROM trials WHERE number = 1)"  # of the winner


def _case(place: Place, damage: Damage, command: str) -> Words:
    study = place.make_study()
    damage(study)
    return *command.split(), "--study", "study"


def record(**changes: Any) -> Damage:
    """Edits the winner's record in the database."""

    def damage(study: Path) -> None:
        path = json.dumps(changes)
        sql(
            study,
            f"UPDATE trial_user_attributes SET value_json = json_patch(value_json, ?) WHERE {OF_RECORD}",
            path,
        )

    return damage


def file(name: str, content: bytes | str) -> Damage:
    return lambda study: put(study / name, content)


def yaml(**changes: Any) -> Damage:
    return lambda study: edit(study / "study.yaml", **changes)


def foreign_database(study: Path) -> None:
    remove(study / "optuna.db")
    sql(study, "CREATE TABLE notes (text TEXT)")


DEEP = "[" * 100_000
STUDY = "study"
ROWS: list[tuple[str, Damage, str, tuple[str, ...], str]] = [
    # name, damage, command, words of the line or the output, how it ends
    ("study.yaml is empty", file("study.yaml", ""), "status", ("study.yaml",), REFUSED),
    ("study.yaml is no YAML", file("study.yaml", "a: [\x00"), "status", ("study.yaml",), REFUSED),
    ("study.yaml of a version to come", yaml(format=99), "resume", ("study.yaml", "99", "update"), REFUSED),
    ("study.yaml with a key too many", yaml(speed=3), "status", ("study.yaml", "speed"), REFUSED),
    ("study.yaml without its space", yaml(space=None), "status", ("study.yaml", "space"), REFUSED),
    ("a space that is a list", yaml(space=[1]), "status", ("study.yaml",), REFUSED),
    ("trials that are a text", yaml(trials="many"), "status", ("study.yaml", "trials"), REFUSED),
    ("trials without end", yaml(trials=10**400), "resume", ("study.yaml",), REFUSED),
    ("data_dir that is a number", yaml(data_dir=3), "evaluate", ("study.yaml",), REFUSED),
    ("data_dir that is elsewhere", yaml(data_dir="/nowhere"), "evaluate", ("/nowhere",), REFUSED),
    ("a metric that is none", yaml(metric="beauty"), "status", ("study.yaml", "beauty"), REFUSED),
    ("study.yaml is a folder", lambda s: folder(s / "study.yaml"), "status", ("study.yaml",), REFUSED),
    ("study.yaml is a pipe", lambda s: pipe(s / "study.yaml"), "status", ("study.yaml",), REFUSED),
    ("study.yaml with an object of Python",
     file("study.yaml", "format: !!python/object/apply:os.system [touch ran]"), "status",
     ("study.yaml", "python/object"), REFUSED),
    ("no database", lambda s: remove(s / "optuna.db"), "status", ("optuna.db",), REFUSED),
    ("a database that is none", file("optuna.db", b"no database" * 99), "status", ("optuna.db",), REFUSED),
    ("a database of 0 bytes", file("optuna.db", b""), "evaluate", ("optuna.db",), REFUSED),
    ("another program's database", foreign_database, "status", ("optuna.db",), REFUSED),
    ("a database that is a pipe", lambda s: pipe(s / "optuna.db"), "status", ("optuna.db",), REFUSED),
    ("a record that is a list",
     lambda s: sql(s, f"UPDATE trial_user_attributes SET value_json = '[1]' WHERE {OF_RECORD}"),
     "status", ("trial 1",), REFUSED),
    ("a record nested 100,000 deep",
     lambda s: sql(s, f"UPDATE trial_user_attributes SET value_json = ? WHERE {OF_RECORD}", DEEP),
     "status", ("study",), REFUSED),
    ("a record with a key too many", record(speed=3), "status", ("trial 1",), REFUSED),
    ("figures that are texts", record(best={"mAP": "high"}), "status", ("trial 1",), REFUSED),
    ("epochs that are negative", record(epochs_run=-3), "status", ("trial 1",), REFUSED),
    ("a checkpoint above the study", record(best_checkpoint="../../../etc"), "export", ("trial 1",), REFUSED),
    ("a checkpoint at the root", record(best_checkpoint="/etc"), "evaluate", ("trial 1",), REFUSED),
    ("a checkpoint of another form", record(best_checkpoint="session_1\n"), "status", ("trial 1",), REFUSED),
    ("no provenance", lambda s: remove(s / "provenance.json"), "resume --trials 9",
     ("provenance.json",), REFUSED),
    ("a provenance that is a list", file("provenance.json", "[]"), "resume --trials 9",
     ("provenance.json",), REFUSED),
    ("a provenance that is cut", file("provenance.json", '{"data_fing'), "reproduce",
     ("provenance.json",), REFUSED),
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
    ("reproduction.json of numbers", file("reproduction.json", "[1, 2]"), "report", ("written",), READ),
    ("best.pt is a link to nothing", lambda s: link(s / "best.pt", "gone"), "status",
     ("best.pt", "link"), REFUSED),
    ("a link that leads out as folder of trials", lambda s: link(s / "trials", "/etc"), "evaluate",
     ("trials", "link"), REFUSED),
]  # fmt: skip

CASES = [
    Case(
        "study folder",
        f"{name} ({command.split()[0]})",
        functools.partial(_case, damage=damage, command=command),
        ends,
        naming,
    )
    for name, damage, command, naming, ends in ROWS
]
