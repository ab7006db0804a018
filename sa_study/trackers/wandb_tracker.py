"""Weights & Biases: runs whose ids are their keys, in one group for a study, whose folder has its files.

They are in `wandb/PROJECT/wandb` or `wandb/ENTITY/PROJECT/wandb`: a study may be shown in several projects.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from sa_study.metrics import names
from sa_study.trackers.tracker import REQUEST_SECONDS, LoggedEpoch, RunDescription, bypass_proxies
from sa_study.utils.errors import ConfigError

_DEFAULT_PROJECT = "sa-study"
_PROJECT = re.compile(r"([\w.-]{1,128}/)?[\w.-]{1,128}", re.ASCII)

_ENDED = "ended"  # file in the folder of a run that was closed, and taken by W&B where it is online


class WandbTracker:
    """A connection to W&B, or with WANDB_MODE=offline its files; a `Tracker`."""

    PACKAGE: ClassVar[str] = "wandb"

    def __init__(self, target: str, folder: str):
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        if server := os.environ.get("WANDB_BASE_URL"):
            bypass_proxies(server)
        entity, _, self._project = target.rpartition("/")
        self._entity = entity or None
        self._folder = Path(folder, "wandb", target)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._runs = self._folder / "wandb"  # W&B's name for it
        os.environ.setdefault("WANDB_CACHE_DIR", str(self._runs / "cache"))  # logs; else in the home folder
        import wandb

        with suppress(Exception, SystemExit):  # its process may be dead
            wandb.teardown()  # of an attempt that failed: W&B would refuse the ids of its runs

    @staticmethod
    def resolve(target: str) -> str:
        """A project, with its entity where it is not the user's default one."""
        project = target or os.environ.get("WANDB_PROJECT") or _DEFAULT_PROJECT
        if not _PROJECT.fullmatch(project) or ".." in project:
            source = "" if target else f"WANDB_PROJECT={project}: "
            raise ConfigError(
                f"{source}expected PROJECT or ENTITY/PROJECT of letters, digits, '.', '_' and '-'"
            )
        return project

    def open(self, run: RunDescription) -> _WandbRun:
        """The run with this id, resumed or created.

        Offline it is written anew, from its first epoch: W&B cannot resume a file, and the study's
        records have all that is in it. Nor is anything needed of an attempt that failed.
        """
        import wandb

        for part in self._runs.glob(f"*run-*-{run.key}"):
            shutil.rmtree(part)
        settings = wandb.Settings(
            silent=True,
            console="off",
            symlink=False,  # they would stand beside the runs, and a study's folder holds no links
            init_timeout=REQUEST_SECONDS,
            finish_timeout=REQUEST_SECONDS,
            finish_timeout_raises=True,
            stop_fn=lambda: None,  # W&B's page stops no study
            disable_git=True,
            disable_code=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
        )
        opened = wandb.init(
            entity=self._entity,
            project=self._project,
            id=run.key,
            name=run.name,
            group=run.study or run.key,
            job_type="trial" if run.study else "study",
            config={**run.params, **run.links},
            resume="allow",
            reinit="create_new",
            dir=str(self._folder),
            settings=settings,
        )
        return _WandbRun(opened)

    def ended(self, study: str) -> set[str]:
        """Keys of the runs whose folders say so."""
        marks = self._runs.glob(f"*run-*-{study}*/{_ENDED}")
        return {mark.parent.name[mark.parent.name.index(study) :] for mark in marks}


class _WandbRun:
    """A run in W&B; a `TrackedRun`."""

    def __init__(self, run: Any):
        self._run = run
        self.epoch = max(0, int(run.starting_step) - 1)  # 0 for a new run, else the step after its last

    def log(self, epochs: Sequence[LoggedEpoch]) -> None:
        """Sends epochs at their steps."""
        for epoch in epochs:
            values = {**epoch.figures, names.EPOCH: epoch.number, "_timestamp": epoch.time}
            self._run.log(values, step=epoch.number)
            self.epoch = epoch.number

    def close(self, state: str, best: Mapping[str, float], links: Mapping[str, str]) -> None:
        """Sends the summary, and waits until W&B has everything."""
        self._run.summary.update({"state": state, **best, **links})
        self._run.finish(exit_code=1 if state == "FAIL" else 0)
        if state != "PAUSED":
            Path(self._run.sync_dir, _ENDED).touch()
