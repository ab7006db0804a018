"""Ctrl-C and SIGTERM are answered where nothing is lost by it."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from sa_study.tuning.launch.interrupts import deferred_interrupts, stop_on_sigterm

BOTH = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """A process of its own would begin so, unless a script began it in its background."""
    before = {number: signal.getsignal(number) for number in BOTH}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stop_on_sigterm()
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


@pytest.mark.parametrize("number", BOTH)
def test_a_signal_is_not_lost_to_an_error(number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt) as caught, deferred_interrupts():
        signal.raise_signal(number)
        raise ValueError("Ray did not start")
    assert isinstance(caught.value.__cause__, ValueError)


def test_without_a_signal_an_error_stays_what_it_is() -> None:
    with pytest.raises(ValueError, match="Ray did not start"), deferred_interrupts():
        raise ValueError("Ray did not start")


def test_afterwards_signals_are_answered_as_before() -> None:
    before = [signal.getsignal(number) for number in BOTH]
    with deferred_interrupts():
        pass
    with pytest.raises(ValueError), deferred_interrupts():
        raise ValueError
    assert [signal.getsignal(number) for number in BOTH] == before
    for number in BOTH:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_sigterm_interrupts_where_ctrl_c_would_not(handler: signal.Handlers) -> None:
    """A shell script starts the commands of its background with Ctrl-C ignored."""
    signal.signal(signal.SIGINT, handler)
    with pytest.raises(KeyboardInterrupt), deferred_interrupts():
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with deferred_interrupts():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
