"""Fault injection: tiny studies whose processes are watched from outside and killed at chosen moments."""

import harness  # noqa: F401  # puts this project on the path
