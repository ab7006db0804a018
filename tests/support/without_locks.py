"""A process to which the system refuses every file lock, as on a file system that has none."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import platform
import struct

_FLOCK = {"x86_64": 73, "aarch64": 32}
_FCNTL = {"x86_64": 72, "aarch64": 25}
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.ENOLCK
_COMMANDS = (fcntl.F_GETLK, fcntl.F_SETLK, fcntl.F_SETLKW, 36, 37, 38)  # the last ones: F_OFD_…


def forbid_locks() -> None:
    """Makes `flock` and the locks of `fcntl` fail with ENOLCK from now on, for this process and its children.

    A filter of system calls does it (seccomp(2)), so that SQLite's locks fail like Python's.
    """
    machine = platform.machine()
    # Each jump skips this many of the instructions behind it: to the last one where a call is refused.
    checks = [(_LOAD, 0, 0, 0), (_EQUAL, len(_COMMANDS) + 3, 0, _FLOCK[machine])]
    checks += [(_EQUAL, 0, len(_COMMANDS) + 1, _FCNTL[machine]), (_LOAD, 0, 0, 24)]
    checks += [(_EQUAL, len(_COMMANDS) - index, 0, command) for index, command in enumerate(_COMMANDS)]
    checks += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]
    code = b"".join(struct.pack("HBBI", *check) for check in checks)
    instructions = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(checks), ctypes.addressof(instructions))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    assert libc.prctl(22, 2, program, 0, 0) == 0, ctypes.get_errno()  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
