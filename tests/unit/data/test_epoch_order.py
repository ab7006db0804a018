"""The order of the images in an epoch, with several of each identity in a batch too."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from sa_study.data.batches import epoch_order
from sa_study.settings.run import Settings

LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(10), np.arange(1, 11)))
"""55 images of 10 identities, which have 1 to 10 images."""


def batches(labels: np.ndarray[Any, np.dtype[np.int64]] = LABELS, epoch: int = 0, **changes: Any) -> Any:
    settings = Settings(**{"batch_size": 12, "images_per_identity": 3, **changes})
    return epoch_order(labels, settings, epoch).reshape(-1, settings.batch_size)


def test_a_batch_has_so_many_images_of_each_of_its_identities() -> None:
    for batch in batches():
        labels = LABELS[batch]
        assert (labels.reshape(4, 3) == labels[::3, None]).all() and len(set(labels)) == 4
        for identity in set(labels):
            assert len(set(batch[labels == identity])) == min(3, np.count_nonzero(identity == LABELS))


@pytest.mark.parametrize("images_per_identity", [0, 1, 3, 4, 12])
def test_an_epoch_has_as_many_batches_in_any_order(images_per_identity: int) -> None:
    assert batches(images_per_identity=images_per_identity).shape == (4, 12)


def test_every_identity_comes_before_any_comes_again() -> None:
    order = batches(np.repeat(np.arange(8), 18))
    rounds = (order // 18)[:, ::3].reshape(-1, 8)
    assert all(len(set(one)) == 8 for one in rounds) and len(rounds) == 6


def test_every_image_of_an_identity_comes_before_any_comes_again() -> None:
    counts = Counter(batches(np.repeat(np.arange(8), 6), images_per_identity=3).flatten().tolist())
    assert set(counts.values()) == {1} and len(counts) == 48


def test_a_batch_that_is_no_multiple_has_fewer_of_its_last_identity() -> None:
    for batch in batches(batch_size=11, images_per_identity=4):
        assert Counter(LABELS[batch].tolist()).most_common()[-1] == (LABELS[batch[-1]], 3)
        assert sorted(Counter(LABELS[batch].tolist()).values()) == [3, 4, 4]


def test_few_identities_come_again_within_a_batch() -> None:
    order = batches(np.repeat(np.arange(2), 12), batch_size=12, images_per_identity=2)
    assert [Counter(batch // 12) for batch in order] == [{0: 6, 1: 6}] * 2


def test_epochs_repeat_by_seed_and_number_and_differ_otherwise() -> None:
    first = batches(epoch=2, seed=5)
    assert np.array_equal(first, batches(epoch=2, seed=5))
    assert not np.array_equal(first, batches(epoch=3, seed=5))
    assert not np.array_equal(first, batches(epoch=2, seed=6))


def test_without_it_each_image_comes_once() -> None:
    order = batches(images_per_identity=0).flatten()
    assert len(set(order)) == len(order) == 48
