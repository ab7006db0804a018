"""Reading a study and writing its page."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

from sa_study.report.page.render import render
from sa_study.report.page.text import short
from sa_study.report.page.view import PageStudy
from sa_study.report.page.words import give_verdict
from sa_study.utils.errors import StudyFolderError
from sa_study.utils.files import write_text

_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG}


@dataclass(frozen=True)
class Written:
    """A page that was written.

    Attributes:
        path: Its file.
        size: Bytes.
        verdict: What it says first.
    """

    path: Path
    size: int
    verdict: str


def write_page(root: Path, out: Path | None) -> Written:
    """Writes a study's page; a reader never meets half of one.

    Args:
        root: The study's folder.
        out: The file, or None for `report.html` in the folder.

    Raises:
        StudyFolderError: There is no study, it is damaged, or the page cannot be written there.
    """
    study = PageStudy.read(root)
    path = out if out is not None else root / "report.html"
    if path.is_dir():
        raise StudyFolderError(f"--out {path}: is a folder; give a file")
    if not path.parent.is_dir():
        raise StudyFolderError(f"--out {path}: there is no folder {path.parent}")
    text = render(study)
    try:
        write_text(path, text)
    except OSError as error:
        if error.errno not in _DENIED:
            raise
        raise StudyFolderError(
            f"{path}: cannot be written ({error.strerror}); give another file with --out"
        ) from None
    verdict = give_verdict(study)
    return Written(path, path.stat().st_size, short(f"{verdict.headline} {verdict.judgement}.", 1000))
