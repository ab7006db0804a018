"""Simulated studies: landscapes with a known optimum, and the methods that search them."""

import harness  # noqa: F401  # puts this project on the path
