"""Feature extraction: the same features whatever the batches, within the precision that is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from small_space import SMALL
from torch import Tensor

from sa_study.data.device_images import DeviceImages
from sa_study.model.network import SANet
from sa_study.settings.run import Settings
from sa_study.training.features import extract_features

SETTINGS = {**SMALL, "eval_batch_size": 8}
COUNT = 21


class SmallMemory(SANet):
    """Fails as PyTorch does on a full GPU when it is given too many images."""

    def __init__(self) -> None:
        super().__init__("resnet18", 5, parts=2)
        self.most = COUNT
        self.sizes: list[int] = []

    def forward(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The network's."""
        self.sizes.append(len(images))
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore lines")
        return super().forward(images)


@pytest.fixture
def net() -> SmallMemory:
    torch.manual_seed(0)
    return SmallMemory()


@pytest.fixture
def images() -> DeviceImages:
    pixels = np.random.default_rng(0).integers(256, size=(30, 64, 32, 3), dtype=np.uint8)
    return DeviceImages(pixels, torch.device("cpu"))


def features(net: SANet, images: DeviceImages, told: list[int] | None = None, **changed: Any) -> Tensor:
    seen = [] if told is None else told
    settings = Settings(**{**SETTINGS, **changed})
    index = np.arange(COUNT)[::-1].copy()
    return extract_features(net, images, index, settings, lambda done, total: seen.append(done))


def test_features_do_not_depend_on_the_batches(net: SmallMemory, images: DeviceImages) -> None:
    one = features(net, images, eval_batch_size=COUNT)
    assert one.shape == (COUNT, 2 * 512) and one.dtype == torch.float32
    torch.testing.assert_close(features(net, images, eval_batch_size=4), one, rtol=1e-4, atol=1e-6)
    assert not net.training


@pytest.mark.parametrize("most", [7, 3, 1])
def test_a_full_memory_is_met_by_smaller_batches_from_where_it_stopped(
    net: SmallMemory, images: DeviceImages, most: int
) -> None:
    expected = features(net, images)
    net.most, net.sizes = most, []
    told: list[int] = []
    torch.testing.assert_close(features(net, images, told), expected, rtol=1e-4, atol=1e-6)
    done = [size for size in net.sizes if size <= most]
    assert sum(done) == COUNT, "no image twice"
    assert told == np.cumsum(done).tolist()


def test_memory_that_fills_up_on_the_way(net: SmallMemory, images: DeviceImages) -> None:
    expected = features(net, images)

    def fills_up(done: int, total: int) -> None:
        net.most = 2

    index = np.arange(COUNT)[::-1].copy()
    found = extract_features(net, images, index, Settings(**SETTINGS), fills_up)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_no_room_for_a_single_image(net: SmallMemory, images: DeviceImages) -> None:
    net.most = 0
    with pytest.raises(torch.OutOfMemoryError):
        features(net, images)
    assert net.sizes == [8, 4, 2, 1]


def test_no_images(net: SmallMemory, images: DeviceImages) -> None:
    assert len(extract_features(net, images, np.empty(0, np.int64), Settings(**SETTINGS))) == 0


@pytest.mark.parametrize("half", ["bf16", "fp16"])
def test_the_ranked_features_have_a_precision_of_their_own(
    net: SmallMemory, images: DeviceImages, half: str
) -> None:
    exact = features(net, images, precision="fp32")
    same = features(net, images, precision="bf16", eval_precision="fp32")
    assert torch.equal(same, exact)
    rounded = features(net, images, precision="fp32", eval_precision=half)
    assert rounded.dtype == torch.float32 and not torch.equal(rounded, exact)
    similarity = torch.cosine_similarity(rounded, exact)
    assert similarity.min() > 0.999
    if half == "bf16":
        assert torch.equal(features(net, images, precision="bf16"), rounded), "same, unless told"
