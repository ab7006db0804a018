"""Crops, colours and erased boxes: what Pillow and torchvision call so, and independent of each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from sa_study.data.augmentation import apply_changes, crop, draw_augmentation, jitter
from sa_study.settings.run import Settings

CPU = torch.device("cpu")
PIXELS = torch.randint(256, (6, 20, 10, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def settings(**changes: Any) -> Settings:
    return Settings(parts=1, height=32, width=16, batch_size=4, **changes)


@pytest.mark.parametrize(
    ("factors", "enhance"),
    [
        ((0.6, 1.0, 1.0), ImageEnhance.Brightness),
        ((1.4, 1.0, 1.0), ImageEnhance.Brightness),
        ((1.0, 0.6, 1.0), ImageEnhance.Contrast),
        ((1.0, 1.4, 1.0), ImageEnhance.Contrast),
        ((1.0, 1.0, 0.6), ImageEnhance.Color),
        ((1.0, 1.0, 1.4), ImageEnhance.Color),
    ],
)
def test_colours_change_as_pillows(factors: tuple[float, float, float], enhance: Any) -> None:
    changed = jitter(PIXELS, torch.tensor([factors] * len(PIXELS)))
    for found, pixels in zip(changed, PIXELS, strict=True):
        factor = next(factor for factor in factors if factor != 1)
        expected = np.asarray(enhance(Image.fromarray(pixels.numpy())).enhance(factor))
        assert np.abs(found.numpy().astype(int) - expected).max() <= 1


def test_colours_change_in_the_order_that_is_documented() -> None:
    """Within the bytes that torchvision rounds after each change."""
    factors = torch.tensor([[0.8, 1.3, 0.7], [1.3, 0.8, 1.2], [1.1, 1.1, 1.1]])
    for found, pixels, factor in zip(jitter(PIXELS[:3], factors), PIXELS, factors.tolist(), strict=False):
        image = functional.adjust_brightness(pixels.permute(2, 0, 1), factor[0])
        image = functional.adjust_saturation(functional.adjust_contrast(image, factor[1]), factor[2])
        assert (found.int() - image.permute(1, 2, 0).int()).abs().max() <= 3


def test_colours_stay_where_factors_are_1() -> None:
    assert torch.equal(jitter(PIXELS, torch.ones(6, 3)), PIXELS)


def test_a_crop_is_pillows_border_and_crop() -> None:
    places = torch.tensor([[0, 0], [3, 3], [6, 6], [0, 6], [5, 2], [1, 4]])
    pieces = crop(PIXELS.permute(0, 3, 1, 2), places, 3)
    for piece, pixels, (top, left) in zip(pieces, PIXELS, places.tolist(), strict=True):
        bordered = ImageOps.expand(Image.fromarray(pixels.numpy()), 3)
        expected = np.asarray(bordered.crop((left, top, left + 10, top + 20)))
        assert np.array_equal(piece.permute(1, 2, 0).numpy(), expected)


def test_crops_reach_every_place_as_torchvisions() -> None:
    random = draw_augmentation(settings(random_crop_padding=2), 4000, 4000, 0, CPU).resized[0].drawn
    image = torch.arange(1, 65, dtype=torch.uint8).view(1, 8, 8).expand(3, 8, 8)
    ours = {tuple(piece.flatten().tolist()) for piece in crop(image.expand(4000, 3, 8, 8), random, 2)}
    torch.manual_seed(0)
    theirs = {tuple(v2.RandomCrop(8, padding=2)(image).flatten().tolist()) for _ in range(600)}
    assert ours == theirs and len(ours) == 25
    counts = torch.bincount(random[:, 0] * 5 + random[:, 1])
    assert counts.min() > 100, "all places are as likely"


def test_strength_bounds_the_factors() -> None:
    factors = draw_augmentation(settings(color_jitter=0.2), 3000, 3000, 0, CPU).stored[1].drawn
    assert (factors.min(0).values - 0.8).abs().max() < 0.01 and (
        factors.max(0).values - 1.2
    ).abs().max() < 0.01
    assert torch.corrcoef(factors.T).fill_diagonal_(0).abs().max() < 0.1, "each is drawn by itself"


def test_boxes_can_hold_the_mean_colour() -> None:
    images = torch.randn(40, 3, 32, 16)
    normalised: list[Tensor] = []
    for fill in ("noise", "mean"):
        drawn = draw_augmentation(settings(random_erasing=0.5, random_erasing_fill=fill), 40, 40, 0, CPU)
        normalised.append(apply_changes(drawn.normalised, images, slice(0, 40)))
    noise, mean = normalised
    assert torch.equal(noise != images, (mean != images)), "the same boxes"
    assert (mean[mean != images] == 0).all() and 0.02 < (mean != images).float().mean() < 0.12


def test_no_kind_shifts_what_another_draws() -> None:
    alone = draw_augmentation(settings(random_erasing=1.0), 9, 8, 3, CPU)
    drawn = draw_augmentation(
        settings(random_erasing=1.0, random_crop_padding=4, color_jitter=0.1), 9, 8, 3, CPU
    )
    assert torch.equal(alone.stored[0].drawn, drawn.stored[0].drawn)
    assert torch.equal(alone.normalised[0].drawn, drawn.normalised[0].drawn)
    assert {len(change.drawn) for change in (*drawn.stored, *drawn.resized, *drawn.normalised)} == {8}
