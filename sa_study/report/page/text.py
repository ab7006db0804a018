"""Text of a study on its way into a page: names, paths and settings may hold anything."""

from __future__ import annotations

import html
import json
import re
import sys
from typing import Any

# Control characters, half surrogate pairs (a file name that is no UTF-8), and marks that turn the direction
# of writing: each could make a line look like another one.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
_LONGEST = 400


def plain(value: Any, longest: int = _LONGEST) -> str:
    """A value as printable text; what is not printable shows as �, what is too long ends in …."""
    text = _UNPRINTABLE.sub("\ufffd", str(value))
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def setting(value: Any) -> str:
    """A setting's value for a reader: numbers with four significant digits, true and false as in YAML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.4g}" if isinstance(value, float) else plain(value)


def for_plot(value: Any) -> str:
    """Text for a label or hover text of plotly, which reads some markup in it."""
    return html.escape(plain(value), quote=False).replace("\n", " ")


def for_script(value: Any) -> str:
    """JSON that may stand in a `<script>` element: nothing in it can end the element.

    Raises:
        ValueError: A figure is not finite (JSON has no such number).
    """
    return quoted(json.dumps(value, allow_nan=False, ensure_ascii=True))


def quoted(text: str) -> str:
    """JSON text with the characters escaped that mean something in HTML."""
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def finite(value: Any) -> float | None:
    """A number, or None for what is none or is not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        return None
    return float(value)
