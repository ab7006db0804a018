"""Ctrl-C and SIGTERM, which ask a launch to stop in order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from sa_study.utils.errors import ConfigError


def require_main_thread() -> None:
    """Raises a `ConfigError` outside the process's main thread, which alone hears of signals."""
    if threading.current_thread() is not threading.main_thread():
        raise ConfigError("a study cannot be run from this thread; call it from the program's main thread")


def stop_on_sigterm() -> None:
    """Answers SIGTERM, by which Slurm and Kubernetes end a job, as Tune answers Ctrl-C: in order."""

    def stop(number: int, frame: FrameType | None) -> None:
        if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, signal.SIG_DFL):
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGTERM, stop)


@contextmanager
def deferred_interrupts() -> Iterator[None]:
    """Answers Ctrl-C and SIGTERM at the end, by a KeyboardInterrupt; a second one at once.

    An exception in the middle of Ray's start loses what has been started by then: processes, which go on
    writing files, or the driver's connection, whose threads crash the process when it exits. A Ctrl-C that
    is ignored, or answered by a handler that is not Python's, is left to them.
    """
    received: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 1:
            raise KeyboardInterrupt

    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    before = {number: found for number, found in handlers.items() if found not in (None, signal.SIG_IGN)}
    try:
        for number in before:
            signal.signal(number, remember)
        yield
    except Exception as error:
        if received:
            raise KeyboardInterrupt from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        raise KeyboardInterrupt
