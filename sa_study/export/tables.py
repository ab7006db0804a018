"""All trials of a study as one table and the figures of all epochs as another, in CSV and in Parquet."""

from __future__ import annotations

import csv
import functools
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet

from sa_study.export.documents import render
from sa_study.metrics import names
from sa_study.metrics.protocol import PROTOCOL, protocol_notes
from sa_study.settings.space import Parameter
from sa_study.study.result_files import ResultFiles, is_number
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import TrialSummary
from sa_study.utils.errors import one_line
from sa_study.utils.text import visible

TYPES: dict[str, pa.DataType] = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "text": pa.string(),
    "time": pa.timestamp("us"),
}
"""What columns hold, by the word in the tables' README; a cell of any of them may be empty."""

_FORMULA = tuple("=+-@")


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        name: Its heading.
        kind: One of `TYPES`.
        meaning: What it holds, with the unit.
        source: The attribute of a row, or a function of the row, that gives the cell; the cell may be None.
    """

    name: str
    kind: str
    meaning: str
    source: str | Callable[[Any], Any]


def make_table(columns: Sequence[Column], rows: Sequence[Any]) -> pa.Table:
    """A table: each column finds its own cells, so that none can stand under another heading.

    Text stands there as it is, but for halves of surrogate pairs. A field's metadata have its description.
    """
    fields, arrays = [], []
    for name, kind, meaning, source in columns:
        read = attrgetter(source) if isinstance(source, str) else source
        fields.append(pa.field(name, TYPES[kind], metadata={"description": meaning}))
        arrays.append(pa.array([_storable(read(row)) for row in rows], TYPES[kind]))
    return pa.table(arrays, schema=pa.schema(fields))


def write_csv(table: pa.Table, path: Path) -> None:
    """Writes a CSV file in UTF-8: text is quoted, numbers are not, booleans are `true` or `false`.

    Numbers read back exactly; text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        # Quoted text stays one cell also where a spreadsheet does not separate by commas.
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        writer.writerow(map(spreadsheet_safe, table.column_names))
        columns = (map(_csv_cell, column.to_pylist()) for column in table.columns)
        writer.writerows(zip(*columns, strict=True))


def write_tables(study: StudySummary, folder: Path) -> list[str]:
    """Writes the tables of trials and of epochs, and a README on their columns, into a new folder.

    Returns:
        What a user ought to know of the files, a line each.
    """
    epochs, missing = epoch_table(study)
    tables = {"trials": make_table(trial_columns(study), study.trials), "epochs": epochs}
    folder.mkdir()
    for name, table in tables.items():
        write_csv(table, folder / f"{name}.csv")
        pyarrow.parquet.write_table(table, folder / f"{name}.parquet")
    kinds = {kind: word for word, kind in TYPES.items()}
    notes = protocol_notes({PROTOCOL: study.protocol})
    columns = {
        name: [
            (field.name, kinds[field.type], field.metadata[b"description"].decode()) for field in table.schema
        ]
        for name, table in tables.items()
    }
    (folder / "README.md").write_text(render("columns.md.j2", tables=columns, notes=notes), encoding="utf-8")
    if missing and any(trial.record.epochs_run for trial in study.trials):
        return [f"{missing}: of most epochs only the score is known, from the database"]
    return []


def trial_columns(study: StudySummary) -> list[Column]:
    """The columns of the table of trials, the same for every study but for the searched settings."""

    def on_front(trial: TrialSummary) -> bool | None:
        return trial in study.front if study.config.minimize else None

    def accumulate(trial: TrialSummary) -> int:
        return study.settings(trial).accumulate

    return [
        Column("trial", "integer", "number of the trial, from 0", "number"),
        Column("state", "text", "COMPLETE, PRUNED (stopped early), FAIL, RUNNING or WAITING", "state"),
        Column("is_baseline", "boolean", "whether it runs the space's baseline", "baseline"),
        Column("is_best", "boolean", "whether it is the study's winner", lambda trial: trial is study.winner),
        Column(
            "on_front", "boolean", "whether it is on the Pareto front; empty with one objective", on_front
        ),
        *(_setting_column(name, parameter) for name, parameter in study.config.space.search.items()),
        *_FIGURES,
        *_COSTS,
        Column("accumulate", "integer", "parts in which a batch's gradient was computed", accumulate),
        *_OUTCOME,
    ]


def epoch_table(study: StudySummary) -> tuple[pa.Table, str]:
    """A row for each figure of each epoch that the database knows.

    Returns:
        The table, and why Ray's results could not be read; the database alone then gives the score of each
        epoch and all figures of a trial's best and last one.
    """
    reported, missing = _read_epochs(study)
    rows = []
    for trial in study.trials:
        number, epochs = trial.number, trial.epochs
        for epoch in range(1, trial.record.epoch + 1):
            figures = reported.get((number, epoch)) or _from_database(trial, epoch)
            rows += [(number, epoch, epochs, 100 * epoch / epochs, *figure) for figure in figures.items()]
    return make_table(_EPOCH_COLUMNS, rows), missing


def _best(name: str, meaning: str) -> Column:
    """A figure of a trial's best epoch."""
    return Column(name, "number", meaning, lambda trial: trial.record.best.get(name))


def _known(name: str, kind: str, meaning: str, attribute: str) -> Column:
    """A column whose cell is empty where the attribute is 0 or empty."""
    read = attrgetter(attribute)
    return Column(name, kind, meaning, lambda trial: read(trial) or None)


