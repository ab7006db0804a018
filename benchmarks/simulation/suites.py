"""Suites of real learning curves that take the place of training: tasks with one space and one length.

A suite is a folder of one of two kinds:

- LCBench's surrogate of YAHPO Gym: `model.onnx`, `config_space.json` and `encoding.json` of
  github.com/slds-lmu/yahpo_data, folder `lcbench`, and `best_known.json`: by task the `best` validation
  accuracy at the last epoch, and the `median` of random configurations. Needs onnxruntime.
- Recorded curves: `curves.npz` with `hp` [configurations, settings] and for each task an array
  [configurations, epochs] of scores, greater ones better; and one JSON file that names the settings, in the
  order of the columns: `{"lr": {"low": 0.001, "high": 1.0, "log": true}, ...}`, or a list of such entries
  with a `name` each. The nearest recorded configuration answers, on the settings' own scales.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sa_study.settings.space import Parameter
from simulation.landscapes import Floats, Run

_MODEL, _CURVES = "model.onnx", "curves.npz"

_INPUTS = (
    *("batch_size", "learning_rate", "momentum", "weight_decay"),
    *("num_layers", "max_units", "max_dropout"),
)
"""Order of the settings in the surrogate's input, after the epoch."""

_ACCURACY = 1
"""The surrogate's output that is the validation accuracy, in per cent."""


@dataclass(frozen=True)
class SuiteTask:
    """One task of a suite.

    Attributes:
        name: Its name.
        index: Its place in the suite; even ones are for development, odd ones for acceptance.
        best: Best score known.
        median: Median score of random configurations.
        curve: Gives the score after each epoch with some settings.
    """

    name: str
    index: int
    best: float
    median: float
    curve: Callable[[Mapping[str, Any]], Floats]

    def run(self, number: int, **settings: Any) -> Run:
        """The training of a study's trial; epochs take about one unit of time."""
        scores = self.curve(settings)
        rng = np.random.default_rng([self.index, number])
        return Run(scores, scores, rng.uniform(0.8, 1.2, len(scores)))

    def regret(self, score: float) -> float:
        """What a score lacks of the best one known; 1 for the median of random configurations."""
        return (self.best - score) / (self.best - self.median)


@dataclass(frozen=True)
class Suite:
    """A suite of tasks.

    Attributes:
        name: Name of its folder.
        epochs: Epochs of a training.
        parameters: The settings, by name.
        tasks: The tasks, in order.
    """

    name: str
    epochs: int
    parameters: dict[str, Parameter]
    tasks: list[SuiteTask]


def load_suite(folder: Path) -> Suite:
    """Reads a suite's folder, of whichever kind it is."""
    if (folder / _MODEL).is_file():
        return _surrogate(folder)
    if (folder / _CURVES).is_file():
        return _recorded(folder)
    raise SystemExit(f"{folder}: holds neither {_MODEL} nor {_CURVES}; see --help")


def _surrogate(folder: Path) -> Suite:
    """LCBench's surrogate."""
    described = {entry["name"]: entry for entry in _json(folder / "config_space.json")["hyperparameters"]}
    codes = _json(folder / "encoding.json")["OpenML_task_id"]
    known = _json(folder / "best_known.json")
    epochs = int(described["epoch"]["upper"])
    tasks = [
        SuiteTask(
            name,
            index,
            known[name]["best"],
            known[name]["median"],
            partial(_surrogate_scores, folder / _MODEL, codes[name], epochs),
        )
        for index, name in enumerate(described["OpenML_task_id"]["choices"])
    ]
    return Suite(folder.name, epochs, {name: _surrogate_setting(described[name]) for name in _INPUTS}, tasks)


def _surrogate_setting(entry: Mapping[str, Any]) -> Parameter:
    kind = "int" if entry["type"] == "uniform_int" else "float"
    return Parameter(kind, entry["lower"], entry["upper"], log=entry["log"])


def _surrogate_scores(model: Path, task: int, epochs: int, settings: Mapping[str, Any]) -> Floats:
    """The validation accuracy after each epoch."""
    rows = np.empty((epochs, 1 + len(_INPUTS)), np.float32)
    rows[:, 0] = np.arange(1, epochs + 1)
    rows[:, 1:] = [settings[name] for name in _INPUTS]
    inputs = {"x_cat": np.full((epochs, 1), task, np.int32), "x_cont": rows}
    return np.asarray(_session(model).run(None, inputs)[0][:, _ACCURACY], float) / 100


@cache
def _session(model: Path) -> Any:
    """The surrogate, opened at its first use: a process forked from one that has it open may hang."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def _recorded(folder: Path) -> Suite:
    """Recorded curves."""
    parameters = _named_settings(folder)
    arrays = dict(np.load(folder / _CURVES))
    places = _places(arrays.pop("hp"), parameters)

    # A training that diverged stays in the study as the worst of all.
    tasks = []
    for index, (name, values) in enumerate(arrays.items()):
        curves = np.where(np.isfinite(values), values, values[np.isfinite(values)].min())
        best, median = float(curves.max()), float(np.median(curves[:, -1]))
        tasks.append(SuiteTask(name, index, best, median, partial(_nearest, places, curves, parameters)))
    return Suite(folder.name, next(iter(arrays.values())).shape[1], parameters, tasks)


def _nearest(
    places: Floats, curves: Floats, parameters: Mapping[str, Parameter], settings: Mapping[str, Any]
) -> Floats:
    """The recorded curve of the configuration that is nearest to these settings."""
    wanted = _places(np.array([[settings[name] for name in parameters]]), parameters)
    return np.asarray(curves[np.square(places - wanted).sum(axis=1).argmin()], float)


def _named_settings(folder: Path) -> dict[str, Parameter]:
    """The settings of recorded curves, in the order of their columns."""
    found = sorted(folder.glob("*.json"))
    if len(found) != 1:
        raise SystemExit(f"{folder}: holds {len(found)} JSON files; one that names the settings is expected")
    named = _json(found[0])
    if isinstance(named, list):
        named = {entry["name"]: entry for entry in named}
    return {
        name: Parameter(entry.get("type", "float"), entry["low"], entry["high"], log=entry.get("log", False))
        for name, entry in named.items()
    }


def _places(settings: NDArray[Any], parameters: Mapping[str, Parameter]) -> Floats:
    """Settings [rows, settings] as places in their ranges, 0 to 1."""
    columns = []
    for column, parameter in zip(np.asarray(settings, float).T, parameters.values(), strict=True):
        ends = np.array(parameter.ends, float)
        if parameter.log:
            column, ends = np.log(column), np.log(ends)
        columns.append((column - ends[0]) / (ends[1] - ends[0]))
    return np.column_stack(columns)


def _json(path: Path) -> Any:
    return json.loads(path.read_text())
