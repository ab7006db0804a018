"""Text for people: lists in words; credentials and invisible characters are replaced."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from urllib.parse import SplitResult, parse_qsl

_HIDDEN = "***"
_MIN_SECRET_CHARACTERS = 8
"""Shortest value of an environment variable that is replaced; shorter ones are words like `1` or `auto`."""

_PATH_SUFFIXES = ("_PATH", "_FILE", "_DIR")
"""Endings of variables that say where a credential is kept, not what it is."""

_SHELLS_FOLDERS = ("PWD", "OLDPWD")  # variables that are no passwords, though a database's `PWD` is
_NAME = r"(?:token|secret|passw(?:or)?d|pwd|credential|signature|api_?key|access_?key|account_?key|\bsig\b)"
_NAMED = re.compile(_NAME, re.IGNORECASE)

# `user:password@` or `token@` in an address; pathlib turns `s3://` into `s3:/`.
_USER = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:/{1,2})[^/@\s'\"]+@")
_ASSIGNED = re.compile(rf"([\w-]*{_NAME}[\w-]*(?:[=:]|%3[AD])\s*)([^&\s'\"]+)", re.IGNORECASE)

# Tokens of model and code hosts, and of clouds.
_TOKENS = re.compile(r"\b(?:hf_|gh[opsu]_|github_pat_|glpat-|sk-|AKIA|ASIA|xox[abp]-)[A-Za-z0-9_-]{12,}")

_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode's categories of control, format, surrogate, private and unassigned characters and separators."""


def a_few(names: Iterable[str], limit: int = 3) -> str:
    """Returns the first names and how many more there are, for messages."""
    names = list(names)
    shown = ", ".join(names[:limit]) or "nothing"
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def joined(words: Sequence[str]) -> str:
    """Words as they are listed in a sentence."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def is_secret_name(name: str) -> bool:
    """Whether a variable or a parameter of this name holds a credential."""
    return _NAMED.search(name) is not None


def holds_secret(uri: SplitResult) -> bool:
    """Whether an address holds a password, or a parameter that is one or, as `odbc_connect`, holds one."""
    given = [*parse_qsl(uri.query, True), *parse_qsl(uri.fragment, True)]
    return bool(uri.password) or any(is_secret_name(name) or _ASSIGNED.search(value) for name, value in given)


def redact(text: str) -> str:
    """A command line or a message with `***` for credentials, also for those in environment variables."""
    for name, value in os.environ.items():
        secret = is_secret_name(name) and name not in _SHELLS_FOLDERS
        secret = secret and not name.upper().endswith(_PATH_SUFFIXES)
        if secret and len(value) >= _MIN_SECRET_CHARACTERS:
            text = text.replace(value, _HIDDEN)
    text = _USER.sub(rf"\1{_HIDDEN}@", text)
    text = _ASSIGNED.sub(rf"\1{_HIDDEN}", text)
    return _TOKENS.sub(_HIDDEN, text)


def is_invisible(character: str) -> bool:
    """Whether a character cannot be seen, or moves what is around it: a terminal might obey it."""
    return unicodedata.category(character) in _INVISIBLE


def visible(value: object, max_length: int | None = None) -> str:
    r"""A value as text in one line; invisible characters are written as Python's escapes, such as `\x1b`.

    It may come from a file or a database that somebody else wrote. A text of more than `max_length`
    characters ends in `…`.
    """
    text = str(value)
    if not text.isprintable():
        text = "".join(
            character.encode("unicode_escape", "surrogatepass").decode("ascii")
            if is_invisible(character)
            else character
            for character in text
        )
    return text if max_length is None or len(text) <= max_length else f"{text[: max_length - 1]}…"


def plural(count: int, noun: str) -> str:
    """A number of things, such as `1 seed` and `3 seeds`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
