"""Where the program's own files are."""

from __future__ import annotations

from pathlib import Path

import sa_study

PACKAGE_ROOT = Path(sa_study.__file__).resolve().parent
"""The package `sa_study`: what a cluster's nodes are sent, and what a study's source fingerprint covers."""

PROJECT_ROOT = PACKAGE_ROOT.parent
"""The folder that holds the package: the checkout, which has `search_spaces/` too."""
