"""What is refused, and in which words: a line, whatever was given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sa_study.utils.errors import StudyError


def refusal(kind: type[StudyError], call: Callable[..., object], *words: Any) -> str:
    """The line by which a call with these arguments is refused."""
    with pytest.raises(kind) as error:
        call(*words)
    text = str(error.value)
    assert "\n" not in text
    return text
