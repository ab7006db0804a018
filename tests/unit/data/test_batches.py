from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from scipy.stats import ks_2samp
from torch import Tensor

from sa_study.data.augmentation import erasing_boxes
from sa_study.data.batches import MEAN, STD, evaluation_batches, resize, training_batches
from sa_study.data.device_images import DeviceImages
from sa_study.data.store import ImageStore, TrainingData
from sa_study.settings.run import Settings

CPU = torch.device("cpu")
SIZE: dict[str, Any] = {"height": 64, "width": 32}


def make_store(count: int, height: int = 64, width: int = 32) -> ImageStore:
    """Blocks of colour, read-only as they come out of Ray's object store."""
    blocks = np.random.default_rng(0).integers(0, 256, (count, 8, 4, 3), dtype=np.uint8)
    images = blocks.repeat(height // 8, 1).repeat(width // 4, 2)
    images.flags.writeable = False
    return ImageStore(images, np.arange(count), np.zeros(count, np.int64), "")


def make_data(count: int, **size: int) -> TrainingData:
    nothing = np.empty(0, np.int64)
    return TrainingData(
        make_store(count + 3, **size), np.arange(3, count + 3), np.arange(count), nothing, nothing, count
    )


def on_cpu(store: ImageStore) -> DeviceImages:
    return DeviceImages(store.images, CPU)


def settings(**changes: Any) -> Settings:
    return Settings(**{"parts": 1, "batch_size": 4, "flip": 0.0, **SIZE, **changes})


def epoch_of(data: TrainingData, epoch: int = 0, **changes: Any) -> tuple[Tensor, Tensor]:
    """All of an epoch's images and labels."""
    batches = training_batches(data, on_cpu(data.store), settings(**changes), epoch)
    images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


def pixels(images: Tensor) -> Tensor:
    """Undoes the normalisation: N×H×W×3, 0 to 1."""
    return images.permute(0, 2, 3, 1) * torch.tensor(STD) + torch.tensor(MEAN)


def stored(store: ImageStore, index: Tensor) -> Tensor:
    return torch.from_numpy(store.images[index.numpy()]) / 255


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("size", [(384, 128), (128, 64), (64, 32), (33, 47), (200, 20)])
def test_resizing_is_pillows(size: tuple[int, int], dtype: torch.dtype) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (128, 64, 3), dtype=np.uint8)
    expected = np.array(Image.fromarray(noise).resize((size[1], size[0]), Image.Resampling.BILINEAR))
    resized = resize(torch.from_numpy(noise).permute(2, 0, 1)[None].to(dtype), *size)
    assert resized.dtype == dtype
    difference = resized[0].permute(1, 2, 0).float() - torch.from_numpy(expected).float()
    assert difference.abs().max() <= 1


def test_evaluation_batches_are_normalised_images_in_order() -> None:
    store = make_store(11)
    index = np.array([9, 2, 2, 10, 0])
    batches = list(evaluation_batches(on_cpu(store), index, batch_size=2, **SIZE))
    assert [tuple(batch.shape) for batch in batches] == [(2, 3, 64, 32), (2, 3, 64, 32), (1, 3, 64, 32)]
    assert all(batch.dtype == torch.float32 for batch in batches)
    torch.testing.assert_close(pixels(torch.cat(batches)), stored(store, torch.from_numpy(index)))


def test_no_images_to_evaluate() -> None:
    nothing = np.empty(0, np.int64)
    assert list(evaluation_batches(on_cpu(make_store(1)), nothing, batch_size=2, **SIZE)) == []


def test_training_batches_pair_images_with_their_labels() -> None:
    data = make_data(12)
    images, labels = epoch_of(data)
    assert sorted(labels.tolist()) == list(range(12))
    assert labels.tolist() != list(range(12))
    torch.testing.assert_close(pixels(images), stored(data.store, labels + 3))


