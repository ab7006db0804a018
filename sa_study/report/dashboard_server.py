"""Serves optuna-dashboard on a study that it cannot write.

`python -m sa_study.report.dashboard_server DIR PORT`; the command `dashboard` starts it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import optuna_dashboard

from sa_study.study.database import open_readonly
from sa_study.study.folder import StudyFolder


def main(root: str, port: str) -> None:
    """Serves until the process ends.

    Args:
        root: The study's folder.
        port: Where to listen, on 127.0.0.1.
    """
    storage = open_readonly(StudyFolder.existing(Path(root)))
    optuna_dashboard.run_server(storage, host="127.0.0.1", port=int(port))


if __name__ == "__main__":
    main(*sys.argv[1:])
