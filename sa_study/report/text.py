"""Figures, settings and commands as people read them, in the terminal and on the page.

The names and units of figures are in `metrics.names`.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from sa_study.utils.program import program_as_called
from sa_study.utils.text import is_invisible, visible

STATES = {
    "COMPLETE": "complete",
    "PRUNED": "stopped early",
    "FAIL": "failed",
    "RUNNING": "not ended",
    "WAITING": "waiting",
}
"""States of the database's trials in words."""

_BLOCKS = "▁▂▃▄▅▆▇█"


def percent(rate: float | None) -> str:
    """A fraction in per cent with one decimal."""
    return "–" if rate is None else f"{100 * rate:.1f}"


def interval(low: float, high: float) -> str:
    """An interval of fractions, in per cent."""
    return f"{percent(low)}–{percent(high)}"


def with_interval(rate: float | None, ends: Sequence[float] | None) -> str:
    """A fraction in per cent, with its interval in brackets where it has one."""
    return percent(rate) + (f" ({interval(*ends)})" if ends else "")


def mean_and_std(found: Mapping[str, float] | None) -> str:
    """The `mean` and `std` of a fraction over several runs, in per cent; a dash where there are none."""
    return f"{percent(found['mean'])} ± {percent(found['std'])}" if found else "–"


def points(found: Mapping[str, float]) -> str:
    """A difference of fractions, `mean`, with its interval from `low` to `high`, in points of per cent."""
    mean, low, high = (f"{100 * found[name]:+.1f}" for name in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"


def duration(seconds: float) -> str:
    """A duration in its two leading units, or in seconds with one decimal."""
    hours, minutes, rest = _hours_minutes_seconds(seconds)
    if hours >= 24:
        days, hours = divmod(round(seconds / 3600), 24)
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def clock(seconds: float) -> str:
    """A duration as minutes and seconds, with hours where there are any."""
    hours, minutes, rest = _hours_minutes_seconds(seconds)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _hours_minutes_seconds(seconds: float) -> tuple[int, int, int]:
    minutes, rest = divmod(round(seconds), 60)
    return *divmod(minutes, 60), rest


def setting_text(value: Any) -> str:
    """A setting's value: floats with four significant digits, true and false as in YAML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.4g}" if isinstance(value, float) else visible(value)


def short(value: object, max_length: int = 400) -> str:
    """Printable text, not too long for a table."""
    return visible(value, max_length)


def settings_text(settings: Mapping[str, Any]) -> str:
    """Settings and their values in one line."""
    return " ".join(f"{visible(name)}={setting_text(value)}" for name, value in settings.items())


def command(*words: object) -> str:
    """A command of this program, to be typed where this process was started."""
    return " ".join(map(quote, [*program_as_called(), *words]))


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
    """A curve as blocks, the lowest for `low` and the highest for `high`, in at most `width` characters.

    A longer curve is thinned out, and keeps its first and last value.
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
