"""Text from elsewhere, made harmless wherever it is shown or written."""

from __future__ import annotations

import unicodedata

_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode's categories of control, format and direction marks, and of half or private characters."""


def is_invisible(character: str) -> bool:
    """Whether a character cannot be seen, or moves what is around it: a terminal might obey it."""
    return unicodedata.category(character) in _INVISIBLE


def visible(value: object, max_length: int | None = None) -> str:
    r"""A value as text in one line; invisible characters are written as Python's escapes, such as `\x1b`.

    Args:
        value: What to show; may come from a file or a database that somebody else wrote.
        max_length: Most characters; a longer text ends in `…`. None for no limit.
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
