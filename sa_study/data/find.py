"""Where a data set is, and in which layout; what is found instead is named."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

from sa_study.data.layouts import KNOWN, Layout, layouts_of
from sa_study.utils.errors import DataError
from sa_study.utils.files import expand_home

_RAW_CUHK03 = "cuhk-03.mat"
_DEEPER = 100
"""Folders that are looked into for a hint, and names in each: any folder may be named by mistake."""


def find_dataset(root: Path | str) -> tuple[Path, Layout]:
    """Returns the absolute path and the layout of the data set at `root` or one level below it.

    Raises:
        DataError: There is none, several lie below `root`, or one fits several layouts.
        ConfigError: `root` begins with `~`, and that home folder is not known.
    """
    root = expand_home(root).absolute()
    if root.name.lower() == _RAW_CUHK03:
        raise _raw_cuhk03(root)
    names = names_in(root)
    if layouts := layouts_of(root):
        return root, _only(root, layouts)
    matches = {name: layouts for name in names if (layouts := layouts_of(root / name))}
    if len(matches) == 1:
        ((name, layouts),) = matches.items()
        return root / name, _only(root / name, layouts)
    if matches:
        raise DataError(f"{root}: holds several data sets ({a_few(matches)}); {_choice(root, set(matches))}")
    for folder in (root, *(root / name for name in names)):
        if (folder / _RAW_CUHK03).is_file():
            raise _raw_cuhk03(folder / _RAW_CUHK03)
    if layouts_of(root.parent):
        raise DataError(f"{root}: is a folder of a data set, not all of it; name {root.parent}")
    if deeper := _deeper(root, names):
        raise DataError(
            f"{root}: holds data sets two levels below it only ({a_few(deeper)}); name one of them"
        )
    raise DataError(f"{root}: no data set; found {a_few(names)}; expected {KNOWN}")


def require_folder(path: Path, layout: Layout) -> None:
    """Raises DataError if there is no such folder of a data set; names what there is instead."""
    if not path.is_dir():
        found, wanted = a_few(names_in(path.parent)), ", ".join(layout.content)
        raise DataError(
            f"{path.parent}: no folder {path.name}; found {found}; {layout.name} is made up of {wanted}"
        )


def names_in(folder: Path) -> list[str]:
    """The sorted names of what a folder holds.

    Raises:
        DataError: It is missing, is not one, or may not be read.
    """
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror}; expected {KNOWN}") from error


def a_few(names: Iterable[str], limit: int = 3) -> str:
    """Returns the first names and how many more there are, for messages."""
    names = list(names)
    shown = ", ".join(names[:limit]) or "nothing"
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def _only(root: Path, layouts: Sequence[Layout]) -> Layout:
    if len(layouts) == 1:
        return layouts[0]
    found = ", ".join(f"{layout.name}: {layout.parts['train'].folder}" for layout in layouts)
    raise DataError(f"{root}: fits several layouts ({found}); move the folders of all but one elsewhere")


def _choice(root: Path, names: set[str]) -> str:
    if names == {"labeled", "detected"}:
        return f"name one of them: {root / 'labeled'} (boxes by hand) or {root / 'detected'} (by a detector)"
    return "name one of them"


def _deeper(root: Path, names: Sequence[str]) -> list[str]:
    """Data sets two levels below a folder."""
    found = []
    for name in names[:_DEEPER]:
        with contextlib.suppress(OSError):
            below = itertools.islice((root / name).iterdir(), _DEEPER)
            found += [str(path.relative_to(root)) for path in below if layouts_of(path)]
    return sorted(found)


def _raw_cuhk03(path: Path) -> DataError:
    return DataError(
        f"{path}: is CUHK03's raw MATLAB file, which is not read; get CUHK03-NP, the new protocol's images "
        "as PNG files (github.com/zhunzhong07/person-re-ranking), and name its folder labeled or detected"
    )
