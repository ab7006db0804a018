"""Python imports this at its start, where the folder is on PYTHONPATH."""

from __future__ import annotations

import process_start

process_start.prepare()