_FIGURES = (
    Column("epochs", "integer", "length of its schedule, in epochs", "epochs"),
    Column("epochs_completed", "integer", "epochs that it completed", "record.epoch"),
    Column("best_epoch", "integer", "the epoch whose validation figures and checkpoint count", "best_epoch"),
    *(
        _best(name, f"{names.heading(name, names.VALIDATION)} of the best epoch, 0 to 1")
        for name in names.RANKING
    ),
    *(
        _best(name, f"{end} end of the 95 % interval of that {names.heading(figure)}, over the identities")
        for figure, ends in names.INTERVALS.items()
        for name, end in zip(ends, ("lower", "upper"), strict=True)
    ),
)
_COSTS = (
    Column(
        "epochs_run", "integer", "epochs paid for, those run again after a fault too", "record.epochs_run"
    ),
    Column("seconds", "number", "seconds of training and validation in them", "record.seconds"),
    Column(
        "gpu_seconds",
        "number",
        "those seconds times the trial's GPUs, a shared one by its share",
        "record.gpu_seconds",
    ),
    _known(
        "cost_seconds", "number", "seconds of its epochs, each once (the objective 'cost')", "record.cost"
    ),
    _known(
        "latency_ms",
        "number",
        "least milliseconds an image in validation (the objective 'latency')",
        "record.latency",
    ),
)
_OUTCOME = (
    Column("stopped_early", "boolean", "whether the stopping rule ended it", "record.stopped"),
    _known("failure", "text", "why it failed", "record.failure"),
    Column("notes", "text", "what happened to it on its way", lambda t: "; ".join(t.record.notes) or None),
    Column(
        "started", "time", "when it was suggested, by the clock of the machine that drove the study", "start"
    ),
    Column("ended", "time", "when it ended, by the same clock", "end"),
)
_EPOCH_FIGURES = "mAP, rank1, rank5, rank10, loss, loss/BRANCH, train_accuracy, lr, seconds, …"
_EPOCH_COLUMNS = (
    Column("trial", "integer", "number of the trial", itemgetter(0)),
    Column("epoch", "integer", "number of the epoch, from 1", itemgetter(1)),
    Column("epochs", "integer", "length of the trial's schedule, in epochs", itemgetter(2)),
    Column("progress", "number", "share of the schedule that was over, in per cent", itemgetter(3)),
    Column("figure", "text", _EPOCH_FIGURES, itemgetter(4)),
    Column("value", "number", "its value; rates are 0 to 1", itemgetter(5)),
)


def _setting_column(name: str, parameter: Parameter) -> Column:
    kind = _kind(parameter)
    convert = {"integer": int, "number": float, "boolean": bool, "text": str}[kind]

    def value(trial: TrialSummary) -> Any:
        found = trial.params.get(name)
        return None if found is None else convert(found)

    return Column(f"param_{name}", kind, f"searched setting {name}: {parameter.describe()}", value)


def _kind(parameter: Parameter) -> str:
    """The kind of column that holds all values of a setting."""
    if parameter.kind != "categorical":
        return "integer" if parameter.kind == "int" else "number"
    kinds = {type(choice) for choice in parameter.choices}
    for kind, types in (("boolean", {bool}), ("integer", {int}), ("number", {int, float})):
        if kinds <= types:
            return kind
    return "text"


def _read_epochs(study: StudySummary) -> tuple[dict[tuple[int, int], dict[str, float]], str]:
    """Figures by trial and epoch from Ray's results, wherever they lie, and why they could not be read.

    Of an epoch that was run again the last one counts, as in the database.
    """
    place, epochs = study.storage_uri, {}
    try:
        files = ResultFiles(place)
        for session in files.sessions():
            for number in files.trials(session):
                for row in files.rows(session, number):
                    if row.epoch:
                        epochs[number, row.epoch] = _figures(
                            (name, float(value)) for name, value in row.values.items() if is_number(value)
                        )
    except (OSError, ValueError) as error:
        return epochs, f"{place}: cannot be read ({one_line(error)})"
    return epochs, "" if epochs else f"{place}: holds no results"


def _from_database(trial: TrialSummary, epoch: int) -> dict[str, float]:
    for figures in (trial.record.best, trial.record.last):
        if figures.get(names.EPOCH) == epoch:
            return _figures(figures.items())
    score = trial.score_after(epoch)
    return {} if score is None else {trial.metric: score}


def _figures(values: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Those values of an epoch's report that are figures."""
    return {
        name: value for name, value in values if name in names.FIGURES or name.startswith(f"{names.LOSS}/")
    }


def _csv_cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    return spreadsheet_safe(value) if isinstance(value, str) else value


def _storable(value: Any) -> Any:
    """Halves of surrogate pairs, which UTF-8 cannot hold, are written as escapes."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value


@functools.lru_cache(maxsize=4096)  # a column says the same few things in a million rows
def spreadsheet_safe(text: str) -> str:
    """For a cell that a spreadsheet may read: a formula gets an apostrophe before it (OWASP's advice).

    Full-width signs count too: some versions take them for the plain ones.
    """
    text = visible(text)
    begins = unicodedata.normalize("NFKC", text).lstrip()
    return f"'{text}" if begins.startswith(_FORMULA) else text
