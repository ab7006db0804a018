"""A launch as a person sees it: the live view while trials run, then how it ended and what to do next."""

from __future__ import annotations

import sys
from pathlib import Path

from sa_study.analysis.repeats.runs import RepeatStudy
from sa_study.metrics import names
from sa_study.metrics.protocol import PROTOCOL, protocol_notes
from sa_study.report.json_document import study_document
from sa_study.report.terminal.console import Output
from sa_study.report.terminal.launch_display import LaunchDisplay
from sa_study.report.terminal.study import cost_line, front_table, interval_line, judgement_line, summary_line
from sa_study.report.terminal.study_panel import StudyPanel
from sa_study.report.text import command
from sa_study.report.verdict import headline
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.study.summary import StudySummary
from sa_study.tuning.launch.launch import Outcome, launch, resume
from sa_study.tuning.launch.prepare import StudyChanges
from sa_study.tuning.search.initial_trials import InitialTrials, transfer
from sa_study.utils.text import plural

_MAX_TRIALS_LISTED = 10


def launch_with_live_view(
    output: Output, study: Path, config: StudyConfig, start_from: Path | None = None, top: int = 3
) -> Outcome:
    """Launches a new study with the live view; first it runs the `top` best configurations of another."""
    initial_trials = InitialTrials()
    if start_from is not None:
        found = transfer(StudySummary.read(start_from), config.space, top, config.goal)
        initial_trials = found.initial_trials
        for line in found.misfits:
            output.conclude(line, "yellow")
        if found.trials:
            output.say(f"first the configurations of {plural(len(found.trials), 'trial')} of {start_from}")
    metric = names.heading(config.metric, names.VALIDATION)
    output.say(f"study {study}: {plural(config.trials, 'trial')}, maximising {metric}")
    with LaunchDisplay(output.console, config, str(study)) as live:
        return launch(study, config, live, initial_trials)


def resume_with_live_view(output: Output, study: Path, changes: StudyChanges) -> Outcome:
    """Resumes a study with the live view."""
    config = StudyConfig.read(StudyFolder.existing(study).config)
    output.say(f"study {study}: resuming")
    with LaunchDisplay(output.console, config, str(study)) as live:
        return resume(study, changes, live)


def run_repeats_with_live_view(output: Output, repeats: RepeatStudy, changes: StudyChanges) -> Outcome:
    """Launches or resumes a study of `confirm` or `ablate` with the live view."""
    with LaunchDisplay(output.console, repeats.config, str(repeats.folder.root)) as live:
        return repeats.run(live, changes)


def show_end(output: Output, study: Path, outcome: Outcome, *, evaluated: bool = False) -> int:
    """Shows how a launch ended and how to continue; no hints and no JSON if the study is `evaluated` next.

    Returns:
        The exit code: 130 after Ctrl-C, 1 where all trials have run and none is complete, else 0.
    """
    summary = StudySummary.read(study)
    output.console.print(StudyPanel.of(summary, limit=_MAX_TRIALS_LISTED, trials_only=True))
    if summary.config.minimize:
        output.console.print(front_table(summary))
    notes = protocol_notes({PROTOCOL: summary.protocol})
    for line in (summary_line(summary), cost_line(summary), interval_line(summary), *notes):
        if line:
            output.say(line)
    output.conclude(headline(summary), "bold")
    if line := judgement_line(summary):
        output.conclude(line)
    code = 0 if summary.winner or outcome.stopped else 1
    if outcome.stopped:
        show_stop(output, study, outcome, command("resume", "--study", study, *outcome.larger_budget))
        code = 130 if outcome.interrupted else 0
    if summary.winner and not evaluated:
        output.say(f"is the winner really better? {command('confirm', '--study', study)}")
        again = command("evaluate", "--study", study, "--baseline")
        output.say(f"the test set was not opened; then: {again}")
    if code or not evaluated:
        output.document(study_document(summary, stopped=outcome.stopped))
    return code


def show_stop(output: Output, study: Path, outcome: Outcome, go_on: str = "") -> int:
    """Shows what is saved of a launch that was stopped, and the command to go on with: by default this one.

    Returns:
        The exit code: 130 after Ctrl-C, else 1.
    """
    output.conclude(_saved_line(study))
    output.conclude(f"{outcome.stopped}; go on with: {go_on or command(*sys.argv[1:])}")
    return 130 if outcome.interrupted else 1


def _saved_line(study: Path) -> str:
    summary = StudySummary.read(study)
    parts = [plural(summary.ended, "ended trial")]
    for trial in summary.trials:
        if trial.state == "RUNNING":
            epoch = trial.record.epoch
            upto = f"up to epoch {epoch} of {trial.epochs}" if epoch else "from its first epoch on"
            parts.append(f"trial {trial.number} {upto}")
    return f"saved in {study}: {', '.join(parts)}"
