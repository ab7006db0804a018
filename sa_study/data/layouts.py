"""The layouts of data sets as distributed, and the search for a data set in one of them, or in a list.

A new layout is an entry of `LAYOUTS` or, with the folders of another one, of its `kinds`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sa_study.utils.errors import DataError
from sa_study.utils.files import expand_home
from sa_study.utils.text import a_few, joined

SPLITS = ("train", "query", "gallery")
TEST_SPLITS = ("query", "gallery")

_IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}


@dataclass(frozen=True, slots=True)
class SplitSource:
    """The folder and lists of one split's images.

    Attributes:
        folder: Their folder, below the data set's.
        lists: Files beside it with one line `path id` per image; none where the split is the whole folder.
        offset: Added to their ids where train and test both count from 0, for different people.
    """

    folder: str
    lists: tuple[str, ...] = ()
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One way to lay out a data set.

    Attributes:
        name: What the layout is called in messages.
        sources: Where the images are, by split: train, query, gallery.
        name_pattern: Matches the beginning of an image's name; its groups are the id and the camera, from 1.
        example: An image's name.
        distractors: Whether images with id 0 are distractors; else 0 is a person, or does not occur.
        junk: The id of images to leave out, if there is one.
        published: Number of images in train, query and gallery (without junk), by published data set.
        kinds: More specific layouts with these folders, told apart by their image names.
        notes: Further remarks, one line each.
    """

    name: str
    sources: Mapping[str, SplitSource]
    name_pattern: re.Pattern[str]
    example: str
    distractors: bool = False
    junk: int | None = None
    published: Mapping[str, tuple[int, int, int]]
    kinds: tuple[Layout, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def content(self) -> list[str]:
        """Names of the folders and list files that make up a data set."""
        lists = [name for source in self.sources.values() for name in source.lists]
        return [*dict.fromkeys(source.folder for source in self.sources.values()), *lists]

    def fits(self, root: Path) -> bool:
        """Whether a folder has this layout's folders; `query` alone is too common a name to count."""
        folders = [self.sources[split].folder for split in ("train", "gallery")]
        lists = [name for source in self.sources.values() for name in source.lists]
        return any((root / folder).is_dir() for folder in folders) and (
            not lists or any((root / name).is_file() for name in lists)
        )

    def parse(self, name: str) -> tuple[int, int] | None:
        """The id and the camera (from 0) in an image's name; None for any other name."""
        match = self.name_pattern.match(name)
        return (int(match[1]), int(match[2]) - 1) if match and is_image_name(name) else None


def is_image_name(name: str) -> bool:
    """Whether a file of this name counts as an image."""
    return Path(name).suffix.lower() in _IMAGE_SUFFIXES


_FOLDERS = {
    "train": SplitSource("bounding_box_train"),
    "query": SplitSource("query"),
    "gallery": SplitSource("bounding_box_test"),
}

DUKE = Layout(
    name="DukeMTMC-reID",
    sources=_FOLDERS,
    name_pattern=re.compile(r"(?!0000)([0-9]{4})_c([1-8])_f[0-9]+\.jpg\Z"),
    example="0001_c2_f0046182.jpg",
    published={"DukeMTMC-reID": (16_522, 2_228, 17_661)},
)

CUHK03_NP = Layout(
    name="CUHK03-NP",
    sources=_FOLDERS,
    name_pattern=re.compile(r"(?!0000)([0-9]{4})_c([12])_[0-9]+\.(?:png|jpg)\Z"),
    example="0003_c1_21.png",
    published={"CUHK03-NP labeled": (7_368, 1_400, 5_328), "CUHK03-NP detected": (7_365, 1_400, 5_332)},
    notes=("CUHK03 by its new protocol; boxes by hand and by a detector are two data sets",),
)

MARKET = Layout(
    name="Market-1501's layout",
    sources=_FOLDERS,
    # Bounded so that ids and cameras fit into int64 arrays. The rest of the name is free.
    name_pattern=re.compile(r"(-1|[0-9]{1,18})_c0*([1-9][0-9]{0,8})(?![0-9])"),
    example="0002_c1s1_000451_03.jpg",
    distractors=True,
    junk=-1,
    published={"Market-1501": (12_936, 3_368, 15_913)},
    kinds=(DUKE, CUHK03_NP),
)


def _msmt17(name: str, train: str, test: str) -> Layout:
    return Layout(
        name=name,
        sources={
            "train": SplitSource(train, ("list_train.txt", "list_val.txt"), 1_000_000),
            "query": SplitSource(test, ("list_query.txt",), 2_000_000),
            "gallery": SplitSource(test, ("list_gallery.txt",), 2_000_000),
        },
        name_pattern=re.compile(r"([0-9]{1,6})_[0-9]+_0*([1-9][0-9]{0,8})_"),
        example="0000_000_01_0303morning_0008_0.jpg",
        published={"MSMT17": (32_621, 11_659, 82_161)},
        notes=(
            "the images of list_train.txt and list_val.txt are used for training, as usual; a study draws "
            "its own validation split from both",
            "ids of train and test both count from 0, for different people",
        ),
    )


LAYOUTS = (
    MARKET,
    _msmt17("MSMT17_V1", "train", "test"),
    _msmt17("MSMT17_V2", "mask_train_v2", "mask_test_v2"),
)

LIST = Layout(name="a list of images", sources={}, name_pattern=re.compile(r"(?!)"), example="", published={})
"""Stands for a CSV file, which says itself who each image shows; `sa_study.data.dataset_list` reads it."""

_RAW_CUHK03 = "cuhk-03.mat"
MAX_LISTED = 100
"""Maximum number of folders searched for a hint, and of names in each: any folder may be given by mistake."""


def layouts_of(path: Path) -> list[Layout]:
    """The layouts that a folder fits."""
    try:
        return [layout for layout in LAYOUTS if layout.fits(path)]
    except OSError:  # a folder such as lost+found, which may not be read
        return []


def is_list(path: Path) -> bool:
    """Whether a path is of a CSV file, which lists a data set's images."""
    return path.suffix.lower() == ".csv" and os.path.isfile(path)  # noqa: PTH113 - Path's raises for odd names


def _expected() -> str:
    """The folders and files that mark a data set, for an error message."""
    expected = []
    for layout in LAYOUTS:
        kinds = [*layout.published, *(kind.name for kind in layout.kinds)] if layout.kinds else [layout.name]
        expected.append(f"{joined(layout.content)} ({', '.join(kinds)})")
    return f"the folder that holds {' or '.join(expected)}, or its parent, or a list of images (LIST.csv)"


def find_dataset(root: Path | str) -> tuple[Path, Layout]:
    """Returns the absolute path and the layout of the data set at `root` or one level below it.

    A list is not opened: its path is returned with `LIST`.

    Raises:
        DataError: No data set is found, several lie below `root`, or one fits several layouts.
        ConfigError: `root` begins with `~`, and that home folder is not known.
    """
    root = expand_home(root).absolute()
    if root.name.lower() == _RAW_CUHK03:
        raise _raw_cuhk03(root)
    if is_list(root):
        return root, LIST
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
    if deeper := _two_levels_below(root, names):
        found = f"holds data sets two levels below it only ({a_few(deeper)})"
        raise DataError(f"{root}: {found}; name one of them")
    raise DataError(f"{root}: no data set; found {a_few(names)}; expected {_expected()}")


def require_folder(path: Path, layout: Layout) -> None:
    """Raises DataError if a data set lacks a folder; names what is found instead."""
    if not path.is_dir():
        found, wanted = a_few(names_in(path.parent)), ", ".join(layout.content)
        raise DataError(
            f"{path.parent}: no folder {path.name}; found {found}; {layout.name} is made up of {wanted}"
        )


def names_in(folder: Path) -> list[str]:
    """The sorted names of what a folder holds; DataError if it is none, or may not be read."""
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror}; expected {_expected()}") from error


def _only(root: Path, layouts: Sequence[Layout]) -> Layout:
    if len(layouts) == 1:
        return layouts[0]
    found = ", ".join(f"{layout.name}: {layout.sources['train'].folder}" for layout in layouts)
    raise DataError(f"{root}: fits several layouts ({found}); move the folders of all but one elsewhere")


def _choice(root: Path, names: set[str]) -> str:
    if names == {"labeled", "detected"}:
        return f"name one of them: {root / 'labeled'} (boxes by hand) or {root / 'detected'} (by a detector)"
    return "name one of them"


def _two_levels_below(root: Path, names: Sequence[str]) -> list[str]:
    """Data sets two levels below a folder."""
    found = []
    for name in names[:MAX_LISTED]:
        with contextlib.suppress(OSError):
            below = itertools.islice((root / name).iterdir(), MAX_LISTED)
            found += [str(path.relative_to(root)) for path in below if layouts_of(path)]
    return sorted(found)


def _raw_cuhk03(path: Path) -> DataError:
    return DataError(
        f"{path}: is CUHK03's raw MATLAB file, which is not read; get CUHK03-NP, the new protocol's images "
        "as PNG files (github.com/zhunzhong07/person-re-ranking), and name its folder labeled or detected"
    )
