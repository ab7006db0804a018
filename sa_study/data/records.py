"""What is read of a data set: its images, named by identity and camera, and what each split was read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sa_study.data.layouts import is_list
from sa_study.utils.errors import DataError
from sa_study.utils.text import a_few

DISTRACTOR = 0


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image file.

    Attributes:
        path: Absolute path of the file.
        pid: Identity as in the file name, plus what the layout adds, or as a list says; 0 marks a distractor.
        camid: Camera, counted from 0 (one less than in the file name). Where the cameras are not known it is
            negative and differs for each file, so that a query leaves out nothing but itself.
        label: Identity and camera as far as only a list gives them; empty where the file name does.
    """

    path: Path
    pid: int
    camid: int
    label: str = ""


def has_cameras(records: Sequence[ImageRecord]) -> bool:
    """Whether the cameras are known, which all images of a data set have or none."""
    return all(record.camid >= 0 for record in records)


@dataclass(slots=True)
class SkippedLines:
    """Lines that were skipped for the same reason: how many, and the first with its place, safe to show."""

    count: int = 0
    example: str = ""


@dataclass(slots=True)
class SplitFolder:
    """What one split of the data set was read from, and what was found there.

    Attributes:
        path: The folder, or the CSV file that lists the data set's images.
        example: An image's name in the layout; in a CSV file, the split's word for its images.
        records: Its images, sorted by file name, junk left out.
        junk_images: Images with id -1, which count neither as matches nor as mistakes.
        stray: Names of everything else, such as `Thumbs.db` or images that are named differently.
        used: Number of images by list file, where the layout has list files.
        skipped: Skipped lines of list files, by reason.
        missing: Images that list files name but that do not exist.
    """

    path: Path
    example: str
    records: tuple[ImageRecord, ...] = ()
    junk_images: tuple[Path, ...] = ()
    stray: tuple[str, ...] = ()
    used: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, SkippedLines] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    @property
    def junk(self) -> int:
        """Number of junk images."""
        return len(self.junk_images)

    @property
    def stray_count(self) -> int:
        """Number of files, or lines of list files, that name no image to use."""
        return len(self.stray) + sum(lines.count for lines in self.skipped.values())

    def require_images(self) -> None:
        """Raises DataError if the folder holds no image to use, or not all that its list files name."""
        lists = " and ".join(self.used)
        if self.missing:
            lost = f"{len(self.missing)} images of {lists} are missing ({a_few(self.missing)})"
            raise DataError(f"{self.path}: {lost}; restore them, or take their lines out")
        if self.records:
            return
        if is_list(self.path):
            raise DataError(f"{self.path}: lists no image with the split '{self.example}'")
        if self.used:
            reasons = [f"{lines.count} × {why} ({lines.example})" for why, lines in self.skipped.items()]
            raise DataError(
                f"{self.path.parent}: no line of {lists} like '{self.example} ID'; "
                f"found {'; '.join(reasons) or 'nothing'}"
            )
        raise DataError(
            f"{self.path}: no image named like {self.example}; "
            f"found {a_few(self.stray)} and {self.junk} junk images (id -1)"
        )
