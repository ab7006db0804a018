"""Checks a data set before anyone trains on it: counts, unreadable images, identities without a match."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sa_study.data.dataset import (
    DISTRACTOR,
    ImageRecord,
    SplitFolder,
    cameras_by_identity,
    overlap_message,
    queries_without_match,
    read_split,
    recognise_kind,
    shared_identities,
)
from sa_study.data.images import for_each_image, read_image
from sa_study.data.layouts import SPLITS, Layout, find_dataset, is_image_name
from sa_study.settings.run import Settings
from sa_study.utils.errors import DataError
from sa_study.utils.progress import ProgressCallback
from sa_study.utils.text import a_few, joined


@dataclass(frozen=True, slots=True)
class SplitReport:
    """Counts of one folder, or of all three.

    `images` counts distractors (id 0) but no junk (id -1), and `ids` counts neither. `stray` counts other
    files, and lines of list files that name no image to use.
    """

    images: int
    ids: int
    cameras: int
    distractors: int
    junk: int
    stray: int
    single_camera_ids: int


@dataclass(frozen=True, slots=True)
class DataReport:
    """Counts of a data set, and the problems found in it.

    Attributes:
        root: The folder that holds the image folders.
        layout: Name of the recognised layout.
        explanation: Why, the source of each split, and what ids mean, one line each.
        splits: Counts by split: train, query, gallery.
        total: Counts of all three together; an identity in two of them counts once.
        sizes: Number of readable images by (height, width) in pixels, the most frequent first.
        unreadable: Images that cannot be decoded.
        overlap: Identities in both the training and the test folders.
        queries_without_match: Query images whose identity is in the gallery by no other camera.
        errors: What makes the data set unusable, one line each.
        warnings: What may be a fault, one line each.
    """

    root: Path
    layout: str
    explanation: tuple[str, ...]
    splits: dict[str, SplitReport]
    total: SplitReport
    sizes: dict[tuple[int, int], int]
    unreadable: tuple[Path, ...]
    overlap: tuple[int, ...]
    queries_without_match: tuple[Path, ...]
    errors: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the data set can be used."""
        return not self.errors


def check_dataset(root: Path | str, progress: ProgressCallback | None = None) -> DataReport:
    """Checks all of a data set; every image that is used is decoded, and all faults are collected.

    Raises:
        DataError: No data set is at `root` or one level below it.
    """
    root, layout = find_dataset(root)
    folders, errors = {}, []
    for split in SPLITS:
        # This empty one stays if reading fails.
        folders[split] = SplitFolder(root / layout.sources[split].folder, layout.example)
        try:
            folders[split] = read_split(root, layout, split)
            folders[split].require_images()
        except DataError as error:
            errors.append(str(error))
    layout = recognise_kind(layout, folders)
    train, query, gallery = (folders[split].records for split in SPLITS)
    images = train + query + gallery
    outcomes = for_each_image(_size_or_fault, images, progress)
    faults = {
        record.path: found for record, found in zip(images, outcomes, strict=True) if isinstance(found, str)
    }
    overlap = shared_identities(train, query + gallery)
    matchless = queries_without_match(query, gallery)
    errors += _errors(list(faults.values()), overlap, len(query), len(matchless))
    sizes = Counter(found for found in outcomes if not isinstance(found, str))
    return DataReport(
        root=root,
        layout=layout.name,
        explanation=(*_explain(root, layout, folders), *_memory(folders, len(sizes))),
        splits={split: _count([folder]) for split, folder in folders.items()},
        total=_count(list(folders.values())),
        sizes=dict(sizes.most_common()),
        unreadable=tuple(faults),
        overlap=overlap,
        queries_without_match=matchless,
        errors=tuple(dict.fromkeys(errors)),  # two splits may miss the same folder
        warnings=tuple(_warnings(folders, matchless, len(sizes))),
    )


def _errors(faults: Sequence[str], overlap: tuple[int, ...], queries: int, matchless: int) -> list[str]:
    errors = []
    if faults:
        errors.append(f"{len(faults)} unreadable images: {a_few(faults, 1)}")
    if overlap:
        errors.append(overlap_message(overlap))
    if queries and matchless == queries:
        errors.append("no query has a match from another camera in the gallery; rankings cannot be scored")
    return errors


def _memory(folders: dict[str, SplitFolder], sizes: int) -> list[str]:
    """The memory that images of several sizes take once decoded to one; nothing where all have one size."""
    if sizes < 2:
        return []
    height, width = Settings().height, Settings().width
    train, query, gallery = (len(folders[split].records) * height * width * 3 / 2**30 for split in SPLITS)
    return [
        f"memory: images differ in size; at {height}×{width} training images take {train:.1f} GiB, "
        f"query and gallery {query + gallery:.1f} GiB"
    ]


def _size_or_fault(record: ImageRecord) -> tuple[int, int] | str:
    try:
        image, _ = read_image(record.path)
    except DataError as error:
        return str(error)
    return image.height, image.width


def _count(folders: Sequence[SplitFolder]) -> SplitReport:
    records = [record for folder in folders for record in folder.records]
    cameras = cameras_by_identity(records)
    return SplitReport(
        images=len(records),
        ids=len(cameras),
        cameras=len({record.camid for record in records}),
        distractors=sum(record.pid == DISTRACTOR for record in records),
        junk=sum(folder.junk for folder in folders),
        stray=sum(folder.stray_count for folder in folders),
        single_camera_ids=sum(len(seen_by) == 1 for seen_by in cameras.values()),
    )


def _warnings(folders: dict[str, SplitFolder], matchless: Sequence[Path], sizes: int) -> list[str]:
    warnings = []
    for folder in folders.values():
        warnings += [
            f"{folder.path.parent}: {lines.count} lines of list files left out, {why}: {lines.example}"
            for why, lines in folder.skipped.items()
        ]
        if misnamed := [name for name in folder.stray if is_image_name(name)]:
            left_out = f"{len(misnamed)} images left out for their names"
            warnings.append(f"{folder.path}: {left_out}: {a_few(misnamed)}")
    for folder in (folders["train"], folders["query"]):
        if distractors := sum(record.pid == DISTRACTOR for record in folder.records):
            warnings.append(f"{folder.path}: {distractors} images with id 0, which means a distractor")
    train = _count([folders["train"]])
    if train.single_camera_ids:
        warnings.append(
            f"{train.single_camera_ids} of {train.ids} training identities are seen by one camera only; "
            "they are never held out for validation"
        )
    if matchless:
        names = [path.name for path in matchless]
        warnings.append(
            f"{len(names)} queries have no match from another camera: {a_few(names)}; they do not count"
        )
    if sizes > 1:
        warnings.append(f"images come in {sizes} sizes; they are brought to one when decoded")
    return warnings


def _explain(root: Path, layout: Layout, folders: Mapping[str, SplitFolder]) -> tuple[str, ...]:
    """The recognised layout and why, the source of each split, and what ids mean; one line each."""
    present = joined([name for name in layout.content if (root / name).exists()])
    found = [record.path.name for folder in folders.values() for record in folder.records[:1]]
    names = f"are like {layout.example}"
    if layout.kinds:
        names = f"begin with id and camera, as in {(found or [layout.example])[0]}"
    return (
        f"taken for {layout.name}: it holds {present}; names {names}",
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
