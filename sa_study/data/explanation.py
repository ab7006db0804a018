"""Says in words, line by line, which layout a data set was recognised as, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from sa_study.data.dataset_list import CAMERA_COLUMN, COLUMNS
from sa_study.data.layouts import LIST, SPLITS, Layout
from sa_study.data.records import DISTRACTOR, SplitFolder, has_cameras
from sa_study.settings.run import Settings
from sa_study.utils.text import joined


def explain(root: Path, layout: Layout, folders: Mapping[str, SplitFolder], sizes: int) -> tuple[str, ...]:
    """The layout and why, the source of each split, what ids and cameras mean, and the memory that it takes.

    `sizes` is the number of different sizes of its images.
    """
    lines = _explain_list(folders) if layout is LIST else _explain_layout(root, layout, folders)
    return (*lines, *_memory(folders, sizes))


def _explain_list(folders: Mapping[str, SplitFolder]) -> tuple[str, ...]:
    train, query, gallery = (folders[split].records for split in SPLITS)
    cameras = has_cameras(train + query + gallery)
    columns = joined([name for name in COLUMNS if cameras or name != CAMERA_COLUMN])
    distractors = sum(record.pid == DISTRACTOR for record in gallery)
    both = len({record.path for record in query} & {record.path for record in gallery})
    rule = "images of a query's identity by its own camera do not count"
    if not cameras:
        rule = (
            "not named, so every image of a query's identity is a match, the query itself left out; this "
            "protocol's figures are not comparable with those across cameras"
        )
    return (
        f"recognised as {LIST.name}: its columns are {columns}",
        *(f"{split}: {len(folder.records):,} images" for split, folder in folders.items()),
        f"ids: as listed; {distractors:,} images of the gallery are distractors (nobody's match), "
        f"{folders['gallery'].junk:,} are junk and left out",
        f"cameras: {rule}",
        *([f"in query and gallery: {both:,} images, left out of their own rankings"] if both else ()),
    )


def _explain_layout(root: Path, layout: Layout, folders: Mapping[str, SplitFolder]) -> tuple[str, ...]:
    present = joined([name for name in layout.content if (root / name).exists()])
    found = [record.path.name for folder in folders.values() for record in folder.records[:1]]
    names = f"are like {layout.example}"
    if layout.kinds:
        names = f"begin with id and camera, as in {(found or [layout.example])[0]}"
    return (
        f"recognised as {layout.name}: it holds {present}; names {names}",
        *(f"{split}: {_source(layout, split, folder)}" for split, folder in folders.items()),
        f"ids: {_ids(layout)}",
        *layout.notes,
        f"published: {_compare_published(layout, folders)}",
    )


def _source(layout: Layout, split: str, folder: SplitFolder) -> str:
    named = joined([f"{name} ({used:,})" for name, used in folder.used.items()])
    images = f"{len(folder.records):,} images of {layout.sources[split].folder}"
    return f"{images}, listed in {named}" if named else images


def _ids(layout: Layout) -> str:
    zero = "0 is a distractor (in the gallery, nobody's match)" if layout.distractors else "no distractors"
    junk = "no junk" if layout.junk is None else f"{layout.junk} is junk and left out"
    offsets = {source.folder: source.offset for source in layout.sources.values() if source.offset}
    added = "".join(f"; {offset:,} is added to those of {folder}" for folder, offset in offsets.items())
    return f"{zero}; {junk}{added}"


def _compare_published(layout: Layout, folders: Mapping[str, SplitFolder]) -> str:
    counts = tuple(len(folder.records) for folder in folders.values())
    for name, published in layout.published.items():
        if counts == published:
            return f"as many images as {name}"
    known = [f"{name} has {_total(images)}" for name, images in layout.published.items()]
    return f"{joined(known)} images, this {_total(counts)}: a part of it, or another data set"


def _total(counts: Iterable[int]) -> str:
    return " + ".join(f"{count:,}" for count in counts)


def _memory(folders: Mapping[str, SplitFolder], sizes: int) -> list[str]:
    """The memory of the decoded images where their sizes differ, so that all are decoded to one size."""
    if sizes < 2:
        return []
    height, width = Settings().height, Settings().width
    train, query, gallery = (len(folders[split].records) * height * width * 3 / 2**30 for split in SPLITS)
    return [
        f"memory: images differ in size; at {height}×{width} training images take {train:.1f} GiB, "
        f"query and gallery {query + gallery:.1f} GiB"
    ]
