"""The process that shows a study in a tracker: it sends what the study's records hold and the tracker lacks.

It reads the study's records as `status` does, and writes none (W&B keeps files of its own in the study's
`wandb/`): whatever a tracker does, or its package, cannot hurt the study. What could not be sent, as the
tracker was down or the driver was killed, is sent at the next attempt.
The driver starts this process, and ends it by the line `END` on its standard input; when that input ends
without it, the driver is dead, and this process ends at once: the next launch has one of its own.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from sa_study.metrics import names
from sa_study.study.folder import StudyFolder
from sa_study.study.result_files import ResultFiles, is_number
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import PAUSED, TrialSummary
from sa_study.trackers.table import TRACKERS, split
from sa_study.trackers.tracker import LoggedEpoch, RunDescription, TrackedRun, Tracker
from sa_study.utils.text import redact, visible

END = "end"
"""Line by which the driver asks for the last attempt."""

_PAUSE_SECONDS = 2.0
_MAX_PAUSE_SECONDS = 60.0
_PAUSE_SHARE = 10  # how much longer than an attempt the pause after it is: reading a large study takes time
_RETRY_SECONDS = 30.0
_MAX_REASON_CHARACTERS = 200

_ID = re.compile("[0-9a-f]{32}")


class Mirror:
    """Brings a tracker up to what a study's folder holds."""

    def __init__(self, root: Path, tracker: Tracker):
        self._root = root
        self._tracker = tracker
        study = StudySummary.read(root)
        self._key = _study_key(study)
        self._ended = tracker.ended(self._key)
        self._study_run = tracker.open(self._describe_study(study))
        self._trial_runs: dict[str, TrackedRun] = {}
        self._written = 0  # when the database that was read last had been written

    def update(self, *, last: bool = False) -> None:
        """Sends what is missing; in the `last` attempt of a launch trials that have not ended are paused."""
        written = StudyFolder(self._root).database.stat().st_mtime_ns
        if written == self._written and not last:
            return
        study = StudySummary.read(self._root)
        for trial in study.trials:
            key = f"{self._key}-{trial.number:04d}"
            if key not in self._ended and (trial.record.epoch or trial.ended):
                self._update_trial(study, trial, key, last)
        if last:
            winner = study.winner
            links = self._study_links() | ({"winner": f"trial {winner.number}"} if winner else {})
            state = "COMPLETE" if study.ended >= study.config.goal else PAUSED
            self._study_run.close(state, _best_figures(winner) if winner else {}, links)
        self._written = written

    def _update_trial(self, study: StudySummary, trial: TrialSummary, key: str, last: bool) -> None:
        if key not in self._trial_runs:
            self._trial_runs[key] = self._tracker.open(self._describe_trial(trial, key))
        run = self._trial_runs[key]
        if run.epoch < trial.record.epoch:
            run.log(_epochs_after(run.epoch, study, trial))
        if trial.ended or last:
            state = trial.state if trial.ended else PAUSED
            run.close(state, _best_figures(trial), self._trial_links(study, trial))
            del self._trial_runs[key]
            if trial.ended:
                self._ended.add(key)

    def _describe_study(self, study: StudySummary) -> RunDescription:
        space = study.config.space
        params = {
            "metric": study.config.metric,
            "sampler": space.sampler,
            "scheduler": space.scheduler.name,
            "search_seed": study.config.seed,
            **space.fixed,
        }
        begun = datetime.fromisoformat(study.provenance["launches"][0]["time"])
        return RunDescription(
            self._key, self._root.name, "", begun.timestamp(), _without_none(params), self._study_links()
        )

    def _describe_trial(self, trial: TrialSummary, key: str) -> RunDescription:
        begun = trial.start.timestamp() if trial.start else time.time()
        name = f"trial {trial.number}" + (" (baseline)" if trial.baseline else "")
        return RunDescription(key, name, self._key, begun, _without_none(trial.params))

    def _study_links(self) -> dict[str, str]:
        return {"folder": str(self._root), "page": str(self._root / "report.html")}

    def _trial_links(self, study: StudySummary, trial: TrialSummary) -> dict[str, str]:
        kept = trial.record.best_checkpoint
        checkpoint = {"checkpoint": f"{study.storage_uri}/{kept}"} if kept else {}
        return {**checkpoint, "page": self._study_links()["page"]}


