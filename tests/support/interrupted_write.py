"""A database whose last write was interrupted by SIGKILL."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_WRITE = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN")
connection.execute("CREATE TABLE filler (text)")
connection.executemany("INSERT INTO filler VALUES (?)", [("x" * 4000,)] * 500)
os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_during_write(database: Path) -> None:
    """Leaves an unfinished write that SQLite has to roll back."""
    subprocess.run([sys.executable, "-c", _WRITE, str(database)], check=False)
    assert Path(f"{database}-journal").exists(), "SQLite must have a write to roll back"
