"""Figures, settings and commands as people read them, in the terminal and on the page."""

from __future__ import annotations

import math
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sa_study.utils.text import is_invisible, visible

_BLOCKS = "▁▂▃▄▅▆▇█"
_ENTRY = "run_study.py"


def percent(rate: float | None) -> str:
    """A fraction as the field prints it, in per cent with one decimal."""
    return "–" if rate is None else f"{100 * rate:.1f}"


def interval(low: float, high: float) -> str:
    """An interval of fractions, in per cent."""
    return f"{percent(low)}–{percent(high)}"


def duration(seconds: float) -> str:
    """A duration in its two leading units."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def clock(seconds: float) -> str:
    """A duration as minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def setting_text(value: Any) -> str:
    """A setting's value: floats with four significant digits, true and false as in YAML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.4g}" if isinstance(value, float) else visible(value)


def settings_text(settings: Mapping[str, Any]) -> str:
    """Settings and their values in one line."""
    return " ".join(f"{visible(name)}={setting_text(value)}" for name, value in settings.items())


def command(*words: object) -> str:
    """A command of this program, to be typed where this process was started."""
    count = len(sys.orig_argv) - len(sys.argv) + 1
    typed = Path(sys.argv[0]).name == _ENTRY and count >= 2
    program = sys.orig_argv[:count] if typed else ["python", _ENTRY]
    return " ".join(map(quote, [*program, *words]))


def quote(word: object) -> str:
    """A word as a shell reads it; invisible characters become escapes within `$'…'`."""
    text = str(word)
    if visible(text) == text:
        return shlex.quote(text)
    inner = re.sub(r"['\\]", r"\\\g<0>", text)
    return "$'" + "".join(_shell_escape(c) if is_invisible(c) else c for c in inner) + "'"


def _shell_escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a path that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))


def sparkline(values: Sequence[float], width: int, low: float, high: float) -> str:
    """A curve as blocks, the latest values last.

    Args:
        values: By epoch.
        width: Most characters; a longer curve is thinned out, and keeps its first and last value.
        low: Value of the lowest block.
        high: Value of the highest block.
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
