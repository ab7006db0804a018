"""Conventional implementations, as a user would write them without this project, to compare with."""

import harness  # noqa: F401  # puts this project on the path
