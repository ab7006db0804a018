"""The command line: arguments in, one call, a table out.

Everything heavy is imported inside the commands, so that `--help` is quick.
"""

from __future__ import annotations

import contextlib
import errno
import sys

import typer

from sa_study.cli import (
    compare,
    data,
    evaluate,
    export,
    pictures,
    repeats,
    report,
    reproduce,
    runs,
    status,
    study,
)
from sa_study.utils.errors import StudyError
from sa_study.utils.machine import is_out_of_memory, limit_threads

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Tune, evaluate and reproduce the SA network (parameter-free spatial attention) for person "
    "re-identification.\n\nStart with [bold]demo[/bold]; on real data: [bold]data check[/bold], "
    "[bold]tune[/bold], [bold]confirm[/bold], [bold]evaluate[/bold], [bold]paper[/bold].",
)
study.register(app)
evaluate.register(app)
compare.register(app)
status.register(app)
repeats.register(app)
reproduce.register(app)
runs.register(app)
export.register(app)
report.register(app)
pictures.register(app)
app.add_typer(data.app, name="data")

_LONGEST = 2000
_FULL = {errno.ENOSPC, errno.EDQUOT}
_BAD_PLACE = {
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
        if said := " ".join(
            error.format_message().split()
        ):  # nothing, where the help was asked for and shown
            context = getattr(error, "ctx", None)
            command = context.command_path if context else "run_study.py"
            _complain(f"error: {said.removesuffix('.')}; see '{command} --help'")
        return error.exit_code
    except StudyError as error:
        _complain(f"error: {error}")
        return error.exit_code
    except OSError as error:
        if error.errno not in _FULL | _BAD_PLACE:
            raise
        _complain(f"error: {error.filename or 'a file'}: {error.strerror}")
        return 1 if error.errno in _FULL else 2
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        reason = (str(error).splitlines() or ["out of memory"])[0]
        _complain(f"error: {reason}; --set accumulate=2 (4, …) trains with less, evaluation needs no setting")
        return 1
    return code if isinstance(code, int) else 0


def _complain(line: str) -> None:
    """Writes one line, whatever the names, values and credentials are that it quotes."""
    from sa_study.report.terminal.text import clean
    from sa_study.utils.redaction import redact

    line = clean(redact(line))
    half = _LONGEST // 2  # what is wrong stands at the end, where it stands in the beginning
    shown = line if len(line) <= _LONGEST else f"{line[:half]} … {line[-half:]}"
    with contextlib.suppress(AttributeError):
        sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.stderr.write(f"{shown}\n")
