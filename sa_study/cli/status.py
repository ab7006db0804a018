"""`status`: a study's state, also while it runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sa_study.cli.options import Json, Quiet, Study
from sa_study.utils.errors import ConfigError

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from sa_study.report.terminal.live_snapshot import Snapshot
    from sa_study.report.terminal.output import Output
    from sa_study.study.config import StudyConfig
    from sa_study.study.lock import Owner
    from sa_study.study.test_ledger import Seen

_SHOWN = 20
_REASONS = 5
_PERIOD = 2.0
"""Seconds from a look at the database to the next."""


def status(
    study: Study,
    every: Annotated[
        bool, typer.Option("--all", help=f"List all trials, not the {_SHOWN} that lead.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on showing it until the study ends; Ctrl-C leaves it alone.")
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Show what stands in a study, also while it runs; writes nothing."""
    from sa_study.report.terminal.live_view import StudyView
    from sa_study.report.terminal.output import Output, lively
    from sa_study.report.terminal.study import front_table, interval_line, verdict
    from sa_study.study.records import choose_winner

    output = Output(quiet, as_json)
    if watch and not lively(output.console):
        raise ConfigError("--watch: needs a terminal, without NO_COLOR, --quiet and --json; leave it out")
    seen = Sight(study)
    if watch:
        _watch(output, seen)
    if as_json:
        output.document(seen.document())
        return
    trials, config = seen.trials, seen.config
    output.console.print(StudyView(seen.snapshot(), None if every else _SHOWN))
    output.console.print()
    if config.minimize:
        output.console.print(front_table(trials, config))
    for line in [*seen.failure_lines(), *seen.note_lines(), *seen.test_lines(), *seen.driver_lines()]:
        output.say(line)
    winner = choose_winner(trials, config.metric)
    if line := interval_line(trials, winner, config):
        output.say(line)
    output.conclude(verdict(trials, winner, config), "bold")
    if line := seen.judgement_line():
        output.conclude(line)


class Sight:
    """What is read of a study.

    Args:
        study: Its folder, as the user named it.

    Attributes:
        config: What was asked for.
        trials: Its trials.
        about: What is kept with the study beside its trials.
        owner: Who runs it, or None.
    """

    def __init__(self, study: Path):
        from sa_study.study.folder import StudyFolder

        self._study = study
        self._folder = StudyFolder.existing(study)
        self.read()

    def read(self) -> None:
        """Looks again."""
        from sa_study.study.config import StudyConfig
        from sa_study.study.database import open_readonly, read_about, trials_in
        from sa_study.study.lock import holder

        self.config: StudyConfig = StudyConfig.read(self._folder.config)
        database = open_readonly(self._folder)
        # Before the trials: a driver that ends in between would leave some that run without one.
        self.owner: Owner | None = holder(self._folder.lock)
        self.trials: list[FrozenTrial] = trials_in(database, self._folder)
        self.about: dict[str, Any] = read_about(database, self._folder)

    def snapshot(self) -> Snapshot:
        """The study at that moment."""
        from sa_study.provenance import last_slots
        from sa_study.report.terminal.live_snapshot import Snapshot, rows_of
        from sa_study.study.cost import study_cost

        running = self.owner is not None
        return Snapshot(
            str(self._study),
            self.config,
            rows_of(self.trials, self.config, driven=running),
            slots=last_slots(self._folder.provenance) if running else None,
            training=study_cost(self.trials, self.about).training_share,
            elapsed=max(time.time() - self.owner.since, 0.0) if self.owner else None,
        )

    def document(self) -> dict[str, Any]:
        """The same for programs."""
        from sa_study.report.json_document import study_document

        document = study_document(self._study, self.config, self.trials, self.about, driver=self.owner)
        return {**document, "test_looks": self._tested().count}

    def judgement_line(self) -> str:
        """Whether the gain over the baseline can be trusted; empty while there is no winner."""
        from sa_study.report.terminal.study import judgement_line

        return judgement_line(self._folder, self.config, self.trials, self.about)

    def failure_lines(self) -> Iterator[str]:
        """Why trials failed, of those that are many the first."""
        from sa_study.study.records import read_record

        reasons = [(trial.number, read_record(trial).failure) for trial in self.trials]
        failed = [(number, reason) for number, reason in reasons if reason]
        for number, reason in failed[:_REASONS]:
            yield f"trial {number} failed: {reason}"
        if len(failed) > _REASONS:
            yield f"{len(failed) - _REASONS} more failed; --json tells why"

    def note_lines(self) -> Iterator[str]:
        """What happened to trials on their way, of those that are many the first."""
        from sa_study.study.records import read_record

        notes = [(trial.number, note) for trial in self.trials for note in read_record(trial).notes]
        for number, note in notes[:_REASONS]:
            yield f"trial {number}: {note}"
        if len(notes) > _REASONS:
            yield f"{len(notes) - _REASONS} more notes; --json has them"

    def test_lines(self) -> Iterator[str]:
        """How often the test set was seen, where it was."""
        if sentence := self._tested().sentence:
            yield sentence

    def _tested(self) -> Seen:
        from sa_study.study.test_ledger import seen

        return seen(self._folder)

    def driver_lines(self) -> Iterator[str]:
        """Who runs it; or what goes on with it, where trials wait for that."""
        from sa_study.report.terminal.text import command

        if self.owner:
            yield f"it is being run by {self.owner}"
        elif any(trial.state.name == "RUNNING" for trial in self.trials):
            yield f"it is not running; go on with: {command('resume', '--study', self._study)}"


def _watch(output: Output, seen: Sight) -> None:
    """Shows it until its driver ends, or Ctrl-C."""
    from contextlib import suppress

    from rich.live import Live

    from sa_study.report.terminal.live_view import StudyView

    console = output.console
    with (
        suppress(KeyboardInterrupt),
        Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop") as live,
    ):
        while seen.owner:
            live.update(StudyView(seen.snapshot(), height=console.height), refresh=True)
            time.sleep(_PERIOD)
            seen.read()
