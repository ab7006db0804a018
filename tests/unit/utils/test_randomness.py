from __future__ import annotations

import itertools
from typing import get_args

import pytest
import torch

from sa_study.utils.randomness import Purpose, derived_seed, generator

PURPOSES: tuple[Purpose, ...] = get_args(Purpose)


@pytest.mark.parametrize(
    ("seed", "purpose", "epoch", "expected"),
    [
        (0, "order", 0, 1007346254),
        (0, "order", 1, 1370097528),
        (12345678901234567890, "search", 7, 3988997947),
    ],
)
def test_seeds_never_change(seed: int, purpose: Purpose, epoch: int, expected: int) -> None:
    assert derived_seed(seed, purpose, epoch) == expected


def test_every_seed_purpose_and_epoch_has_its_own_stream() -> None:
    seeds = [derived_seed(*key) for key in itertools.product(range(10), PURPOSES, range(100))]
    assert len(set(seeds)) == len(seeds)


def test_seeds_fit_generators_that_take_32_bits() -> None:
    seeds = [derived_seed(seed, "search") for seed in range(1000)]
    assert min(seeds) >= 0
    assert 2**31 < max(seeds) < 2**32


def test_generators_repeat_and_differ_by_epoch() -> None:
    def draw(epoch: int) -> torch.Tensor:
        return torch.rand(5, generator=generator(1, "augmentation", epoch))

    assert torch.equal(draw(2), draw(2))
    assert not torch.equal(draw(2), draw(3))


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    torch.rand(9, generator=generator(1, "order"))
    assert torch.equal(torch.rand(3), expected)
