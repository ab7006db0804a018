"""Connections to this machine and to private networks bypass proxies."""

from __future__ import annotations

import ipaddress
import os
import socket
from urllib.parse import urlsplit


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
