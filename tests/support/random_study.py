"""Studies of any number of random trials, written without training anything."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from database_copies import write_once
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.storages._rdb import models as tables
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.orm import Session

from sa_study.settings.space import Parameter, Scheduler, SearchSpace
from sa_study.study.config import StudyConfig
from sa_study.study.database import open_storage
from sa_study.study.folder import StudyFolder
from sa_study.study.records import LAUNCH, TrialRecord, step_of
from sa_study.tuning.search.initial_trials import create_study

SPACE = SearchSpace(
    search={
        "lr": Parameter("float", 0.003, 0.3, log=True),
        "dropout": Parameter("float", 0.0, 0.8, step=0.1),
        "epochs": Parameter("int", 10, 20),
        "attention": Parameter("categorical", choices=("mean", "softmax", "none")),
    },
    fixed={"pretrained": "none", "depth": 18},
    baseline={"lr": 0.1, "dropout": 0.5, "epochs": 20, "attention": "mean"},
    scheduler=Scheduler("asha", 20.0, 2.0),
)
START = datetime(2026, 3, 1, 9, 0)
HOSTILE = (
    "<script>window.hacked=1</script>\"'><img src=x onerror=window.hacked=1>"
    "{{7*7}}</title>%{x}\u202e\x1b[31m é中😀"
)


def make_study(
    root: Path,
    count: int = 0,
    *,
    failed_only: bool = False,
    running: int = 0,
    space: SearchSpace = SPACE,
    hostile: str = "",
    minimize: str | None = None,
    data_dir: Path = Path("/data/Market-1501"),
) -> Path:
    """Writes a study of this many trials, of which the last `running` have not ended.

    With `hostile` that text is the name of a setting, a value, a note, a failure and a path.
    """
    root.mkdir(parents=True)
    folder = StudyFolder(root)
    config = StudyConfig(
        data_dir=data_dir / hostile.replace("/", "") if hostile else data_dir,
        space=space if not minimize else dataclasses.replace(space, scheduler=Scheduler("none")),
        trials=max(count, 1),
        minimize=minimize,
    )
    config.write(folder.config)
    content = f"{count} {failed_only} {running} {space} {hostile} {minimize}"
    write_once(
        folder.database, content, lambda: _write_trials(folder, config, count, failed_only, running, hostile)
    )
    provenance = {
        "data_fingerprint": "ab" * 32,
        "launches": [
            {
                "time": START.astimezone().isoformat(),
                "command": f"run_study.py tune {hostile}",
                "python": "3.11.7",
                "packages": {"torch": "2.15.0", hostile or "ray": hostile or "2.60.0"},
                "git": {"commit": "0123456789abcdef", "dirty": False},
                "hardware": {"platform": hostile or "Linux", "cpus": 2, "gpus": ["H100"]},
            }
        ],
    }
    folder.provenance.write_text(json.dumps(provenance))
    return root


def _write_trials(
    folder: StudyFolder, config: StudyConfig, count: int, failed_only: bool, running: int, hostile: str
) -> None:
    about = {f"{LAUNCH}session_1": {"epochs": 9, "training_seconds": 80.0, "slot_seconds": 100.0}}
    storage = open_storage(folder)
    create_study(storage, config.directions, about)
    rng = np.random.default_rng(0)
    trials = [
        _trial(rng, number, config, failed=failed_only, ended=number < count - running, hostile=hostile)
        for number in range(count)
    ]
    with Session(storage.engine) as session, session.begin():
        for trial_id, trial in enumerate(trials, start=1):
            session.add_all(_rows(trial_id, trial))


def _rows(trial_id: int, trial: FrozenTrial) -> Iterator[Any]:
    """What Optuna's `add_trial` writes, which looks for each row before it writes it: ten times as slow."""
    yield tables.TrialModel(
        trial_id=trial_id,
        number=trial_id - 1,
        study_id=1,
        state=trial.state,
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_complete,
    )
    for objective, value in enumerate(trial.values or ()):
        yield tables.TrialValueModel(trial_id=trial_id, objective=objective, value=value, value_type="FINITE")
    for name, value in trial.params.items():
        spread = trial.distributions[name]
        yield tables.TrialParamModel(
            trial_id=trial_id,
            param_name=name,
            param_value=spread.to_internal_repr(value),
            distribution_json=distribution_to_json(spread),
        )
    for key, value in trial.user_attrs.items():
        yield tables.TrialUserAttributeModel(trial_id=trial_id, key=key, value_json=json.dumps(value))
    for step, value in trial.intermediate_values.items():
        yield tables.TrialIntermediateValueModel(
            trial_id=trial_id, step=step, intermediate_value=value, intermediate_value_type="FINITE"
        )


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Optuna's form of a space."""
    found: dict[str, BaseDistribution] = {}
    for name, p in space.search.items():
        if p.kind == "categorical":
            found[name] = CategoricalDistribution(p.choices)
        elif p.kind == "int":
            found[name] = IntDistribution(int(p.low), int(p.high), log=p.log)
        else:
            found[name] = FloatDistribution(p.low, p.high, step=p.step, log=p.log)
    return found