@pytest.mark.parametrize("size", [(384, 128), (128, 64), (64, 32)])
def test_batches_are_what_pillow_and_numpy_make_of_the_same_images(size: tuple[int, int]) -> None:
    """Within 1/255, the rounding of Pillow's bytes."""
    height, width = size
    noise = np.random.default_rng(2).integers(0, 256, (12, 128, 64, 3), dtype=np.uint8)
    data = dataclasses.replace(
        make_data(9), store=ImageStore(noise, np.arange(12), np.zeros(12, np.int64), "")
    )
    images, labels = epoch_of(data, batch_size=3, flip=0.5, height=height, width=width)
    seen = set()
    for image, label in zip(pixels(images), labels, strict=True):
        picture = Image.fromarray(noise[label + 3]).resize((width, height), Image.Resampling.BILINEAR)
        both = [picture, ImageOps.mirror(picture)]
        differences = [(image - torch.from_numpy(np.array(one)) / 255).abs().max().item() for one in both]
        assert min(differences) <= 1 / 255 + 1e-6
        seen.add(differences[0] < differences[1])
    assert seen == {True, False}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("resident", [True, False])
def test_a_gpu_makes_the_same_choices(resident: bool) -> None:
    data = make_data(40)
    augmented = settings(batch_size=8, flip=0.5, random_erasing=0.5, random_crop_padding=5, color_jitter=0.3)
    there = DeviceImages(data.store.images, torch.device("cuda"), resident=resident)
    pairs = zip(
        training_batches(data, there, augmented, 2),
        training_batches(data, on_cpu(data.store), augmented, 2),
        strict=True,
    )
    for (images, labels), (expected, wanted) in pairs:
        assert torch.equal(labels.cpu(), wanted)
        torch.testing.assert_close(images.cpu(), expected, rtol=0, atol=1.01 / 255 / min(STD))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"random_erasing": 1.0},
        {"random_erasing": 1.0, "random_erasing_fill": "mean"},
        {"random_crop_padding": 5, "color_jitter": 0.2},
    ],
    ids=["plain", "erased", "erased to the mean", "cropped"],
)
def test_batches_have_the_type_and_layout_that_networks_take(changes: dict[str, Any]) -> None:
    data = make_data(4)
    images, labels = epoch_of(data, height=96, width=48, **changes)
    assert (images.shape, images.dtype, labels.dtype) == ((4, 3, 96, 48), torch.float32, torch.int64)
    assert images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("count", "batches"), [(4, 1), (7, 1), (8, 2), (11, 2)])
def test_the_last_incomplete_batch_is_dropped(count: int, batches: int) -> None:
    images, _ = epoch_of(make_data(count))
    assert len(images) == batches * 4


@pytest.mark.parametrize(
    "settings",
    [{"flip": 0.5}, {"random_erasing": 0.5}, {}, {"random_crop_padding": 9}, {"color_jitter": 0.2}],
)
def test_epochs_repeat_by_seed_and_number_and_differ_otherwise(settings: dict[str, Any]) -> None:
    data = make_data(40)
    images, labels = epoch_of(data, epoch=3, seed=5, **settings)
    again, labels_again = epoch_of(data, epoch=3, seed=5, **settings)
    assert torch.equal(images, again)
    assert torch.equal(labels, labels_again)
    for other in ({"epoch": 4, "seed": 5}, {"epoch": 3, "seed": 6}):
        assert not torch.equal(images, epoch_of(data, **other, **settings)[0])


def mirrored(data: TrainingData, **settings: Any) -> Tensor:
    images, labels = epoch_of(data, **settings)
    plain = stored(data.store, labels + 3)
    is_plain = torch.isclose(pixels(images), plain, atol=1e-4).flatten(1).all(1)
    is_mirrored = torch.isclose(pixels(images), plain.flip(2), atol=1e-4).flatten(1).all(1)
    assert torch.equal(is_plain, ~is_mirrored)
    return is_mirrored


@pytest.mark.parametrize(("flip", "low", "high"), [(0.0, 0, 0), (0.5, 0.4, 0.6), (1.0, 1, 1)])
def test_flip_is_a_probability(flip: float, low: float, high: float) -> None:
    share = mirrored(make_data(400), flip=flip).float().mean()
    assert low <= share <= high


def test_flips_do_not_depend_on_erasing_nor_the_order_on_either() -> None:
    data = make_data(40)
    plain, labels = epoch_of(data, flip=0.5)
    erased, labels_erased = epoch_of(data, flip=0.5, random_erasing=1.0)
    assert torch.equal(labels, labels_erased)
    assert ((plain == erased).float().mean((1, 2, 3)) > 0.7).all()


