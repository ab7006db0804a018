"""What trials reported, line by line, beside their checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.fs
from ray import tune

from sa_study.study.storage import Storage


class ResultFiles(tune.Callback):
    """Writes each result to its trial's `result.json` at once.

    Ray's own logger writes it elsewhere and copies it some seconds later: of a driver that is killed the last
    epochs would be missing for ever.
    """

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any
    ) -> None:
        """Adds a line."""
        folder = Path(trial.storage.trial_fs_path)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "result.json").open("a") as file:
            file.write(json.dumps(result, default=str) + "\n")


def result_files(storage: Storage) -> tune.Callback:
    """Where the storage is a folder, lines are added at once; elsewhere Ray's logger copies whole files."""
    filesystem, _ = pyarrow.fs.FileSystem.from_uri(storage.uri)
    local = isinstance(filesystem, pyarrow.fs.LocalFileSystem)
    return ResultFiles() if local else tune.logger.JsonLoggerCallback()
