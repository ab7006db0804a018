from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sa_study.data.check import SplitReport, check_dataset

MakeMarket = Callable[..., Path]
DrawImage = Callable[..., Path]


def test_counts_of_a_sound_data_set(make_market: MakeMarket) -> None:
    root = make_market(train_ids=range(10, 15), test_ids=[1, 2], cameras=3, images=2)
    (root / "query" / "Thumbs.db").touch()
    progress: list[tuple[int, int]] = []
    report = check_dataset(root.parent, lambda done, total: progress.append((done, total)))
    assert report.root == root
    assert report.splits == {
        "train": SplitReport(30, ids=5, cameras=3, distractors=0, junk=0, stray=0, single_camera_ids=0),
        "query": SplitReport(6, ids=2, cameras=3, distractors=0, junk=0, stray=1, single_camera_ids=0),
        "gallery": SplitReport(7, ids=2, cameras=3, distractors=1, junk=1, stray=0, single_camera_ids=0),
    }
    assert report.total == SplitReport(
        43, ids=7, cameras=3, distractors=1, junk=1, stray=1, single_camera_ids=0
    )
    assert report.sizes == {(64, 32): 43}
    assert report.ok
    assert (report.unreadable, report.overlap, report.queries_without_match) == ((), (), ())
    assert (report.errors, report.warnings) == ((), ())
    assert progress[-1] == (43, 43)


def test_unreadable_images_are_all_found(make_market: MakeMarket) -> None:
    root = make_market()
    train, query = sorted((root / "bounding_box_train").iterdir()), sorted((root / "query").iterdir())
    train[3].write_bytes(train[3].read_bytes()[:-100])
    query[0].write_bytes(b"")
    report = check_dataset(root)
    assert report.unreadable == (train[3], query[0])
    assert not report.ok
    assert report.errors[0].startswith(f"2 unreadable images: {train[3]}: not a readable image (")
    assert sum(report.sizes.values()) == report.total.images - 2


def test_overlap_of_train_and_test(make_market: MakeMarket) -> None:
    report = check_dataset(make_market(train_ids=[1, 2, 3], test_ids=[2, 3, 4]))
    assert report.overlap == (2, 3)
    assert report.errors == (
        "2 identities are in both the training and the test folders (2, 3); keep one side",
    )


def test_queries_that_only_their_own_camera_or_nobody_matches(
    make_market: MakeMarket, draw_image: DrawImage
) -> None:
    root = make_market(test_ids=[1, 2])
    same_camera = draw_image(root / "query" / "0003_c1s1_000000_01.jpg")
    draw_image(root / "bounding_box_test" / "0003_c1s1_000001_01.jpg")
    nobody = draw_image(root / "query" / "0004_c1s1_000000_01.jpg")
    report = check_dataset(root)
    assert report.queries_without_match == (same_camera, nobody)
    assert report.ok
    assert report.warnings[0].startswith("2 queries have no match from another camera: 0003_c1s1")
    assert report.splits["gallery"].single_camera_ids == 1


def test_no_query_with_a_match_is_an_error(make_market: MakeMarket) -> None:
    report = check_dataset(make_market(cameras=1))
    assert len(report.queries_without_match) == 2
    assert report.errors == (
        "no query has a match from another camera in the gallery; rankings cannot be scored",
    )
    assert report.warnings[0].startswith("10 of 10 training identities are seen by one camera only")


@pytest.mark.parametrize(("cameras", "expected"), [(1, 3), (2, 0)])
def test_identities_seen_by_one_camera(make_market: MakeMarket, cameras: int, expected: int) -> None:
    report = check_dataset(make_market(train_ids=[5, 6, 7], cameras=cameras))
    assert report.splits["train"].single_camera_ids == expected


def test_distractors_never_match(make_market: MakeMarket, draw_image: DrawImage) -> None:
    root = make_market()
    query = draw_image(root / "query" / "0000_c2s1_000000_01.jpg")
    report = check_dataset(root)
    assert report.queries_without_match == (query,)
    assert report.warnings[0].endswith("query: 1 images with id 0, which means a distractor")


def test_misnamed_images_and_mixed_sizes_are_warnings(make_market: MakeMarket, draw_image: DrawImage) -> None:
    root = make_market()
    draw_image(root / "query" / "person.jpg")
    draw_image(root / "query" / "0001_c1s1_000009_01.png", (20, 10))
    report = check_dataset(root)
    assert report.ok
    assert list(report.sizes.items()) == [((64, 32), 49), ((20, 10), 1)]
    assert "1 images left out for their names: person.jpg" in report.warnings[0]
    assert report.warnings[1] == "images come in 2 sizes; they are brought to one when decoded"


def test_faults_are_collected(make_market: MakeMarket) -> None:
    root = make_market(train_ids=[1], test_ids=[1])
    (root / "bounding_box_test").rename(root / "gallery")
    for path in (root / "query").iterdir():
        path.rename(root / "query" / f"{path.stem}.bmp")
    report = check_dataset(root)
    assert report.splits["train"].images == 4
    assert [line.split(": ")[1][:9] for line in report.errors] == ["no image ", "no folder"]