def test_other_epochs_flip_other_images() -> None:
    data = make_data(40)
    first, second = (mirrored(data, flip=0.5, epoch=epoch) for epoch in (0, 1))
    assert not torch.equal(first, second)


def test_other_epochs_draw_other_noise() -> None:
    data = make_data(8)
    noise = []
    for epoch in (0, 1):
        plain, erased = (epoch_of(data, epoch=epoch, random_erasing=share)[0] for share in (0.0, 1.0))
        noise.append(erased[plain != erased].numpy())
    assert np.isin(noise[1], noise[0]).mean() < 0.1


def test_erased_boxes_hold_standard_normal_noise_after_normalisation() -> None:
    data = make_data(200)
    plain, _ = epoch_of(data)
    erased, _ = epoch_of(data, random_erasing=0.5)
    changed = plain != erased
    assert 0.4 < changed.flatten(1).any(1).float().mean() < 0.6
    noise = erased[changed]
    assert noise.mean().abs() < 0.02
    assert abs(noise.std() - 1) < 0.02
    for mask in changed[changed.flatten(1).any(1)]:
        rows, columns = mask.any(0).any(1).nonzero(), mask.any(0).any(0).nonzero()
        assert mask[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].all()


def boxes_one_by_one(count: int, height: int, width: int, seed: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The published way: one image after the other, up to 100 attempts each, in NumPy."""
    rng = np.random.default_rng(seed)
    boxes = np.zeros((count, 4))
    for box in boxes:
        for _ in range(100):
            area, aspect = height * width * rng.uniform(0.02, 0.2), rng.uniform(0.3, 1 / 0.3)
            tall, wide = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
            if tall < height and wide < width:
                top, left = rng.integers(height - tall + 1), rng.integers(width - wide + 1)
                box[:] = top, left, top + tall, left + wide
                break
    return boxes


@pytest.mark.parametrize("size", [(384, 128), (64, 64), (128, 16)])
@pytest.mark.parametrize(
    "weights",
    [(1, 0, 0, 0), (0, 1, 0, 0), (-1, 0, 1, 0), (0, -1, 0, 1)],
    ids=["top", "left", "height", "width"],
)
def test_boxes_are_distributed_as_those_drawn_one_by_one(
    size: tuple[int, int], weights: tuple[int, int, int, int]
) -> None:
    count = 4000
    ours = erasing_boxes(count, *size, 1.0, torch.Generator().manual_seed(0)).double().numpy()
    reference = boxes_one_by_one(count, *size, seed=0)
    assert ks_2samp(ours @ weights, reference @ weights).pvalue > 1e-3


@pytest.mark.parametrize("size", [(384, 128), (40, 40), (128, 4)])
def test_boxes_lie_within_the_image_and_reach_its_edges(size: tuple[int, int]) -> None:
    top, left, bottom, right = erasing_boxes(3000, *size, 1.0, torch.Generator().manual_seed(0)).T
    assert (top >= 0).all() and (left >= 0).all()
    assert (bottom <= size[0]).all() and (right <= size[1]).all()
    assert (bottom > top).all() and (right > left).all()
    assert (top.min(), left.min(), bottom.max(), right.max()) == (0, 0, *size)


def test_an_image_that_no_box_fits_stays_whole() -> None:
    assert not erasing_boxes(50, 100, 1, 1.0, torch.Generator().manual_seed(0)).any()


@pytest.mark.parametrize(("probability", "low", "high"), [(0.0, 0, 0), (0.3, 0.25, 0.35), (1.0, 1, 1)])
def test_erasing_is_a_probability(probability: float, low: float, high: float) -> None:
    boxes = erasing_boxes(2000, 64, 64, probability, torch.Generator().manual_seed(0))
    assert low <= boxes.any(1).float().mean() <= high


@pytest.fixture
def every_warning() -> Iterator[None]:
    """PyTorch gives the warning about read-only arrays once per process unless told otherwise."""
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(before)


@pytest.mark.usefixtures("every_warning")
def test_read_only_images_are_neither_written_to_nor_warned_about() -> None:
    data = make_data(8)
    before = data.store.images.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        epoch_of(data, flip=1.0, random_erasing=1.0)
        list(evaluation_batches(on_cpu(data.store), data.train, batch_size=4, **SIZE))
    assert np.array_equal(data.store.images, before)
