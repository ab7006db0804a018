"""Takes from Python what it lacks on macOS; on the path of a Python that a test starts.

With `HIDE_PROC` set, `/proc`, `/sys` and `/dev/shm` cannot be opened either, which Ray for Linux needs.
"""

import contextlib
import os
import resource
import select
import signal
import sys
import time

_MISSING = {
    os: [
        *(
            name
            for name in dir(os)
            if name.startswith(("sched_", "SCHED_", "posix_fa", "POSIX_FADV_", "EFD_"))
        ),
        *("copy_file_range", "eventfd", "fdatasync", "getrandom", "getxattr", "listxattr", "memfd_create"),
        *(
            "pidfd_open",
            "pipe2",
            "process_cpu_count",
            "removexattr",
            "setns",
            "setxattr",
            "splice",
            "unshare",
        ),
        *("O_DIRECT", "O_NOATIME", "O_PATH", "O_TMPFILE"),
    ],
    resource: ["prlimit", "RLIMIT_MSGQUEUE", "RLIMIT_OFILE", "RUSAGE_THREAD"],
    select: [name for name in dir(select) if name.startswith(("epoll", "EPOLL"))],
    signal: [
        "pidfd_send_signal",
        "sigtimedwait",
        "sigwaitinfo",
        "SIGPWR",
        "SIGRTMAX",
        "SIGRTMIN",
        "SIGSTKFLT",
    ],
    time: [name for name in dir(time) if name in ("CLOCK_BOOTTIME", "CLOCK_TAI", "pthread_getcpuclockid")],
}
for module, names in _MISSING.items():
    for name in names:
        with contextlib.suppress(AttributeError):
            delattr(module, name)


def _hide(event: str, arguments: tuple[object, ...]) -> None:
    # Where threadpoolctl finds a process's libraries on Linux; on macOS it asks the loader.
    hidden = event == "open" and arguments[0] != "/proc/self/maps"
    if hidden and str(arguments[0]).startswith(("/proc/", "/sys/", "/dev/shm/")):
        raise FileNotFoundError(2, "No such file or directory", arguments[0])


if os.environ.get("HIDE_PROC"):
    sys.addaudithook(_hide)
