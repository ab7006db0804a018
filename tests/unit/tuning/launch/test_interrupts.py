"""Ctrl-C and SIGTERM are answered where nothing is lost by it."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from sa_study.tuning.launch.interrupts import deferred_interrupts

BOTH = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in BOTH}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", BOTH)
def test_a_signal_is_answered_at_the_end(number: signal.Signals) -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), deferred_interrupts():
        signal.raise_signal(number)
        done.append("start")
    assert done == ["start"]


@pytest.mark.parametrize("number", BOTH)
def test_a_second_signal_is_answered_at_once(number: signal.Signals) -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), deferred_interrupts():
        signal.raise_signal(signal.SIGINT)
        done.append("first")
        signal.raise_signal(number)
        done.append("second")
    assert done == ["first"]


@pytest.mark.parametrize("failure", [None, ValueError])
def test_afterwards_both_interrupt(failure: type[Exception] | None) -> None:
    def start() -> None:
        with deferred_interrupts():
            if failure:
                raise failure

    if failure:
        with pytest.raises(failure):
            start()
    else:
        start()
    for number in BOTH:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    """A shell script starts its background commands so; SIGTERM ends them nevertheless."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with deferred_interrupts():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    with pytest.raises(KeyboardInterrupt), deferred_interrupts():
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
