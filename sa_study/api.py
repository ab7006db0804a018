"""Studies from Python: launch one, open one, and ask it what the commands would.

Everything that goes wrong is a `StudyError` with the message that the command line would print.
"""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sa_study.analysis.final.evaluate import evaluate_study
from sa_study.analysis.repeats.confirm import finish_confirmation, prepare_confirmation
from sa_study.export.tables import make_table, trial_columns
from sa_study.report.page.render import write_page
from sa_study.report.terminal.console import Output, phases
from sa_study.report.terminal.launch import (
    launch_with_live_view,
    resume_with_live_view,
    run_repeats_with_live_view,
)
from sa_study.settings.run import Settings
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import TrialSummary
from sa_study.study.winner import winners_network
from sa_study.training.extractor import FeatureExtractor
from sa_study.tuning.launch.configure import SpaceSource, as_trackers, configure_study
from sa_study.tuning.launch.interrupts import require_main_thread
from sa_study.tuning.launch.prepare import StudyChanges
from sa_study.utils.errors import ConfigError, RunFailed
from sa_study.utils.files import expand_home, folder_or_uri

if TYPE_CHECKING:
    import pandas as pd

AnyPath = str | os.PathLike[str]


@contextmanager
def _signals_kept() -> Iterator[None]:
    """A launch answers SIGTERM as it does Ctrl-C; afterwards the process answers it as before.

    Raises:
        ConfigError: This is not the process's main thread, which alone hears of Ctrl-C.
    """
    require_main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)  # None: a handler that is not Python's


class Study:
    """A study on disk. What it tells is read anew each time, also while the study runs elsewhere.

    Args:
        path: The study's folder.
        stopped: Why the launch that made this object ended before all trials had.

    Attributes:
        path: The study's folder.
        stopped: Why the last launch from this object ended early, such as `interrupted` after Ctrl-C; empty
            where all trials have ended, or nothing was launched.

    Raises:
        StudyFolderError: The folder holds no study, or the study is damaged.
    """

    def __init__(self, path: AnyPath, stopped: str = ""):
        self.path = expand_home(path)
        self.stopped = stopped
        self.summary()

    def __repr__(self) -> str:
        summary = self.summary()
        states = ", ".join(f"{count} {state}" for state, count in summary.states.items())
        return f"<Study {str(self.path)!r}: {states or 'no trials'}>"

    def summary(self) -> StudySummary:
        """Everything known of the study, as the terminal, the page and the exports show it."""
        return StudySummary.read(self.path)

    @property
    def trials(self) -> pd.DataFrame:
        """A row for each trial: its state, searched settings, best epoch and figures, and what it cost.

        The columns are those of `export`'s `trials.csv`; docs/python.md lists them.
        """
        import pandas as pd

        types = {
            pa.int64(): pd.Int64Dtype(),
            pa.float64(): pd.Float64Dtype(),
            pa.bool_(): pd.BooleanDtype(),
            pa.string(): pd.StringDtype(),
        }
        summary = self.summary()
        table = make_table(trial_columns(summary), summary.trials)
        frame: pd.DataFrame = table.to_pandas(types_mapper=types.get)
        return frame

    @property
    def best(self) -> TrialSummary | None:
        """The complete trial with the best score; None before one is complete."""
        return self.summary().winner

    @property
    def baseline(self) -> TrialSummary | None:
        """Trial 0, which ran the space's baseline; None before it began."""
        return self.summary().baseline

    @property
    def settings(self) -> Settings:
        """All settings of the best trial, as `best.yaml` holds them.

        Raises:
            RunFailed: No trial is complete.
        """
        summary = self.summary()
        if summary.winner is None:
            raise RunFailed(f"{self.path}: no trial is complete yet")
        return summary.settings(summary.winner)

    def resume(self, *, progress: bool = True, **changes: Any) -> Study:
        """Goes on with a study that was stopped or killed, or extends it, as the command `resume` does.

        Args:
            progress: Whether to print how it goes.
            changes: Fields of `StudyChanges` to change, such as `trials=60` or `epoch_budget=2000`.

        Returns:
            The study itself.

        Raises:
            StudyError: A change is out of range, or the study cannot go on.
        """
        with _signals_kept():
            outcome = resume_with_live_view(Output(quiet=not progress), self.path, _changes(changes))
        self.stopped = outcome.stopped
        return self

    def confirm(
        self, top: int = 3, seeds: int = 3, folds: int = 1, *, progress: bool = True, **changes: Any
    ) -> dict[str, Any] | None:
        """Trains the leaders and the baseline again, with new seeds and identities: is any really better?

        Args:
            top: How many of the leading configurations.
            seeds: Seeds of each, other than the study's.
            folds: Sets of held-out identities for each seed, other than the study's.
            progress: Whether to print how it goes.
            changes: As for `resume`, of the runs: `max_concurrent`, `time_budget`, `address`, `data_dir`.

        Returns:
            The content of `confirmation.json`, whose `verdict` is a sentence; None where the runs were
            stopped before their end, so that the same call goes on with them.

        Raises:
            StudyError: The study is running, or there is nothing to confirm.
        """
        if limits := changes.keys() & {"trials", "epoch_budget", "gpu_hours", "patience", "track"}:
            raise ConfigError(
                f"confirm: takes no {min(limits)}; top, seeds and folds say how much is trained"
            )
        output, asked = Output(quiet=not progress), _changes(changes)
        plan, repeats = prepare_confirmation(
            self.path, top=top, seeds=seeds, folds=folds, data_dir=asked.data_dir
        )
        with _signals_kept():
            self.stopped = run_repeats_with_live_view(output, repeats, asked).stopped
        if self.stopped:
            return None
        with phases(output.console) as report:
            return finish_confirmation(self.path, plan, repeats, partial(report, "scoring"))

    def evaluate(
        self,
        data_dir: AnyPath | None = None,
        *,
        rerank: bool = False,
        baseline: bool = False,
        progress: bool = True,
    ) -> Mapping[str, Mapping[str, Any]]:
        """Evaluates the best checkpoint on the test set. This is a look at it, which the ledger records.

        Args:
            data_dir: Another data set; else the study's own.
            rerank: Whether to compute the figures after re-ranking too.
            baseline: Whether to evaluate the baseline too.
            progress: Whether to show how far it is.

        Returns:
            `best` and, if asked for, `baseline`, each as in `evaluation.json`; rates are fractions.

        Raises:
            StudyError: No trial is complete, or a file cannot be used.
        """
        folder = None if data_dir is None else expand_home(data_dir)
        with phases(Output(quiet=not progress).console) as report:
            found = evaluate_study(self.path, folder, reranked=rerank, baseline=baseline, report=report)
        return found.evaluations

    def report(self, out: AnyPath | None = None) -> Path:
        """Writes the page that shows and explains the study; returns the file.

        Args:
            out: The HTML file, or None for `report.html` in the study's folder.
        """
        path, _ = write_page(self.path, None if out is None else expand_home(out))
        return path

    def network(self) -> FeatureExtractor:
        """The best trial's network, ready: `study.network()(images)` gives the images' features.

        Raises:
            RunFailed: No trial is complete.
        """
        return FeatureExtractor(winners_network(self.summary()))


