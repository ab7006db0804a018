"""Text that is safe to show: no control sequences, whole commands, curves of one line."""

from __future__ import annotations

import math
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

# Control characters, separators of lines, overrides of the writing direction, and bytes that are no text.
_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_BLOCKS = "▁▂▃▄▅▆▇█"
_ENTRY = "run_study.py"


def clean(text: object) -> str:
    """A text without what a terminal would obey; such characters stand there as Python would write them."""
    return _UNSHOWABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def safe(text: object, style: str = "") -> Text:
    """A text as it is: nothing in it is markup, or obeyed by a terminal."""
    return Text(clean(text), style)


def number(value: Any) -> str:
    """A setting's value, floats with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else clean(value)


def suggested_text(suggested: Mapping[str, Any]) -> str:
    """Searched settings in one line."""
    return " ".join(f"{clean(name)}={number(value)}" for name, value in suggested.items())


def quote(word: object) -> str:
    """A word as a shell reads it; control characters come as the escapes of `$'…'`."""
    text = str(word)
    if clean(text) == text:
        return shlex.quote(text)
    inner = text.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + _UNSHOWABLE.sub(_shell_escape, inner) + "'"


def command(*words: object) -> str:
    """A command of this program, as it has to be typed where this process was begun."""
    count = len(sys.orig_argv) - len(sys.argv) + 1
    typed = Path(sys.argv[0]).name == _ENTRY and count >= 2
    program = sys.orig_argv[:count] if typed else ["python", _ENTRY]
    return " ".join(map(quote, [*program, *words]))


def sparkline(values: Sequence[float], width: int, low: float, high: float) -> str:
    """A curve as blocks, the latest values last.

    Args:
        values: By epoch.
        width: Most characters; a longer curve is thinned out, and keeps its first and last value.
        low: What the lowest block stands for.
        high: What the highest does.
    """
    if len(values) > width > 1:
        last = len(values) - 1
        values = [values[round(place * last / (width - 1))] for place in range(width)]
    return "".join(_block(value, low, high) for value in values)


def _block(value: float, low: float, high: float) -> str:
    if not math.isfinite(value):
        return "?"
    share = (value - low) / (high - low) if high > low else 0.5
    return _BLOCKS[min(len(_BLOCKS) - 1, max(0, int(share * len(_BLOCKS))))]


def _shell_escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a path that is no text
        return f"\\x{code - 0xDC00:02x}"
    return "".join(f"\\x{byte:02x}" for byte in found[0].encode("utf-8", "surrogatepass"))
