"""Writes the sample data: drawn pedestrians in the exact layout of Market-1501."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sa_study.data.sample.cameras import CAMERAS, Camera
from sa_study.data.sample.people import draw_people
from sa_study.utils.errors import ConfigError, DataError
from sa_study.utils.progress import ProgressCallback

TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"
_MAX_IDENTITIES = 5000
_FEWEST_CAMERAS = 4
_TRAIN_PER_TEST = 3
_PASSER_BY = 0.10  # probability
_BAD_BOX = 5.0  # factor of the box jitter
# First keys of random streams; those of utils/randomness.py have no further keys (person, camera, picture).
_SCENE, _PICTURE, _ROUTE = range(1, 4)


@dataclass(frozen=True)
class _Shot:
    """One picture to take; `person` is None for an empty box, `pid` is the id in the file name."""

    folder: str
    pid: int
    person: int | None
    camera: int
    index: int
    jitter: float = 1.0

    @property
    def name(self) -> str:
        pid = f"{self.pid:04d}" if self.pid >= 0 else str(self.pid)
        sequence, frame = 1 + self.index % 3, 1 + 13 * self.index
        return f"{pid}_c{self.camera + 1}s{sequence}_{frame:06d}_{self.index % 100:02d}.jpg"


def make_sample_data(
    root: Path,
    *,
    identities: int = 60,
    seed: int = 0,
    images_per_camera: int = 2,
    progress: ProgressCallback | None = None,
) -> Path:
    """Draws a data set of walking people in Market-1501's layout and names.

    For every three training identities there is one test identity. Everyone is seen by four to six of the
    six cameras, `images_per_camera` times by each. One picture of a test identity per camera is a query; the
    rest are the gallery, which also has distractors (id 0000) and badly cropped junk (id -1), one of each for
    every four gallery pictures.

    Args:
        root: Folder to make; it must not exist. It appears only when it is complete.
        identities: Number of training identities; a third as many (rounded up, at least 2) test
            identities come on top.
        seed: The same arguments and seed give the same bytes (with the same Pillow and numpy).
        images_per_camera: Pictures of one identity by one camera that sees it, at least 2.
        progress: Called after each picture with the number done and the total.

    Raises:
        ConfigError: An argument is out of range.
        DataError: `root` exists already or cannot be written.
    """
    _check_range("identities", identities, 2, _MAX_IDENTITIES)
    _check_range("images_per_camera", images_per_camera, 2, 20)
    _check_range("seed", seed, 0, 2**31 - 1)
    root = Path(root)
    if root.exists():
        advice = "name a folder that does not exist, or delete this one first"
        raise DataError(f"{root}: exists already; {advice}")
    partial = root.with_name(f".{root.name}.{os.getpid()}.partial")
    try:
        for folder in (TRAIN, QUERY, GALLERY):
            (partial / folder).mkdir(parents=True)
        _write(partial, _shots(identities, images_per_camera, seed), identities, seed, progress)
        partial.rename(root)
    except OSError as error:
        why = f"cannot be written ({error.strerror})"
        raise DataError(f"{root}: {why}; name a folder you may write to") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return root


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(f"{name}: got {value!r}; expected a whole number from {low} to {high}")


def _shots(identities: int, images_per_camera: int, seed: int) -> list[_Shot]:
    shots = []
    people = identities + max(2, -(-identities // _TRAIN_PER_TEST))
    for pid in range(1, people + 1):
        for camera in _route(pid, seed):
            for index in range(images_per_camera):
                test = QUERY if index == 0 else GALLERY
                shots.append(_Shot(TRAIN if pid <= identities else test, pid, pid, camera, index))
    extras = max(1, sum(shot.folder == GALLERY for shot in shots) // 4)
    return shots + list(_extras(extras, identities, people))


def _route(pid: int, seed: int) -> list[int]:
    """The cameras that see a person."""
    rng = np.random.default_rng((seed, _ROUTE, pid))
    count = int(rng.integers(_FEWEST_CAMERAS, len(CAMERAS) + 1))
    return sorted(int(camera) for camera in rng.choice(len(CAMERAS), count, replace=False))


def _extras(count: int, identities: int, people: int) -> Iterator[_Shot]:
    """Distractors (empty boxes and strangers in turn) and junk (test people in bad boxes)."""
    for index in range(count):
        camera = index % len(CAMERAS)
        stranger = people + 1 + index if index % 2 else None
        yield _Shot(GALLERY, 0, stranger, camera, index)
        known = identities + 1 + index % (people - identities)
        yield _Shot(GALLERY, -1, known, camera, index, _BAD_BOX)


def _write(
    root: Path, shots: list[_Shot], identities: int, seed: int, progress: ProgressCallback | None
) -> None:
    crowd = draw_people(max(shot.person or 0 for shot in shots), seed)
    cameras = [
        Camera(optics, np.random.default_rng((seed, _SCENE, number))) for number, optics in enumerate(CAMERAS)
    ]
    for done, shot in enumerate(shots, start=1):
        rng = np.random.default_rng((seed, _PICTURE, shot.pid + 1, shot.camera, shot.index))
        camera = cameras[shot.camera]
        people = [] if shot.person is None else [crowd[shot.person - 1]]
        if people and rng.random() < _PASSER_BY:
            people.append(crowd[rng.integers(len(crowd))])
        picture = camera.photograph(people, rng, shot.jitter)
        picture.save(root / shot.folder / shot.name, quality=camera.optics.quality)
        if progress is not None:
            progress(done, len(shots))
