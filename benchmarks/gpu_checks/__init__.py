"""The sections of `gpu.py`: each yields jobs, which are named and give figures."""

import harness  # noqa: F401  # puts this project on the path