def _changes(changes: Mapping[str, Any]) -> StudyChanges:
    """The changes that a caller asks for, with the data set's folder as an absolute path."""
    asked = StudyChanges(**changes)
    if asked.data_dir is not None:
        asked = dataclasses.replace(asked, data_dir=expand_home(asked.data_dir).absolute())
    if asked.track is not None:
        asked = dataclasses.replace(asked, track=as_trackers(asked.track))
    return asked


def tune(
    data_dir: AnyPath,
    study: AnyPath,
    space: SpaceSource = "default",
    *,
    start_from: AnyPath | None = None,
    top: int = 3,
    progress: bool = True,
    **options: Any,
) -> Study:
    """Launches a study and waits for its end, as the command `tune` does.

    Ctrl-C, or a notebook's interrupt, ends the launch in order: the study that is returned says so in
    `stopped`, and its `resume()` goes on.

    Args:
        data_dir: Folder of the data set, or a list of its images (`LIST.csv`).
        study: Folder to make for the study.
        space: A search-space file, the name of one that comes with the program (`default`, `wide`, `small`,
            …), its content as a dict, or a `SearchSpace`.
        start_from: An earlier study, whose best configurations are run first.
        top: How many of them.
        progress: Whether to print how it goes.
        options: `overrides` (settings to fix, a dict), `sampler`, `scheduler`, `track` (experiment trackers,
            such as `["mlflow"]`), and the other fields of `StudyConfig`: `metric`, `trials`, `seed`,
            `max_concurrent`, `epoch_budget`, `address`, …

    Raises:
        StudyError: Bad input, and nothing was written; or the run failed, and `load_study(…).resume()` goes
            on.
    """
    if storage := options.get("storage_path"):
        options["storage_path"] = folder_or_uri(storage)
    config = configure_study(expand_home(data_dir), space, **options)
    root = expand_home(study)
    earlier = None if start_from is None else expand_home(start_from)
    with _signals_kept():
        outcome = launch_with_live_view(Output(quiet=not progress), root, config, earlier, top)
    return Study(root, outcome.stopped)


def load_study(path: AnyPath) -> Study:
    """Opens a study; nothing is written.

    Raises:
        StudyFolderError: The folder holds no study, or the study is damaged.
    """
    return Study(path)
