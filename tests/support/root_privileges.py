"""File permissions that bind root too."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

_BEYOND_MODES = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""


@contextmanager
def without_root_privileges() -> Iterator[None]:
    """Drops root's right to read and write everything inside the `with` block (see capset(2))."""
    if os.geteuid():
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this thread
    sets = (ctypes.c_uint32 * 6)()  # twice effective, permitted, inheritable
    assert libc.capget(header, sets) == 0, os.strerror(ctypes.get_errno())
    fewer = (ctypes.c_uint32 * 6)(sets[0] & ~_BEYOND_MODES, *sets[1:])
    assert libc.capset(header, fewer) == 0, os.strerror(ctypes.get_errno())
    try:
        yield
    finally:
        assert libc.capset(header, sets) == 0, os.strerror(ctypes.get_errno())
