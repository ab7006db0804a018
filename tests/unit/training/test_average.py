"""The moving average of the weights: PyTorch's own, without its wait for the GPU."""

from __future__ import annotations

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sa_study.model.network import SANet
from sa_study.training.average import MovingAverage


def network() -> SANet:
    torch.manual_seed(0)
    return SANet("narrow", 3, parts=2, num_features=8)


def disturb(net: SANet, step: int) -> None:
    random = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for value in net.state_dict().values():
            if value.is_floating_point():
                value += torch.randn(value.shape, generator=random)
            else:
                value += 1


def test_the_average_equals_pytorchs() -> None:
    net = network()
    ours = MovingAverage(net, 0.15)  # below the smaller decay of the first steps
    theirs = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.15), use_buffers=True)
    theirs.n_averaged += 1  # both begin with the network as it is
    for step in range(4):
        disturb(net, step)
        ours.update()
        theirs.update_parameters(net)
    expected = theirs.module.state_dict()
    for name, value in ours.net.state_dict().items():
        if value.is_floating_point():
            assert torch.equal(value, expected[name]), name
        else:
            assert value == 4, "counts are not averaged"


def test_the_first_steps_forget_the_beginning() -> None:
    net = network()
    average = MovingAverage(net, 0.9999)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(1)
    for expected in (9 / 11, 1 - 2 / 11 * 3 / 12):
        average.update()
        averaged = average.net.get_submodule("instance0").bias
        assert isinstance(averaged, torch.Tensor) and averaged[0].item() == pytest.approx(expected)
    assert not any(parameter.requires_grad for parameter in average.net.parameters())
    assert all(parameter.requires_grad for parameter in net.parameters())
