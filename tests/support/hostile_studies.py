"""Hostile study folders: what is edited, cut off, missing, or leads elsewhere."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from hostile import Case, Place, Words, cases_of, edit, link, put, remove, sql, written
from hostile_yaml import BOMB

Change = Callable[[Path], object]
Row = tuple[str, Change, str | tuple[str, ...]]
DEEP = "[" * 100_000
SEEN = ("status", "evaluate", "audit", "report", "export")


def _run(place: Place, content: tuple[str, Change]) -> Words:
    command, change = content
    study = place.make_study()
    change(study)
    more = ("--formats", "trials,markdown") if command == "export" else ()
    return command, "--study", study, *more


def cases(kind: str, commands: Sequence[str], rows: Sequence[Row]) -> list[Case]:
    """Each change by two of the commands in turn: what they share reads a study for all of them."""
    by_command = [
        (f"{name}, by {command}", (command, change), words)
        for index, (name, change, words) in enumerate(rows)
        for command in sorted({commands[index % len(commands)], commands[(index + 1) % len(commands)]})
    ]
    return cases_of(kind, by_command, _run)


def described(**changes: Any) -> Change:
    """Changes `study.yaml`."""
    return lambda study: edit(study / "study.yaml", **changes)


def _endless_rungs(study: Path) -> None:
    values = yaml.safe_load((study / "study.yaml").read_text())
    values["space"]["scheduler"] = {"name": "asha", "grace_period": 1e-9, "reduction_factor": 1 + 1e-9}
    put(study / "study.yaml", yaml.safe_dump(values))


def _add(study: Path) -> None:
    put(study / "study.yaml", (study / "study.yaml").read_text() + "seed: 1\n")


YAML: list[Row] = [
    ("a setting that is none", described(shell="touch ran"), ("study.yaml", "shell")),
    ("a format to come", described(format=99), ("study.yaml", "99")),
    ("a format in words", described(format="two"), ("study.yaml", "two")),
    ("no space", described(space="none"), ("study.yaml", "space")),
    ("trials that are true", described(trials=True), ("study.yaml", "trials")),
    ("a list for trials", described(trials=[1]), ("study.yaml", "trials")),
    ("trackers that are a text", described(track="mlflow"), ("study.yaml", "track")),
    ("a tracker that is a number", described(track=[5]), ("study.yaml", "track")),
    ("trials beyond every float", described(trials=10**90), ("study.yaml", "trials")),
    ("a budget that is not a number", described(time_budget=float("nan")), ("study.yaml", "time-budget")),
    ("infinitely many cores", described(cpus_per_trial="inf"), ("study.yaml", "cpus_per_trial")),
    ("a data folder that is a number", described(data_dir=5), "study.yaml"),
    ("rungs without end", _endless_rungs, ("study.yaml", "grace_period")),
    ("a data folder that no system can name", described(data_dir="\ud800"), "study.yaml"),
    ("a data folder with a zero byte", described(data_dir="a\0b"), "study.yaml"),
    ("storage with a password", described(storage_path="s3://me:s3cretpw@b/x"), "credentials"),
    ("cut off", lambda s: put(s / "study.yaml", (s / "study.yaml").read_bytes()[:40]), "study.yaml"),
    ("an alias bomb", written("study.yaml", BOMB + "format: *a39\n"), ("study.yaml", "alias")),
    ("0 bytes", written("study.yaml", b""), "study.yaml"),
    ("no text", written("study.yaml", b"\xff\xfe\0\1"), ("study.yaml", "YAML")),
    ("a key twice", _add, ("'seed'", "twice")),
]


def stated(statement: str, *values: object) -> Change:
    """Changes the database behind Optuna's back."""
    return lambda study: sql(study, statement, *values)


TRIGGER = "CREATE TRIGGER t AFTER UPDATE ON trials BEGIN DELETE FROM trials; END"
CLASS = '{"name": "os.system", "attributes": {}}'
ODD = '{"name": "CategoricalDistribution", "attributes": {"choices": [[1], null]}}'
QUEUED = (
    "INSERT INTO trial_system_attributes (trial_id, key, value_json) "
    "VALUES ((SELECT trial_id FROM trials WHERE number = 1), ?, ?)"
)
SETS: list[tuple[str, str, tuple[str, ...]]] = [
    ("another study's", "studies SET study_name = 'theirs'", ()),
    ("a state that is none", "trials SET state = 'OWNED' WHERE number = 1", ()),
    ("a number that is text", "trials SET number = 'x' WHERE number = 1", ()),
    ("a time that is none", "trials SET datetime_start = 'noon'", ()),
    ("distributions that are no JSON", "trial_params SET distribution_json = ?", ("{",)),
    ("a distribution of a class", "trial_params SET distribution_json = ?", (CLASS,)),
    ("a searched value that is text", "trial_params SET param_value = 'high'", ()),
    ("attributes that are no JSON", "trial_user_attributes SET value_json = ?", ("{",)),
    ("attributes nested 100,000 deep", "trial_user_attributes SET value_json = ?", (DEEP,)),
]
DATABASES: list[Row] = [
    ("text", written("optuna.db", "no database"), "optuna.db"),
    ("0 bytes", written("optuna.db", b""), "optuna.db"),
    ("another program's", lambda s: _other_database(s), "optuna.db"),
    ("a trigger", stated(TRIGGER), ("optuna.db", "trigger")),
    ("a view that never ends", lambda s: _endless(s), ("optuna.db", "view")),
    ("cut off", lambda s: put(s / "optuna.db", (s / "optuna.db").read_bytes()[:9000]), "optuna.db"),
    *((name, stated(f"UPDATE {text}", *values), "optuna.db") for name, text, values in SETS),
    ("choices of kinds that there are not", stated("UPDATE trial_params SET distribution_json = ?", ODD), ()),
    ("a trial queued with a number", stated(QUEUED, "fixed_params", "5"), ("optuna.db", "trial 1")),
]


