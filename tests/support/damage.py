"""Ways to damage a study's folder, each with the line by which `audit` must name it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml
from torch.utils.tensorboard import SummaryWriter

from sa_study.training.checkpoint import load_checkpoint, save_checkpoint
from sa_study.training.tensorboard import TensorBoardLogger

METRIC = "mAP"
COMPLETE, PRUNED, FAIL = 0, 1, 2
"""Numbers of trials that end like this."""


def query(study: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(study / "optuna.db")) as database, database:
        return database.execute(statement).fetchall()


def change_record(study: Path, number: int, **changes: Any) -> None:
    of_trial = f"key = 'record' AND trial_id = (SELECT trial_id FROM trials WHERE number = {number})"
    [(text,)] = query(study, f"SELECT value_json FROM trial_user_attributes WHERE {of_trial}")
    text = json.dumps({**json.loads(text), **changes}).replace("'", "''")
    query(study, f"UPDATE trial_user_attributes SET value_json = '{text}' WHERE {of_trial}")


def result_file(study: Path, number: int, session: int = 1) -> Path:
    return study / "trials" / f"session_{session}" / f"trial_{number:04d}" / "result.json"


def results(study: Path, number: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result_file(study, number).read_text().splitlines()]


def change_result(study: Path, number: int, epoch: int, **changes: Any) -> None:
    lines = [row | (changes if row.get("epoch") == epoch else {}) for row in results(study, number)]
    result_file(study, number).write_text("".join(json.dumps(line) + "\n" for line in lines))


def checkpoints(study: Path, number: int) -> list[Path]:
    return sorted(study.glob(f"trials/session_1/trial_{number:04d}/checkpoint_*/checkpoint.pt"))


def swap(target: Path, source: Path) -> None:
    target.unlink()
    os.link(source, target)


def cut(path: Path) -> None:
    start = path.read_bytes()[:1000]
    path.unlink()
    path.write_bytes(start)


def change_yaml(path: Path, **changes: Any) -> None:
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}, sort_keys=False))


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_snapshot(
    study: Path, number: int, change: Callable[[dict[str, Any], dict[str, Any]], None]
) -> None:
    """Changes what Ray's snapshot has of a trial: its description and its progress."""
    [path] = study.glob("trials/session_1/experiment_state-*.json")
    state = json.loads(path.read_text())
    trial, progress = map(json.loads, state["trial_data"][number])
    change(trial, progress)
    state["trial_data"][number] = json.dumps(trial), json.dumps(progress)
    path.write_text(json.dumps(state))


def events(study: Path, number: int) -> Path:
    return study / "tensorboard" / f"trial_{number:04d}"


def rewrite_curves(study: Path, number: int, **changes: float) -> None:
    """Writes a trial's curves anew, without the record at its end."""
    shutil.rmtree(events(study, number))
    writer = TensorBoardLogger(study, f"trial_{number:04d}")
    for row in results(study, number):
        writer.log_epoch({**row, **changes})
    writer._writer.close()


def repeat_epoch(study: Path, number: int, **changes: Any) -> None:
    """A second launch that ran the last epoch again."""
    path = result_file(study, number, session=2)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(results(study, number)[-1] | changes) + "\n")
    launches = json.loads((study / "provenance.json").read_text())["launches"]
    change_json(study / "provenance.json", launches=launches * 2)


Damage = Callable[[Path], object]


def sql(statement: str) -> Damage:
    return lambda study: query(study, statement)


def record(number: int, **changes: Any) -> Damage:
    return lambda study: change_record(study, number, **changes)


def scalar(number: int, tag: str, step: int) -> Damage:
    """Adds a value of 0.5 to a trial's curves."""
    return lambda study: SummaryWriter(str(events(study, number))).add_scalar(tag, 0.5, step)


def own(change: Callable[[dict[str, Any]], None]) -> Damage:
    """Changes Ray's description of the complete trial."""
    return lambda study: change_snapshot(study, COMPLETE, lambda trial, _: change(trial))


DATABASE: dict[str, tuple[Damage, str]] = {
    "running trial": (sql("INSERT INTO trials (number, study_id, state) VALUES (3, 1, 'RUNNING')"),
                      "trial 3: is RUNNING, but no driver runs"),
    "duplicate": (sql("UPDATE trials SET number = 0 WHERE number = 1"), "trial 0: is stored 2 times"),
    "gap": (sql("UPDATE trials SET number = 5 WHERE number = 1"), "trial 1: is missing"),
    "too many": (lambda s: change_yaml(s / "study.yaml", trials=2),
                 "3 trials have ended, but 2 were asked for"),
    "wrong state": (sql("UPDATE trials SET state = 'PRUNED' WHERE number = 0"),
                    "trial 0: is PRUNED, but its record says COMPLETE"),
    "complete too early": (sql("UPDATE trials SET state = 'COMPLETE' WHERE number = 1"),
                           "trial 1: is COMPLETE after 1 of 3 epochs"),
    "undecided": (record(PRUNED, stopped=False),
                  "trial 1: is PRUNED, but its record does not say that it has ended"),
    "no reason": (record(FAIL, failure=""), "trial 2: is FAIL without a reason"),
    "other reason": (record(FAIL, failure="bad luck"), "the record 'bad luck'"),
    "wrong value": (sql("UPDATE trial_values SET value = 0.99"),
                    "trial 0: is COMPLETE with the value 0.99"),
    "curve with a hole": (sql("DELETE FROM trial_intermediate_values WHERE step = 667"),
                          "trial 0: at step 667 Optuna has None"),
    "other value": (
        sql("UPDATE trial_intermediate_values SET intermediate_value = 0.5 WHERE step = 667"),
        "trial 0: at step 667 Optuna has 0.5"),
    "lost epochs": (lambda s: change_record(s, COMPLETE, last=results(s, COMPLETE)[1]),
                    "trial 0: Ray has results of epochs [1, 2, 3]; the record ends at epoch 2"),
    "other figures": (
        lambda s: change_record(s, COMPLETE, last={**results(s, COMPLETE)[2], "rank1": 0.123}),
        "trial 0: the last epoch in its record differs from Ray's"),
    "worse best": (
        lambda s: change_record(s, COMPLETE, best=min(results(s, COMPLETE), key=lambda r: float(r[METRIC]))),
        "trial 0: the best epoch in its record is not the best in Ray's results"),
    "lost cost": (record(COMPLETE, epochs_run=9), "the record counts 9 trained epochs; Ray's"),
    "unknown to Optuna": (sql("DELETE FROM trials WHERE number = 2"),
                          "trial 2: has results, but Optuna has no such trial"),
}  # fmt: skip