def _study_key(study: StudySummary) -> str:
    """The study's id; else, as for studies of earlier versions, one made of how they began.

    Trackers make names of files of it, and anyone can edit a database.
    """
    found = str(study.attributes.get("id"))
    if _ID.fullmatch(found):
        return found
    begun = f"{study.provenance['data_fingerprint']} {study.provenance['launches'][0]['time']}"
    return hashlib.sha256(begun.encode()).hexdigest()[:32]


def _without_none(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def _best_figures(trial: TrialSummary) -> dict[str, float]:
    best = trial.record.best
    return {f"best/{name}": float(best[name]) for name in (names.EPOCH, *names.RANKING) if name in best}


def _epochs_after(epoch: int, study: StudySummary, trial: TrialSummary) -> list[LoggedEpoch]:
    """A trial's epochs after this one; of one that was run again the last run counts, as in the database."""
    record = trial.record
    reported: dict[int, dict[str, Any]] = {}
    if epoch < record.epoch - 1:
        files = ResultFiles(study.storage_uri)
        for session in files.sessions():
            reported |= {row.epoch: row.values for row in files.rows(session, trial.number)}
    reported[record.epoch] = {"timestamp": time.time(), **reported.get(record.epoch, record.last)}
    found = []
    for number in range(epoch + 1, record.epoch + 1):
        values = reported.get(number)
        if values is None:  # a killed driver had not copied its results to the trials' storage
            score = trial.score_after(number)
            values = {} if score is None else {trial.metric: score}
        known = {name: float(value) for name, value in values.items() if is_number(value)}
        figures = {tag: value for name, value in known.items() if (tag := names.tag_of(name))}
        found.append(LoggedEpoch(number, figures, float(values.get("timestamp", time.time()))))
    return found


def mirror(root: Path, tracker: str, ending: threading.Event, say: Callable[[str], None]) -> bool:
    """Keeps a tracker up to date until the end, with a new connection after every failure.

    Args:
        root: The study's folder.
        tracker: The tracker, as `resolve_trackers` gives it.
        ending: Is set when one last attempt is asked for.
        say: Called with the reason of the first failure alone.

    Returns:
        Whether the last attempt succeeded.
    """
    name, target = split(tracker)
    current: Mirror | None = None
    failed_before = False
    while True:
        last = ending.is_set()
        try:
            current = current or Mirror(root, TRACKERS[name](target, str(root)))
            begun = time.monotonic()
            current.update(last=last)
            took = time.monotonic() - begun
            pause = min(max(_PAUSE_SECONDS, _PAUSE_SHARE * took), _MAX_PAUSE_SECONDS)
        except Exception as error:  # of a package, a server, a network
            if not failed_before:
                say(_reason(error))
            failed_before, current, pause = True, None, _RETRY_SECONDS
        if last:
            return current is not None
        ending.wait(pause)


def _reason(error: BaseException) -> str:
    """Why something failed: what was wrong first, as packages wrap it in what they were about to do."""
    while inner := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        error = inner
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return " ".join(str(error).split())[:_MAX_REASON_CHARACTERS] or type(error).__name__


def _end_with_driver(ending: threading.Event) -> None:
    """Sets the event when the driver asks for the end; without a driver, ends this process's whole group."""
    for line in sys.stdin:
        if line.strip() == END:
            ending.set()
            return
    os.killpg(0, signal.SIGKILL)


def main() -> int:
    """Runs the process: `python -m sa_study.trackers.mirror STUDY TRACKER`."""
    root, tracker = sys.argv[1:]
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as own, open(os.devnull, "w") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), sys.stdout.fileno())  # packages print what they like
        ending = threading.Event()
        threading.Thread(target=_end_with_driver, args=(ending,), daemon=True).start()

        def say(reason: str) -> None:
            own.write(f"{visible(redact(reason))}\n")
            own.flush()

        done = mirror(Path(root), tracker, ending, say)
    os._exit(0 if done else 1)  # packages may wait for their servers at their end


if __name__ == "__main__":
    sys.exit(main())
