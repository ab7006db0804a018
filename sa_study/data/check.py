"""Checks a data set before anyone trains on it: counts, unreadable images, identities without a match."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sa_study.data.dataset import (
    cameras_by_identity,
    overlap_message,
    queries_without_match,
    recognise_kind,
    shared_identities,
)
from sa_study.data.dataset_list import read_list
from sa_study.data.explanation import explain
from sa_study.data.images import for_each_image, read_image
from sa_study.data.layout_reader import read_split
from sa_study.data.layouts import LIST, SPLITS, Layout, find_dataset, is_image_name
from sa_study.data.records import DISTRACTOR, ImageRecord, SplitFolder, has_cameras
from sa_study.utils.errors import DataError
from sa_study.utils.progress import ProgressCallback
from sa_study.utils.text import a_few, joined, plural


@dataclass(frozen=True, slots=True)
class SplitReport:
    """Counts of one folder, or of all three.

    `images` counts distractors (id 0) but no junk (id -1), and `ids` counts neither. `cameras` is 0 where
    they are not known; `single_camera_ids` then counts the identities of one image. `stray` counts other
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
        root: The folder that holds the image folders, or the list.
        layout: Name of the recognised layout.
        cameras: Whether the cameras are known.
        explanation: The layout and why, the source of each split, what ids mean, one line each.
        splits: Counts by split: train, query, gallery.
        total: Counts of all three together; an identity in two of them counts once.
        sizes: Number of readable images by (height, width) in pixels, the most frequent first.
        unreadable: Images that cannot be decoded.
        overlap: Identities in both the training and the test folders.
        queries_without_match: Query images whose identity is in the gallery by no other camera.
        errors: What makes the data set unusable, one line each.
        warnings: What may be wrong, one line each.
    """

    root: Path
    layout: str
    cameras: bool
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
    errors: list[str] = []
    folders = read_list(root) if layout is LIST else _read_folders(root, layout, errors)
    layout = recognise_kind(layout, folders)
    train, query, gallery = (folders[split].records for split in SPLITS)
    images = train + query + gallery
    cameras = has_cameras(images)
    outcomes = for_each_image(_inspect, images, progress)
    inspected = {record.path: found for record, found in zip(images, outcomes, strict=True)}
    faults = {path: found for path, found in inspected.items() if isinstance(found, str)}
    sizes = Counter(found.size for found in outcomes if not isinstance(found, str))
    overlap = shared_identities(train, query + gallery)
    matchless = queries_without_match(query, gallery)
    warnings = _warnings(folders, cameras)
    if layout is LIST:
        (warnings if train or (query and gallery) else errors).extend(_missing(root, folders))
    if faults:
        errors.append(f"{plural(len(faults), 'unreadable image')}: {a_few(faults.values(), 1)}")
    if overlap:
        errors.append(overlap_message(overlap, layout))
    if matchless and (gallery or layout is not LIST):
        match = "from another camera" if cameras else "in another image"
        names = a_few([path.name for path in matchless])
        warnings.append(f"{len(matchless)} queries have no match {match}: {names}; they do not count")
        if len(matchless) == len(query):
            errors.append(f"no query has a match {match} in the gallery; rankings cannot be scored")
    if not cameras:
        warnings += _copies(query, gallery, inspected)
    if len(sizes) > 1:
        warnings.append(f"images come in {len(sizes)} sizes; they are brought to one when decoded")
    return DataReport(
        root=root,
        layout=layout.name,
        cameras=cameras,
        explanation=explain(root, layout, folders, len(sizes)),
        splits={split: _count([folder]) for split, folder in folders.items()},
        total=_count(list(folders.values())),
        sizes=dict(sizes.most_common()),
        unreadable=tuple(faults),
        overlap=overlap,
        queries_without_match=matchless,
        errors=tuple(dict.fromkeys(errors)),  # two splits may miss the same folder
        warnings=tuple(warnings),
    )


def _read_folders(root: Path, layout: Layout, errors: list[str]) -> dict[str, SplitFolder]:
    """The splits of a layout; one that cannot be read is empty, and `errors` gets the reason."""
    folders = {}
    for split in SPLITS:
        # This empty one stays if reading fails.
        folders[split] = SplitFolder(root / layout.sources[split].folder, layout.example)
        try:
            folders[split] = read_split(root, layout, split)
            folders[split].require_images()
        except DataError as error:
            errors.append(str(error))
    return folders


def _missing(root: Path, folders: Mapping[str, SplitFolder]) -> list[str]:
    """A line on what a list that lacks images of some split cannot be used for; empty where it lacks none."""
    missing = [split for split, folder in folders.items() if not folder.records]
    uses = [] if "train" not in missing else ["trained on"]
    uses += ["evaluated on"] if len(missing) > len(uses) else []
    return [f"{root}: lists no {joined(missing)} images, so it cannot be {joined(uses)}"] if missing else []


@dataclass(frozen=True, slots=True)
class _ImageFacts:
    """Facts of a readable image: its height and width in pixels, and the SHA-256 of its file."""

    size: tuple[int, int]
    digest: bytes


def _inspect(record: ImageRecord) -> _ImageFacts | str:
    """The facts of an image, or why it cannot be read."""
    try:
        image, content = read_image(record.path)
    except DataError as error:
        return str(error)
    return _ImageFacts((image.height, image.width), hashlib.sha256(content).digest())


def _copies(
    query: Sequence[ImageRecord], gallery: Sequence[ImageRecord], inspected: Mapping[Path, _ImageFacts | str]
) -> list[str]:
    """A warning where a query's file is in the gallery under another path too, with the same identity."""
    files: dict[tuple[int, bytes], set[Path]] = defaultdict(set)
    for record in gallery:
        if not isinstance(facts := inspected[record.path], str):
            files[record.pid, facts.digest].add(record.path)
    copied = [
        record.path.name
        for record in query
        if not isinstance(facts := inspected[record.path], str)
        and files.get((record.pid, facts.digest), set()) - {record.path}
    ]
    if not copied:
        return []
    return [
        f"{len(copied)} queries have a copy of their file in the gallery, which counts as a match: "
        f"{a_few(copied)}; list one file as both, or take the copies out"
    ]


def _count(folders: Sequence[SplitFolder]) -> SplitReport:
    records = [record for folder in folders for record in folder.records]
    cameras = cameras_by_identity(records)
    return SplitReport(
        images=len(records),
        ids=len(cameras),
        cameras=len({record.camid for record in records if record.camid >= 0}),
        distractors=sum(record.pid == DISTRACTOR for record in records),
        junk=sum(folder.junk for folder in folders),
        stray=sum(folder.stray_count for folder in folders),
        single_camera_ids=sum(len(seen_by) == 1 for seen_by in cameras.values()),
    )


def _warnings(folders: Mapping[str, SplitFolder], cameras: bool) -> list[str]:
    """Remarks on names, lines and identities."""
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
        seen = "are seen by one camera only" if cameras else "have one image only"
        warnings.append(
            f"{train.single_camera_ids} of {train.ids} training identities {seen}; they are never held out "
            "for validation"
        )
    return warnings
