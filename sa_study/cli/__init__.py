"""The command line: each command parses its options, makes one call and prints the result.

A command is a function in the module of its name, and a name in `COMMANDS`. Everything heavy is imported
inside the functions, so that `--help` is quick.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib
import sys
from typing import Annotated, Any

import typer
from typer.main import get_command

from sa_study.cli import data
from sa_study.utils.errors import StudyError
from sa_study.utils.files import DISK_FULL_ERRORS
from sa_study.utils.machine import is_out_of_memory, limit_threads
from sa_study.utils.program import program_name

COMMANDS = {
    "Run a study": ("demo", "plan", "tune", "resume", "status", "clean"),
    "Judge it": ("confirm", "evaluate", "audit", "reproduce"),
    "Train fixed settings": ("paper", "train", "ablate", "compare"),
    "Use it": ("report", "visualize", "dashboard", "export", "features"),
    "Data and settings": ("settings",),
}
"""The commands in the order and the groups of `--help`."""

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Tune, evaluate and reproduce the SA network (parameter-free spatial attention) for person "
    "re-identification.\n\nStart with [bold]demo[/bold]; on real data: [bold]data check[/bold], "
    "[bold]tune[/bold], [bold]confirm[/bold], [bold]evaluate[/bold], [bold]paper[/bold].",
)
for group, names in COMMANDS.items():
    for name in names:
        function = getattr(importlib.import_module(f"{__name__}.{name}"), name)
        app.command(rich_help_panel=group)(function)
app.add_typer(data.app, name="data", rich_help_panel="Data and settings")


def _print_versions(wanted: bool) -> None:
    if wanted:
        from sa_study.provenance import version_lines

        typer.echo("\n".join(version_lines()))
        raise typer.Exit


@app.callback()
def options_of_all_commands(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the versions that results depend on.",
            callback=_print_versions,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Options that stand before a command; its docstring is not shown: `app` has the help text."""


@functools.cache
def _program() -> Any:
    """The commands with all their options, made once for all calls in a process."""
    return get_command(app)


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
        code = _program()(standalone_mode=False, prog_name=program_name())
    except typer.TyperException as error:
        if message := " ".join(error.format_message().split()):  # empty where --help was shown
            context = getattr(error, "ctx", None)
            command = context.command_path if context else program_name()
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
