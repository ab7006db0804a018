"""Files are read within limits and written atomically: no reader, and no later run, finds half a file."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from sa_study.utils.errors import ConfigError

PACKAGE_ROOT = Path(__file__).resolve().parents[1]
"""The package `sa_study`: what a cluster's nodes are sent, and what a study's source fingerprint covers."""

PROJECT_ROOT = PACKAGE_ROOT.parent
"""The folder that holds the package: the checkout, which has `search_spaces/` too."""

DISK_FULL_ERRORS = {errno.ENOSPC, errno.EDQUOT}
"""Numbers of the system's errors on a full disk or a used-up quota."""

_MAX_JSON_BYTES = 16 * 2**20


def expand_home(path: str | os.PathLike[str], where: str = "") -> Path:
    """A user's path with a leading `~` or `~user` replaced by that home folder.

    A shell does so only for a bare path: not in quotes, after `=`, or in a settings file.

    Raises:
        ConfigError: That home folder is not known; `where` is the message's beginning.
    """
    found = os.path.expanduser(path)  # noqa: PTH111 - a Path has forgotten the ./ of ./~name
    if found.startswith("~"):
        raise ConfigError(
            f"{where}{os.fspath(path)}: no home folder of {found.partition('/')[0]} is known; "
            "give the path in full"
        )
    return Path(found)


def folder_or_uri(place: str | os.PathLike[str]) -> str:
    """A folder as an absolute path, its `~` replaced as by `expand_home`; a URI, and nothing, as they are."""
    text = os.fspath(place)
    return text if not text or "://" in text else str(expand_home(text).absolute())


def temporary_folder() -> Path:
    """The folder for temporary files: `TMPDIR`, or the system's; ConfigError if none can be written."""
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        message = "TMPDIR: no folder for temporary files can be written; set it to one that can"
        raise ConfigError(message) from None


def is_file_name(text: str) -> bool:
    """Whether the system can have a file of this name: without zero bytes, and text that it can encode."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def require_regular(path: Path) -> int:
    """The size in bytes of a regular file; OSError for others, such as a pipe that never answers."""
    with _regular_file(path) as descriptor:
        return os.fstat(descriptor).st_size


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """All bytes of a regular file; OSError for others, as `require_regular`, and for a larger one."""
    with _regular_file(path) as descriptor:
        size = os.fstat(descriptor).st_size
        if size > max_bytes:
            raise OSError(errno.EFBIG, f"has {size} bytes, more than {max_bytes}", str(path))
        # Half the system calls of `Path.read_bytes`; at each the thread releases Python's lock.
        content = os.read(descriptor, size)
        while len(content) < size and (more := os.read(descriptor, size - len(content))):
            content += more
        return content


def read_json(path: Path) -> dict[str, Any]:
    """Reads a file that holds one JSON object; raises OSError as `read_bytes`.

    Raises:
        ValueError: It is not a JSON object, or holds a number that is not finite.
    """
    try:
        content = json.loads(read_bytes(path, _MAX_JSON_BYTES), parse_constant=_refuse, parse_float=_finite)
        _indented(content)  # raises for what could not be written again
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if not isinstance(content, dict):
        raise ValueError(f"holds no object, but {type(content).__name__}")
    return content


_PLAIN = json.JSONEncoder(allow_nan=False)


def write_atomically(path: Path, write: Callable[[BinaryIO], object], *, durably: bool = True) -> None:
    """Writes a temporary file next to a path and renames it once it is on disk.

    A symbolic link there is replaced, not followed. Where it need not be `durably`, the file is renamed once
    the system has it: it outlives every process, but perhaps not a power failure.

    Raises:
        OSError: The disk is full or not writable; an earlier file of that name is left as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with name_in_errors(path, instead_of=temporary):
        temporary.unlink(missing_ok=True)
        try:
            with temporary.open("xb") as file:
                write(file)
                file.flush()
                if durably:
                    os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def name_in_errors(path: Path, *, instead_of: Path) -> Iterator[None]:
    """Makes system errors name a file that the user knows instead of a temporary one or none."""
    try:
        yield
    except OSError as error:
        if error.filename is None or str(error.filename) == str(instead_of):
            error.filename, error.filename2 = str(path), None
        raise


def require_writable(path: Path) -> None:
    """Raises OSError, before hours of work, if a path is a folder, or its parent is missing or read-only."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not path.parent.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path.parent))
    if not os.access(path.parent, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        number = errno.EROFS if os.statvfs(path.parent).f_flag & os.ST_RDONLY else errno.EACCES
        raise OSError(number, f"cannot be written ({os.strerror(number)})", str(path.parent))


def format_bytes(count: float) -> str:
    """A number of bytes in decimal units, e.g. `7.6 GB`."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Writes indented JSON atomically, lists of plain values in one line; ValueError for NaN and infinity."""
    write_text(path, _indented(values) + "\n")


def _indented(value: Any, margin: str = "") -> str:
    """JSON like that of `json.dumps(indent=2)`, but with a list of numbers on one line."""
    inner = margin + "  "
    if isinstance(value, Mapping) and value:
        items = [f"{json.dumps(str(key))}: {_indented(value[key], inner)}" for key in value]
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping | list | tuple) for item in value):
        items = [_indented(item, inner) for item in value]
    else:
        return "".join(_PLAIN.iterencode(value))
    opening, closing = "{}" if isinstance(value, Mapping) else "[]"
    return opening + ",".join(f"\n{inner}{item}" for item in items) + f"\n{margin}{closing}"


def write_text(path: Path, text: str) -> None:
    """Writes text atomically in UTF-8; undecodable bytes of file names are kept."""
    content = text.encode("utf-8", "surrogateescape")
    write_atomically(path, lambda file: file.write(content))


@contextlib.contextmanager
def _regular_file(path: Path) -> Iterator[int]:
    """A descriptor of a regular file, opened to be read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        yield descriptor
    finally:
        os.close(descriptor)


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        _refuse(number)
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Drops what this process, and the programs that it starts, write to standard error meanwhile."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):  # noqa: PTH123
        try:
            kept = os.dup(2)
        except OSError:  # this process has no standard error
            yield
            return
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
