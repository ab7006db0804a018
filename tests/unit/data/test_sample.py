from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sa_study.data.check import check_dataset
from sa_study.data.dataset import ReidDataset
from sa_study.data.sample import make_sample_data
from sa_study.data.sample.body import Pose, draw_figure
from sa_study.data.sample.cameras import CAMERAS, Camera
from sa_study.data.sample.people import OUTFITS, Person, draw_people
from sa_study.utils.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample_data(tmp_path_factory.mktemp("sample") / "data", identities=6, seed=3)


def contents(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_checker_finds_nothing_wrong(sample: Path) -> None:
    report = check_dataset(sample)
    assert not any((report.errors, report.unreadable, report.overlap, report.queries_without_match))
    assert report.sizes == {(128, 64): report.total.images}


def test_layout_is_that_of_market1501(sample: Path) -> None:
    dataset = ReidDataset(sample)
    train, query = {r.pid for r in dataset.train}, {r.pid for r in dataset.query}
    gallery = Counter(record.pid for record in dataset.gallery)
    assert train == set(range(1, 7))
    assert query == {7, 8} == set(gallery) - {0}
    assert gallery[0] == dataset.folders["gallery"].junk > 0
    assert {record.camid for record in dataset.train} == set(range(6))


def test_each_camera_that_sees_a_test_person_gives_one_query_and_the_rest_of_the_gallery(
    tmp_path: Path,
) -> None:
    dataset = ReidDataset(make_sample_data(tmp_path / "data", identities=2, images_per_camera=3))
    queries = Counter((record.pid, record.camid) for record in dataset.query)
    gallery = Counter((record.pid, record.camid) for record in dataset.gallery if record.pid)
    assert set(queries.values()) == {1}
    assert gallery == {key: 2 for key in queries}
    assert set(Counter((record.pid, record.camid) for record in dataset.train).values()) == {3}
    cameras = defaultdict(set)
    for record in dataset.train + dataset.query:
        cameras[record.pid].add(record.camid)
    assert all(4 <= len(seen) <= 6 for seen in cameras.values())


def test_pictures_are_jpegs_of_64_by_128_pixels_and_all_differ(sample: Path) -> None:
    digests = contents(sample)
    for name in digests:
        with Image.open(sample / name) as image:
            assert (image.format, image.size, image.mode) == ("JPEG", (64, 128), "RGB")
    assert len(set(digests.values())) == len(digests)


def test_same_arguments_and_seed_give_the_same_bytes(sample: Path, tmp_path: Path) -> None:
    assert contents(make_sample_data(tmp_path / "again", identities=6, seed=3)) == contents(sample)


def test_another_seed_gives_other_pictures(sample: Path, tmp_path: Path) -> None:
    other = contents(make_sample_data(tmp_path / "other", identities=6, seed=4))
    assert set(other.values()).isdisjoint(contents(sample).values())


def test_progress_counts_every_picture(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    root = make_sample_data(tmp_path / "data", identities=2, progress=lambda *step: steps.append(step))
    total = len(contents(root))
    assert steps == [(done, total) for done in range(1, total + 1)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"identities": 1}, "identities: got 1; expected a whole number from 2 to 5000"),
        ({"identities": 5001}, "identities: got 5001"),
        ({"identities": 2.5}, "identities: got 2.5"),
        ({"identities": True}, "identities: got True"),
        ({"images_per_camera": 1}, "images_per_camera: got 1; expected a whole number from 2 to 20"),
        ({"seed": -1}, "seed: got -1"),
        ({"seed": 2**31}, "seed: got 2147483648"),
    ],
)
def test_arguments_out_of_range_write_nothing(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_sample_data(tmp_path / "data", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match="data: exists already; name a folder that does not exist"):
        make_sample_data(tmp_path / "data", identities=2)
    assert contents(tmp_path) == {"data/mine.txt": hashlib.sha256(b"keep").hexdigest()}


def test_a_folder_below_a_file_is_an_error_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written") as caught:
        make_sample_data(tmp_path / "file" / "data", identities=2)
    assert "\n" not in str(caught.value)


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int, _total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_sample_data(tmp_path / "data", identities=2, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_people_are_distinct_share_outfits_and_do_not_depend_on_the_crowd() -> None:
    people = draw_people(80, seed=0)
    outfits = Counter((person.top, person.accent, person.bottom) for person in people)
    assert len({cues(person) for person in people}) == 80
    assert len(outfits) == len(OUTFITS) and min(outfits.values()) >= 2
    assert draw_people(20, seed=0) == people[:20]


def cues(person: Person) -> tuple[object, ...]:
    return tuple(value for name, value in vars(person).items() if name not in ("stature", "build"))


def opaque(person: Person, **pose: float) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    figure = draw_figure(person, Pose(**{"yaw": 0.0, "phase": 1.0} | pose))
    return np.asarray(figure.getchannel("A")) > 128


@pytest.mark.parametrize("number", range(6))
def test_a_figure_stands_where_the_pose_puts_it(number: int) -> None:
    person = draw_people(6, seed=1)[number]
    rows, columns = np.nonzero(opaque(person, centre=30.0, sole=118.0, crown=10.0))
    assert 112 <= rows.max() <= 121
    assert abs(rows.min() - (118 - 108 * person.stature)) < 6
    assert abs(columns.mean() - 30) < 4


def test_a_person_is_narrower_from_the_side_and_shows_the_face_from_the_front_only() -> None:
    person = draw_people(1, seed=0)[0]
    front, side = (opaque(person, yaw=yaw, phase=0.0)[30:50].sum() for yaw in (0.0, math.pi / 2))
    assert side < 0.8 * front
    head = [np.asarray(draw_figure(person, Pose(yaw, 0.0)).convert("RGB"))[10:24] for yaw in (0.0, math.pi)]
    assert np.abs(head[0].astype(int) - head[1]).max() > 60


def test_every_camera_colours_the_same_person_in_its_own_way() -> None:
    person = draw_people(1, seed=0)[0]
    means = []
    for optics in CAMERAS:
        camera = Camera(optics, np.random.default_rng(0))
        shots = [camera.photograph([person], np.random.default_rng(n)) for n in range(8)]
        means.append(np.mean([np.asarray(shot, float).mean((0, 1)) for shot in shots], axis=0))
    gaps = [np.abs(a - b).max() for i, a in enumerate(means) for b in means[:i]]
    assert min(gaps) > 4
