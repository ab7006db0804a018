"""The files of an export: a table of what writes them, and the folder that replaces an earlier export."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from sa_study.utils.errors import StudyFolderError

if TYPE_CHECKING:
    from sa_study.export.paper import Paper
    from sa_study.export.tables import Table
    from sa_study.study.summary import StudySummary


class StudyDocuments:
    """The contents of a study's export files, each part computed when a file first needs it.

    Args:
        summary: The study.

    Attributes:
        notes: What a user ought to know of the files, a line each.
    """

    def __init__(self, summary: StudySummary):
        self.summary = summary
        self.notes: list[str] = []

    @cached_property
    def tables(self) -> Mapping[str, Table]:
        """The tables of the trials and of their epochs, by name."""
        from sa_study.export.tables import epoch_table, trial_table

        epochs, missing = epoch_table(self.summary)
        if missing and any(trial.record.epochs_run for trial in self.summary.trials):
            self.notes.append(f"{missing}: of most epochs only the score is known, from the database")
        return {"trials": trial_table(self.summary), "epochs": epochs}

    @cached_property
    def paper(self) -> Paper:
        """Tables, notes and citations for a paper on the study."""
        from sa_study.export.paper import describe

        return describe(self.summary)


def _csv(name: str, study: StudyDocuments, path: Path) -> None:
    study.tables[name].write_csv(path)


def _parquet(name: str, study: StudyDocuments, path: Path) -> None:
    study.tables[name].write_parquet(path)


def _columns(study: StudyDocuments, path: Path) -> None:
    from sa_study.export.documents import render

    columns = {
        name: [(column.name, column.kind, column.meaning) for column in table.columns]
        for name, table in study.tables.items()
    }
    path.write_text(render("columns.md.j2", tables=columns), encoding="utf-8")


def _paper(study: StudyDocuments, path: Path) -> None:
    from sa_study.export.documents import paper_document

    path.write_text(paper_document(f"{path.name}.j2", study.paper), encoding="utf-8")


def _references(study: StudyDocuments, path: Path) -> None:
    from sa_study.export.documents import bibtex

    path.write_text(bibtex(key for _, key in study.paper.cited), encoding="utf-8")


NETWORKS = {
    "features.onnx": ("onnx", "normalised"),
    "features.pt2": ("torch", "normalised"),
    "features_uint8.onnx": ("onnx", "uint8"),
    "features_uint8.pt2": ("torch", "uint8"),
}
"""Files of the folder `network`: their format, and the images that the network in them takes."""

FILES: Mapping[str, Mapping[str, Callable[[StudyDocuments, Path], None]]] = {
    "trials": {
        "README.md": _columns,
        "trials.csv": partial(_csv, "trials"),
        "trials.parquet": partial(_parquet, "trials"),
        "epochs.csv": partial(_csv, "epochs"),
        "epochs.parquet": partial(_parquet, "epochs"),
    },
    "paper": {"table.md": _paper, "table.tex": _paper, "references.bib": _references},
}
"""Files of a study's other folders, and what writes each; a new file is an entry here."""

_ALLOWED = {"network": {"README.md", "network.json", *NETWORKS}, **FILES}


@contextmanager
def new_export(out: Path) -> Iterator[Path]:
    """Gives a folder to fill; its folders then take the place of those of an earlier export.

    When anything goes wrong nothing is left, and what an earlier export wrote stays.

    Args:
        out: Folder of the export; need not exist.

    Raises:
        StudyFolderError: It holds something that no export wrote, or cannot be written.
    """
    out = out.absolute()
    _require_only_exports(out)
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
        for folder in sorted(temporary.iterdir()):
            _replace(out / folder.name, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _require_only_exports(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise StudyFolderError(f"{out}: is a file; --out names a folder")
    for name, allowed in _ALLOWED.items():
        folder = out / name
        if folder.exists() and not folder.is_dir():
            raise StudyFolderError(f"{folder}: no export wrote that; choose another --out")
        for path in folder.iterdir() if folder.exists() else ():
            if path.name not in allowed:
                raise StudyFolderError(
                    f"{folder}: holds {path.name!r}, which no export wrote; move it, or choose another --out"
                )


def _replace(target: Path, new: Path) -> None:
    old = new.with_name(f"{new.name}.old")
    if target.exists():
        target.replace(old)
    try:
        new.replace(target)
    except OSError:
        if old.exists():
            old.replace(target)
        raise
