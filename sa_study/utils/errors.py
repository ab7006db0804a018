"""The errors a user sees as one line, without a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_MAX_CHARACTERS = 200


class StudyError(Exception):
    """Base of all expected errors; its text is one line that says how to mend it.

    Attributes:
        exit_code: What the command line exits with.
    """

    exit_code = 2


class ConfigError(StudyError):
    """A setting, a search space or a command-line value is wrong."""


class DataError(StudyError):
    """A data set is missing, laid out differently, or unusable."""


class WeightsError(StudyError):
    """A weights or checkpoint file cannot be read or does not fit the network."""


class StudyFolderError(StudyError):
    """A study or output folder exists already, is missing, or is not one."""


class RunFailed(StudyError):
    """The input was fine but the run did not succeed."""

    exit_code = 1


class Diverged(RunFailed):
    """Training produced a figure that is not finite."""


@contextmanager
def named_in_errors(where: str) -> Iterator[None]:
    """Within, a `ConfigError` begins with the place of the mistake, such as the file or the key."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def one_line(error: Exception) -> str:
    """An error's text on one line, cut to a readable length."""
    return " ".join(str(error).split())[:_MAX_CHARACTERS]