FILES: dict[str, tuple[Damage, str]] = {
    "altered result": (lambda s: change_result(s, COMPLETE, 2, mAP=0.5), "trial 0: at step 667 Optuna has"),
    "damaged result": (
        lambda s: result_file(s, COMPLETE).write_text("{\n" + result_file(s, COMPLETE).read_text()),
        "trial_0000/result.json: line 1 is damaged"),
    "lost results": (lambda s: result_file(s, COMPLETE).unlink(),
                     "trial 0: Ray has results of epochs []; the record ends at epoch 3"),
    "not repeatable": (lambda s: repeat_epoch(s, COMPLETE, loss=0.5),
                       "trial 0: epoch 3: session 2 has other figures than session 1"),
    "no curves": (lambda s: shutil.rmtree(events(s, PRUNED)), "trial 1: has no curves"),
    "strange curves": (lambda s: shutil.copytree(events(s, 1), events(s, 7)),
                       "trial 7: has curves, but Optuna"),
    "other curve": (lambda s: rewrite_curves(s, COMPLETE, mAP=0.5),
                    "trial 0: TensorBoard and Ray have different values of val/mAP"),
    "no hparams": (lambda s: rewrite_curves(s, COMPLETE), "trial 0: is not in TensorBoard's HParams table"),
    "repeated step": (scalar(PRUNED, "val/mAP", 1), "trial 1: TensorBoard has repeated steps of val/mAP"),
    "other best figures": (scalar(COMPLETE, "best/mAP", 0),
                           "trial 0: TensorBoard's best/mAP is not the best epoch's"),
    "no checkpoint": (lambda s: checkpoints(s, PRUNED)[0].unlink(), "checkpoint_000000 cannot be used"),
    "cut checkpoint": (lambda s: cut(checkpoints(s, PRUNED)[0]), "checkpoint_000000 cannot be used"),
    "other epoch": (lambda s: swap(checkpoints(s, PRUNED)[0], checkpoints(s, COMPLETE)[-1]),
                    "checkpoint_000000 is of epoch 3, not 1"),
    "no place": (record(PRUNED, last_checkpoint=""), "trial 1: has epochs, but no checkpoint"),
    "best of another": (lambda s: save_checkpoint(s / "best.pt", load_checkpoint(checkpoints(s, PRUNED)[0])),
                        "best.pt: is not epoch"),
    "no best": (lambda s: (s / "best.pt").unlink(), "the winner's files cannot be read"),
    "best settings": (lambda s: change_yaml(s / "best.yaml", lr=0.5),
                      "best.yaml: differs from the settings of trial 0"),
    "best of none": (sql("UPDATE trials SET state = 'FAIL' WHERE number = 0"),
                     "best.pt: exists, but no trial is complete"),
    "Ray's own trial": (own(lambda trial: trial["config"].update(number=9)),
                        "session 1: trial 9 is known to Ray, but not to Optuna"),
    "Ray's settings": (own(lambda trial: trial["config"].update(suggested={"lr": 1})),
                       "session 1: trial 0 runs {'lr': 1} in Ray"),
    "Ray's state": (own(lambda trial: trial.update(status="ERROR")),
                    "session 1: trial 0 is ERROR in Ray, COMPLETE in Optuna"),
    "Ray's epochs": (
        lambda s: change_snapshot(s, 1, lambda _, progress: progress["last_result"].update(epoch=2)),
        "session 1: trial 1 has run 2 epochs in Ray, 1 in Optuna"),
    "Ray's failure": (sql("UPDATE trials SET state = 'PRUNED' WHERE number = 2"),
                      "session 1: trial 2 failed in Ray, is PRUNED in Optuna"),
    "no launch": (
        lambda s: (s / "provenance.json").write_text('{"data_fingerprint": "", "launches": []}'),
        "Ray has a folder of session 1, but provenance.json lists only 0 launches"),
    "stopped though good": (lambda s: change_result(s, PRUNED, 1, mAP=0.99),
                            "trial 1: stopped at epoch 1, where asha lets it go on"),
    "not stopped": (record(PRUNED, stopped=False), "trial 1: went on after epoch 1, but its"),
}  # fmt: skip
