"""Where an export goes: made beside its place, and moved there once all of it is whole and checked."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sa_study.utils.errors import StudyFolderError

GROUPS: Mapping[str, frozenset[str]] = {
    "network": frozenset(
        {"README.md", "network.json"}
        | {f"{name}.{ending}" for name in ("features", "features_uint8") for ending in ("onnx", "pt2")}
    ),
    "trials": frozenset({"README.md", "trials.csv", "trials.parquet", "epochs.csv", "epochs.parquet"}),
    "paper": frozenset({"table.md", "table.tex", "references.bib"}),
}
"""The folders of an export, and every file that may lie in them."""


@contextmanager
def new_export(out: Path) -> Iterator[Path]:
    """Gives a folder to fill; its groups then take the place of those of an earlier export.

    When anything goes wrong nothing is left, and what an earlier export wrote stays.

    Args:
        out: Folder of the export; need not exist.

    Raises:
        StudyFolderError: It holds something that no export wrote, or cannot be written.
    """
    out = out.absolute()
    _require_ours(out)
    above = next(folder for folder in out.parents if folder.exists())
    temporary = above / f".{out.name}.{os.getpid()}.partial"
    try:
        try:
            temporary.mkdir()
        except OSError as error:
            raise StudyFolderError(
                f"{above}: cannot be written ({error.strerror}); choose another --out"
            ) from None
        yield temporary
        out.mkdir(parents=True, exist_ok=True)
        for group in sorted(temporary.iterdir()):
            _replace(out / group.name, group)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _require_ours(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise StudyFolderError(f"{out}: is a file; --out names a folder")
    for group, names in GROUPS.items():
        folder = out / group
        if folder.exists() and not folder.is_dir():
            raise StudyFolderError(f"{folder}: no export wrote that; choose another --out")
        strange = (
            [path.name for path in folder.iterdir() if path.name not in names] if folder.exists() else []
        )
        if strange:
            raise StudyFolderError(
                f"{folder}: holds {strange[0]!r}, which no export wrote; move it, or choose another --out"
            )


def _replace(target: Path, made: Path) -> None:
    old = made.with_name(f"{made.name}.old")
    if target.exists():
        target.replace(old)
    try:
        made.replace(target)
    except OSError:
        if old.exists():
            old.replace(target)
        raise
