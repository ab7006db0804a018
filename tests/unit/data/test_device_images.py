"""The images on the device: the same batches wherever they lie."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sa_study.data.device_images import RESIDENT_SHARE, DeviceImages, to_device

IMAGES = np.random.default_rng(0).integers(256, size=(5000, 4, 2, 3), dtype=np.uint8)
IMAGES.flags.writeable = False
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize(("count", "size"), [(0, 3), (1, 3), (6, 3), (7, 3), (4999, 1000)])
def test_batches_are_the_images_asked_for_in_their_order(
    device: str, resident: bool, count: int, size: int
) -> None:
    images = DeviceImages(IMAGES, torch.device(device), resident=resident)
    index = np.random.default_rng(1).integers(len(IMAGES), size=count)
    batches = list(images.batches(index, size))
    assert [len(batch) for batch in batches] == [len(index[i : i + size]) for i in range(0, count, size)]
    assert all(batch.device.type == device and batch.dtype == torch.uint8 for batch in batches)
    if count:
        assert np.array_equal(torch.cat(batches).cpu().numpy(), IMAGES[index])


def test_a_cpu_needs_no_second_copy() -> None:
    assert not DeviceImages(IMAGES, torch.device("cpu")).resident


def test_a_batch_is_not_a_view_of_the_store() -> None:
    (batch,) = DeviceImages(IMAGES, torch.device("cpu")).batches(np.arange(3), 3)
    batch.zero_()
    assert IMAGES[:3].any()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_holds_what_fits_its_share() -> None:
    device = torch.device("cuda")
    free = torch.cuda.mem_get_info(device)[0]
    too_many = int(RESIDENT_SHARE * free / 1e6) + 100
    assert DeviceImages(IMAGES, device).resident
    huge = np.broadcast_to(np.zeros((1, 1000, 1000, 1), np.uint8), (too_many, 1000, 1000, 1))
    assert not DeviceImages(huge, device).resident


@pytest.mark.parametrize("device", DEVICES)
def test_values_arrive_as_they_are(device: str) -> None:
    values = torch.arange(7)
    assert torch.equal(to_device(values, torch.device(device)).cpu(), values)
