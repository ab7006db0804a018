"""Replaces credentials in texts before they are written or shown."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

_HIDDEN = "***"
_MIN_SECRET_CHARACTERS = 8
"""Shortest value of an environment variable that is replaced; shorter ones are words like `1` or `auto`."""

_PATH_SUFFIXES = ("_PATH", "_FILE", "_DIR")
"""Endings of variables that say where a credential is kept, not what it is."""

_NAME = r"(?:token|secret|passw(?:or)?d|credential|signature|api_?key|access_?key|account_?key|\bsig\b)"
_NAMED = re.compile(_NAME, re.IGNORECASE)

# `user:password@` or `token@` in an address; a path joined from one has a single slash.
_USER = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:/{1,2})[^/@\s'\"]+@")
_ASSIGNED = re.compile(rf"([\w-]*{_NAME}[\w-]*[=:]\s*)([^&\s'\"]+)", re.IGNORECASE)

# Tokens of model and code hosts, and of clouds.
_TOKENS = re.compile(r"\b(?:hf_|gh[opsu]_|github_pat_|glpat-|sk-|AKIA|ASIA|xox[abp]-)[A-Za-z0-9_-]{12,}")


def is_secret_name(name: str) -> bool:
    """Whether a variable or a parameter of this name holds a credential."""
    return _NAMED.search(name) is not None


def redact(text: str, environment: Mapping[str, str] | None = None) -> str:
    """A text with `***` in the place of credentials.

    Args:
        text: A command line or a message.
        environment: Environment variables, whose values are replaced where the name is a credential's; None
            for this process's.
    """
    for name, value in (os.environ if environment is None else environment).items():
        if (
            len(value) >= _MIN_SECRET_CHARACTERS
            and is_secret_name(name)
            and not name.upper().endswith(_PATH_SUFFIXES)
        ):
            text = text.replace(value, _HIDDEN)
    text = _USER.sub(rf"\1{_HIDDEN}@", text)
    text = _ASSIGNED.sub(rf"\1{_HIDDEN}", text)
    return _TOKENS.sub(_HIDDEN, text)
