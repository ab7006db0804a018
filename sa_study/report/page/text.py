"""Text of a study made safe for a page: names, paths and settings may hold anything."""

from __future__ import annotations

import html
import json
from typing import Any

from sa_study.utils.text import visible


def short(value: object, max_length: int = 400) -> str:
    """Printable text, not too long for a table."""
    return visible(value, max_length)


def for_plot(value: Any) -> str:
    """Text for a label or hover text of plotly, which reads some markup in it."""
    return html.escape(short(value), quote=False)


def for_script(value: Any) -> str:
    """JSON that may stand in a `<script>` element: nothing in it can end the element.

    Raises:
        ValueError: A figure is not finite (JSON has no such number).
    """
    return quoted(json.dumps(value, allow_nan=False, ensure_ascii=True))


def quoted(text: str) -> str:
    """JSON text with the characters escaped that mean something in HTML."""
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
