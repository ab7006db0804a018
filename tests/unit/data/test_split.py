from __future__ import annotations

import random
from pathlib import Path

import pytest
from refusals import refusal

from sa_study.data.records import ImageRecord
from sa_study.data.split import ValidationSplit, limit_identities, validation_split
from sa_study.utils.errors import DataError


def people(pids: range, cameras: int = 3, images: int = 2) -> list[ImageRecord]:
    return [
        ImageRecord(Path(f"/data/{pid:04}_c{camera + 1}s1_{number:06}_01.jpg"), pid, camera)
        for pid in pids
        for camera in range(cameras)
        for number in range(images)
    ]


def chosen(records: list[ImageRecord], split: ValidationSplit) -> list[list[str]]:
    return [[records[i].path.name for i in part] for part in (split.train, split.query, split.gallery)]


@pytest.mark.parametrize(
    ("total", "wanted", "held_out"), [(751, 100, 100), (50, 100, 10), (50, 3, 3), (9, 100, 1), (5, 1, 1)]
)
def test_how_many_are_held_out(total: int, wanted: int, held_out: int) -> None:
    records = people(range(1, total + 1))
    split = validation_split(records, wanted)
    assert len({records[i].pid for i in split.query}) == held_out
    assert len({records[i].pid for i in split.train}) == total - held_out


def test_every_image_is_in_one_part_and_identities_are_disjoint() -> None:
    records = people(range(1, 41))
    split = validation_split(records, 7)
    assert sorted([*split.train, *split.query, *split.gallery]) == list(range(len(records)))
    held_out = {records[i].pid for i in [*split.query, *split.gallery]}
    assert held_out.isdisjoint(records[i].pid for i in split.train)
    assert {part.dtype.name for part in (split.train, split.query, split.gallery)} == {"int64"}


def test_one_query_per_identity_and_camera() -> None:
    records = people(range(1, 41), cameras=4, images=3)
    split = validation_split(records, 7)
    queries = [(records[i].pid, records[i].camid) for i in split.query]
    assert len(queries) == len(set(queries)) == 7 * 4
    assert len(split.gallery) == 7 * 4 * 2


def test_the_query_is_drawn() -> None:
    records = people(range(1, 101), images=4)
    split = validation_split(records, 20)
    assert {records[i].path.name[-13:-7] for i in split.query} == {f"{number:06}" for number in range(4)}


def test_seeded() -> None:
    records = people(range(1, 101))
    one, again, other = (chosen(records, validation_split(records, 20, seed)) for seed in (1, 1, 2))
    assert one == again != other


@pytest.mark.parametrize("identities", [0, 10])
def test_the_order_of_the_records_plays_no_part(identities: int) -> None:
    records = people(range(1, 61))
    shuffled = random.Random(0).sample(records, len(records))
    expected = chosen(records, validation_split(records, identities))
    assert chosen(shuffled, validation_split(shuffled, identities)) == expected


def test_identities_of_one_camera_are_never_held_out() -> None:
    records = people(range(1, 31), cameras=1) + people(range(31, 41), cameras=2)
    split = validation_split(records, 100)
    assert {records[i].pid for i in split.query} <= set(range(31, 41))
    assert len({records[i].pid for i in split.query}) == 8


def test_none_held_out() -> None:
    split = validation_split(people(range(1, 4)), 0)
    assert split.train.tolist() == list(range(18))
    assert (split.query.shape, split.gallery.shape) == ((0,), (0,))


def test_too_few_identities() -> None:
    with pytest.raises(DataError, match=r"4 training identities are too few .* at least 5 are needed"):
        validation_split(people(range(1, 5)), 1)


@pytest.mark.parametrize(("cameras", "images"), [(1, 5), (2, 1)])
def test_a_camera_layout_without_a_match(cameras: int, images: int) -> None:
    with pytest.raises(DataError, match="no query has a match from another camera"):
        validation_split(people(range(1, 31), cameras=cameras, images=images), 5)


def test_limited_identities_are_drawn_and_keep_their_order() -> None:
    records = people(range(1, 101))
    some = limit_identities(records, 10, 0)
    assert len({record.pid for record in some}) == 10
    assert len(some) == 60
    assert list(some) == [record for record in records if record in some]
    assert some == limit_identities(records, 10, 0)
    assert some != limit_identities(records, 10, 1)
    assert set(some) < set(limit_identities(records, 11, 0))


@pytest.mark.parametrize("limit", [0, 3, 100])
def test_a_limit_that_does_not_bind(limit: int) -> None:
    records = people(range(1, 4))
    assert limit_identities(records, limit, 0) == tuple(records)


def held_out(records: list[ImageRecord], split: ValidationSplit) -> set[int]:
    return {records[i].pid for i in [*split.query, *split.gallery]}


@pytest.mark.parametrize("seed", [0, 7])
def test_folds_hold_out_different_people_and_together_all_of_them(seed: int) -> None:
    records = people(range(1, 51))
    folds = [validation_split(records, 100, seed, fold) for fold in range(5)]
    people_of = [held_out(records, fold) for fold in folds]
    assert [len(pids) for pids in people_of] == [10] * 5
    assert set.union(*people_of) == set(range(1, 51))
    for fold, pids in zip(folds, people_of, strict=True):
        assert pids == set(range(1, 51)) - {records[i].pid for i in fold.train}


def test_fold_0_is_the_split_without_folds() -> None:
    records = people(range(1, 51))
    expected = chosen(records, validation_split(records, 7, 3))
    assert chosen(records, validation_split(records, 7, 3, 0)) == expected


def test_a_fold_follows_from_its_seed_and_number_alone() -> None:
    records = people(range(1, 101))
    shuffled = random.Random(0).sample(records, len(records))
    expected = chosen(records, validation_split(records, 20, 1, 3))
    assert chosen(shuffled, validation_split(shuffled, 20, 1, 3)) == expected
    assert chosen(records, validation_split(records, 20, 2, 3)) != expected


@pytest.mark.parametrize(("candidates", "folds"), [(17, 2), (16, 2), (15, 1), (5, 1)])
def test_a_fold_beyond_the_candidates(candidates: int, folds: int) -> None:
    records = people(range(1, 41 - candidates), cameras=1) + people(range(41 - candidates, 41))
    for fold in range(folds):
        assert held_out(records, validation_split(records, 8, 0, fold)) <= set(range(41 - candidates, 41))
    assert refusal(DataError, validation_split, records, 8, 0, folds) == (
        f"fold: {folds}, but {candidates} identities are seen by two or more cameras, which makes {folds} "
        f"folds of 8; give a fold below {folds}, or fewer val_identities"
    )
