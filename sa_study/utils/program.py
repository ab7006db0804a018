"""How this program is called, so that printed commands can be typed as printed."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from sa_study.utils.files import PROJECT_ROOT

CONSOLE_SCRIPT = "sa-study"
"""What `pip install` puts on the path."""

_ENTRY = "run_study.py"
_MODULE = ("sa_study", "__main__.py")


def usual_program() -> list[str]:
    """The words by which the documents call it: `python run_study.py` in a checkout, else `sa-study`."""
    return ["python", _ENTRY] if (PROJECT_ROOT / _ENTRY).is_file() else [CONSOLE_SCRIPT]


def program_as_called() -> list[str]:
    """The words before the command with which this process was started.

    A process that is none of our commands, such as a notebook, gets those of `usual_program`.
    """
    called = Path(sys.argv[0])
    if called.stem == CONSOLE_SCRIPT:
        found = shutil.which(CONSOLE_SCRIPT)
        return [CONSOLE_SCRIPT] if found and Path(found).samefile(called) else [sys.argv[0]]
    count = len(sys.orig_argv) - len(sys.argv) + 1  # the interpreter, its options, and the script or module
    ours = called.name == _ENTRY or called.parts[-2:] == _MODULE
    return sys.orig_argv[:count] if ours and count >= 2 else usual_program()


def program_name() -> str:
    """The program's name in its own help."""
    called = Path(sys.argv[0])
    if called.parts[-2:] == _MODULE:
        return "python -m sa_study"
    return CONSOLE_SCRIPT if called.stem == CONSOLE_SCRIPT else _ENTRY