def _other_database(study: Path) -> None:
    remove(study / "optuna.db")
    sql(study, "CREATE TABLE trials (a)")


def _endless(study: Path) -> None:
    sql(study, "ALTER TABLE trial_values RENAME TO old")
    sql(
        study,
        "CREATE VIEW trial_values AS WITH RECURSIVE t(trial_value_id) AS "
        "(SELECT 1 UNION ALL SELECT 1 FROM t) "
        "SELECT trial_value_id, 1 AS trial_id, 0 AS objective, 1.0 AS value, 'FINITE' AS value_type FROM t",
    )


def record(**changes: Any) -> Change:
    """Changes the record that is kept with trial 1, the winner."""
    return stated(
        "UPDATE trial_user_attributes SET value_json = json_patch(value_json, ?) WHERE key = 'record' "
        "AND trial_id = (SELECT trial_id FROM trials WHERE number = 1)",
        json.dumps(changes),
    )


def whole_record(text: str) -> Change:
    return stated("UPDATE trial_user_attributes SET value_json = ? WHERE key = 'record'", text)


RECORDS: list[Row] = [
    ("a list", whole_record("[1]"), ("optuna.db", "trial 0", "list")),
    ("a number", whole_record("7"), ("optuna.db", "trial 0")),
    ("a field that is none", record(shell="touch ran"), ("optuna.db", "trial 1", "'shell'")),
    ("figures that are a text", record(last="good"), ("optuna.db", "trial 1", "last")),
    ("a figure that is a text", record(best={"mAP": "<b>"}), ("optuna.db", "trial 1", "mAP")),
    ("epoch -1", record(last={"epoch": -1}), ("optuna.db", "trial 1", "-1")),
    ("epoch 10^12", record(last={"epoch": 10**12}), ("optuna.db", "trial 1", "1000000000000")),
    ("half an epoch", record(best={"epoch": 0.5}), ("optuna.db", "trial 1", "0.5")),
    ("minus ten seconds", record(seconds=-10), ("optuna.db", "trial 1", "seconds")),
    ("epochs in words", record(epochs_run="many"), ("optuna.db", "trial 1", "epochs_run")),
    ("10^300 seconds", record(seconds=1e300), ("optuna.db", "trial 1", "seconds")),
    ("notes that are no texts", record(notes=[1, 2]), ("optuna.db", "trial 1", "notes")),
    ("a checkpoint above", record(best_checkpoint="../../../../etc"), ("optuna.db", "leaves the trials")),
    ("a checkpoint anywhere", record(last_checkpoint="/etc"), ("optuna.db", "leaves the trials")),
    ("a checkpoint in another home", record(best_checkpoint="~/x"), ("optuna.db", "leaves the trials")),
    ("a checkpoint by address", record(best_checkpoint="s3://b/x"), ("optuna.db", "leaves the trials")),
    ("a checkpoint with a zero byte", record(best_checkpoint="a\0b"), ("optuna.db", "leaves the trials")),
    ("a checkpoint that is a number", record(best_checkpoint=5), ("optuna.db", "best_checkpoint")),
]

USED = '{"slot_seconds": "x", "training_seconds": 1}'
LAUNCH = "launch:session_1"
ABOUT: list[Row] = [
    ("a launch in words", lambda s: _attribute(s, LAUNCH, '"long"'), ("optuna.db", LAUNCH)),
    ("a launch of no time", lambda s: _attribute(s, LAUNCH, USED), ("optuna.db", "slot_seconds")),
]


def _attribute(study: Path, key: str, text: str) -> None:
    sql(study, "DELETE FROM study_user_attributes WHERE key = ?", key)
    sql(study, "INSERT INTO study_user_attributes (study_id, key, value_json) VALUES (1, ?, ?)", key, text)


OWN = (
    "study.yaml",
    "optuna.db",
    "provenance.json",
    "best.pt",
    "trials",
    "driver.lock",
    "tensorboard",
    "wandb",
)


def _moved(name: str, study: Path) -> None:
    """Moves a file out of the study, and leaves a link to it."""
    path, precious = study / name, study.parent / f"precious_{name}"
    if path.exists():
        path.rename(precious)
    else:
        put(precious, "do not overwrite")
    link(path, precious)


LINKS: list[Row] = [
    (f"{name} is a link", functools.partial(_moved, name), (name, "is a link")) for name in OWN
]


CASES: list[Case] = [
    *cases("study.yaml", SEEN, YAML),
    *cases("database", SEEN, DATABASES),
    *cases("trial's record", SEEN, RECORDS),
    *cases("trial's record", ("status", "report", "export"), ABOUT),
    *cases("link in a study", SEEN, LINKS),
]
