"""The command line: each command parses its options, makes one call and prints the result.

A command is a function in the module of its name, and a line of `COMMANDS`. Everything heavy is imported
inside the functions, so that `--help` is quick.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import sys

import typer

from sa_study.cli import data
from sa_study.utils.errors import StudyError
from sa_study.utils.files import DISK_FULL_ERRORS
from sa_study.utils.machine import is_out_of_memory, limit_threads

COMMANDS = (
    "demo",
    "plan",
    "tune",
    "resume",
    "audit",
    "evaluate",
    "compare",
    "status",
    "confirm",
    "ablate",
    "reproduce",
    "paper",
    "train",
    "settings",
    "export",
    "report",
    "dashboard",
    "visualize",
)
"""The commands in the order of `--help`."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Tune, evaluate and reproduce the SA network (parameter-free spatial attention) for person "
    "re-identification.\n\nStart with [bold]demo[/bold]; on real data: [bold]data check[/bold], "
    "[bold]tune[/bold], [bold]confirm[/bold], [bold]evaluate[/bold], [bold]paper[/bold].",
)
for name in COMMANDS:
    app.command()(getattr(importlib.import_module(f"{__name__}.{name}"), name))
app.add_typer(data.app, name="data")

_MAX_ERROR_CHARACTERS = 2000
_UNUSABLE_PATH = {
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG),
}


def main() -> int:
    """Runs the command line.

    Returns:
        The exit code: 0, 2 for bad input, 1 for a failed run, 130 for Ctrl-C.
    """
    limit_threads()
    try:
        code = app(standalone_mode=False, prog_name="run_study.py")
    except typer.TyperException as error:
        if message := " ".join(error.format_message().split()):  # empty where --help was shown
            context = getattr(error, "ctx", None)
            command = context.command_path if context else "run_study.py"
            _print_error(f"{message.removesuffix('.')}; see '{command} --help'")
        return error.exit_code
    except StudyError as error:
        _print_error(str(error))
        return error.exit_code
    except OSError as error:
        if error.errno not in DISK_FULL_ERRORS | _UNUSABLE_PATH:
            raise
        _print_error(f"{error.filename or 'a file'}: {error.strerror}")
        return 1 if error.errno in DISK_FULL_ERRORS else 2
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        reason = (str(error).splitlines() or ["out of memory"])[0]
        advice = "to train with less memory: --set accumulate=2 (or 4, …); evaluation halves batches itself"
        _print_error(f"{reason}; {advice}")
        return 1
    return code if isinstance(code, int) else 0


def _print_error(message: str) -> None:
    """Prints an error in one line: without credentials, control characters, or the middle of a long one."""
    from sa_study.utils.text import redact, visible

    line = visible(redact(f"error: {message}"))
    if len(line) > _MAX_ERROR_CHARACTERS:
        half = _MAX_ERROR_CHARACTERS // 2
        line = f"{line[:half]} … {line[-half:]}"
    with contextlib.suppress(AttributeError):
        sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.stderr.write(f"{line}\n")