def landscape(params: Mapping[str, Any]) -> float:
    """The final mAP: the learning rate matters most, then dropout, then attention; epochs do not."""
    rate = (math.log10(params.get("lr", 0.05)) + 1.2) ** 2
    dropout = (params.get("dropout", 0.3) - 0.3) ** 2
    return float(0.75 - 0.25 * rate - 0.35 * dropout - 0.03 * (params.get("attention") == "none"))


def _trial(
    rng: np.random.Generator, number: int, config: StudyConfig, *, failed: bool, ended: bool, hostile: str
) -> FrozenTrial:
    space = config.space
    spread = distributions(space)
    params = {name: _draw(rng, p) for name, p in space.search.items()}
    if number == 0:
        params = {name: space.baseline[name] for name in space.search}
    if hostile:
        spread = {**spread, hostile: CategoricalDistribution((hostile, "b"))}
        params = {**params, hostile: hostile}
    epochs = int(params.get("epochs", 20))
    fails = failed or (number % 25 == 7)
    run = epochs
    if fails:
        run = int(rng.integers(0, 3)) if not failed else 0
    elif not ended:
        run = max(1, epochs // 3)
    elif space.scheduler.name == "asha" and config.minimize is None and number and rng.random() < 0.6:
        run = math.ceil(epochs * (0.2 if rng.random() < 0.7 else 0.4))
    record, values = TrialRecord(), {}
    for epoch in range(1, run + 1):
        share = 100 * epoch / epochs
        value = max(landscape(params) * (1 - math.exp(-share / 25)) + float(rng.normal(0, 0.008)), 0.01)
        figures = {"epoch": float(epoch), "progress": share, "mAP": value, "rank1": min(value + 0.1, 1.0)}
        figures |= {"rank5": min(value + 0.2, 1.0), "rank10": min(value + 0.22, 1.0), "seconds": 30.0}
        record = record.after_epoch(figures, config.metric, f"session_1/trial_{number:04d}", gpus=0.5)
        values[step_of(share)] = value
    state = TrialState.RUNNING
    if fails:
        record = dataclasses.replace(record, failure=hostile or "epoch 1: the loss is nan")
        state = TrialState.FAIL
    elif ended:
        state = TrialState.COMPLETE if run == epochs else TrialState.PRUNED
        record = dataclasses.replace(record, stopped=run < epochs)
    if hostile:
        record = dataclasses.replace(record, notes=[hostile])
    scores = None
    if state == TrialState.COMPLETE:
        scores = [record.best[config.metric], *([record.cost * (1 + number % 5)] if config.minimize else [])]
    began = START + timedelta(seconds=620 * (number // 4) + 3 * (number % 4))
    trial = create_trial(
        state=state,
        values=scores,
        params=params,
        distributions=spread,
        intermediate_values=values,
        user_attrs={"record": dataclasses.asdict(record)},
    )
    trial.datetime_start = began
    trial.datetime_complete = began + timedelta(seconds=30 * max(run, 1)) if state.is_finished() else None
    return trial


def _draw(rng: np.random.Generator, parameter: Parameter) -> Any:
    if parameter.count is not None:
        return parameter.value(int(rng.integers(parameter.count)))
    if parameter.log:
        return float(np.exp(rng.uniform(math.log(parameter.low), math.log(parameter.high))))
    return float(rng.uniform(parameter.low, parameter.high))
