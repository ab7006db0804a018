"""Says what a folder was taken for and why, for people who want to know what their figures are of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from sa_study.data.dataset import Folder
from sa_study.data.layouts import Layout


def explain(root: Path, layout: Layout, folders: Mapping[str, Folder]) -> tuple[str, ...]:
    """What a data set was taken for, what each part was read from and what counts how; a line each.

    Args:
        root: The data set.
        layout: What it was taken for.
        folders: What was found, by split.
    """
    there = [name for name in layout.content if (root / name).exists()]
    return (
        f"taken for {layout.name}: it holds {_joined(there)}; {_names(layout, folders)}",
        *(f"{split}: {_source(layout, split, folder)}" for split, folder in folders.items()),
        f"ids: {_ids(layout)}",
        *layout.notes,
        f"published: {_published(layout, folders)}",
    )


def _names(layout: Layout, folders: Mapping[str, Folder]) -> str:
    found = [record.path.name for folder in folders.values() for record in folder.records[:1]]
    if layout.kinds:
        return f"names begin with id and camera, as in {(found or [layout.example])[0]}"
    return f"names are like {layout.example}"


def _source(layout: Layout, split: str, folder: Folder) -> str:
    part = layout.parts[split]
    images = f"{len(folder.records):,} images"
    if folder.used:
        named = _joined([f"{name} ({used:,})" for name, used in folder.used.items()])
        return f"{images} of {part.folder}, listed in {named}"
    return f"{images} of {part.folder}"


def _ids(layout: Layout) -> str:
    zero = "0 is a distractor (in the gallery, nobody's match)" if layout.distractors else "no distractors"
    junk = "no junk" if layout.junk is None else f"{layout.junk} is junk and left out"
    offsets = {part.folder: part.offset for part in layout.parts.values() if part.offset}
    added = "".join(f"; {offset:,} is added to those of {folder}" for folder, offset in offsets.items())
    return f"{zero}; {junk}{added}"


def _published(layout: Layout, folders: Mapping[str, Folder]) -> str:
    counts = tuple(len(folder.records) for folder in folders.values())
    for name, published in layout.published.items():
        if counts == published:
            return f"as many images as {name}"
    known = [f"{name} has {_sum(images)}" for name, images in layout.published.items()]
    return f"{_joined(known)} images, this {_sum(counts)}: a part of it, or another data set"


def _sum(counts: Iterable[int]) -> str:
    return " + ".join(f"{count:,}" for count in counts)


def _joined(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
