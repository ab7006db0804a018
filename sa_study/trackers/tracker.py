"""What an experiment tracker is to a study: a run for the study, and one for each trial, nested in it."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol
from urllib.parse import urlsplit

REQUEST_SECONDS = 10.0
"""Time that a tracker has to answer a request."""


@dataclass(frozen=True)
class RunDescription:
    """A study or a trial, as its run in a tracker is made or found again.

    Attributes:
        key: Identifies it in every launch: the study's id, for a trial followed by its number.
        name: Its name, for people.
        study: The key of the study that a trial belongs to; empty for the study itself.
        started: When it began, in seconds since 1970.
        params: Settings.
        links: Where its files lie, by a word for each.
    """

    key: str
    name: str
    study: str
    started: float
    params: Mapping[str, Any]
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LoggedEpoch:
    """An epoch of a trial.

    Attributes:
        number: The epoch, from 1; the figures' step.
        figures: Values by the same tags as TensorBoard's, such as `val/mAP`.
        time: When it ended, in seconds since 1970.
    """

    number: int
    figures: Mapping[str, float]
    time: float


class TrackedRun(Protocol):
    """A run in a tracker.

    Attributes:
        epoch: The last epoch that the tracker has; 0 for none.
    """

    epoch: int

    def log(self, epochs: Sequence[LoggedEpoch]) -> None:
        """Sends epochs, which follow the last one that the tracker has."""

    def close(self, state: str, best: Mapping[str, float], links: Mapping[str, str]) -> None:
        """Ends the run, or sends how far it is.

        Args:
            state: `COMPLETE`, `PRUNED` or `FAIL`; `PAUSED` where a later launch resumes it.
            best: Figures of the best epoch by their tags, such as `best/mAP`; empty where there is none.
            links: Where its files lie, by a word for each.
        """


class Tracker(Protocol):
    """A connection to a tracker. Whatever it does may raise anything, and may wait for a server.

    Args:
        target: Where to, as `resolve` gave it.
        folder: The study's folder.

    Attributes:
        PACKAGE: The package that it needs.
    """

    PACKAGE: ClassVar[str]

    def __init__(self, target: str, folder: str) -> None: ...

    @staticmethod
    def resolve(target: str) -> str:
        """Checks where to, and gives it in full, so that it means the same in any folder.

        Args:
            target: What follows the tracker's name on the command line; empty for what its users expect.

        Raises:
            ConfigError: It cannot be used; says what is expected.
        """

    def open(self, run: RunDescription) -> TrackedRun:
        """The run of a study or a trial: found again, else made."""

    def ended(self, study: str) -> set[str]:
        """Keys of the runs of this study that were closed other than as `PAUSED`."""


def bypass_proxies(url: str) -> None:
    """Excepts a URL's host from this process's proxies if all its addresses are private or this machine's."""
    host = urlsplit(url).hostname
    try:
        found = {str(entry[4][0]).partition("%")[0] for entry in socket.getaddrinfo(host, None)}
    except OSError:  # only the proxy may know the name
        return
    if host and all(ipaddress.ip_address(address).is_private for address in found):
        excepted = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
        for name in ("no_proxy", "NO_PROXY"):
            os.environ[name] = ",".join(filter(None, [excepted, host]))
