"""Optimisers: PyTorch's own arithmetic, and which parameters are decayed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from small_space import SMALL

from sa_study.model.network import SANet
from sa_study.settings.run import Settings
from sa_study.training.optimizer import make_optimizer, set_learning_rate


@pytest.fixture
def net() -> SANet:
    torch.manual_seed(0)
    return SANet("narrow", 3, parts=2, num_features=8)


def gradients(net: SANet) -> None:
    random = torch.Generator().manual_seed(1)
    for parameter in net.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=random)


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_adam_is_pytorchs(net: SANet, kind: type[torch.optim.Adam]) -> None:
    plain = copy.deepcopy(net)
    given: dict[str, Any] = {
        "adam_beta1": 0.8,
        "adam_beta2": 0.95,
        "adam_eps": 1e-4,
        "weight_decay": 0.1,
        "adam_lr": 0.01,
    }
    ours = make_optimizer(net, Settings(**SMALL, optimizer=kind.__name__.lower(), **given))
    set_learning_rate(ours, Settings(**SMALL, backbone_lr_factor=0.5), 0.01)
    groups = [
        {"params": list(plain.base.parameters()), "lr": 0.005},
        {"params": list(plain.new_parameters()), "lr": 0.01},
    ]
    theirs = kind(groups, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1, foreach=False)
    for _ in range(3):
        for network, optimizer in ((net, ours), (plain, theirs)):
            gradients(network)
            optimizer.step()
    for (name, value), expected in zip(net.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(value, expected, msg=name)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_norms_and_biases_may_be_left_undecayed(net: SANet, optimizer: str) -> None:
    """Without gradients nothing but decay moves a parameter."""
    settings = Settings(**SMALL, optimizer=optimizer, decay_norm_bias=False, weight_decay=0.5)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(1)
            parameter.grad = torch.zeros_like(parameter)
    ours = make_optimizer(net, settings)
    set_learning_rate(ours, settings, 0.1)
    ours.step()
    kept = {name for name, parameter in net.named_parameters() if (parameter == 1).all()}
    assert kept == {
        name for name, p in net.named_parameters() if "norm" in name or "bn" in name or p.ndim == 1
    }
    assert sum(len(group["params"]) for group in ours.param_groups) == len(list(net.parameters()))


def test_the_backbone_has_its_share_of_the_rate_in_every_group(net: SANet) -> None:
    settings = Settings(**SMALL, decay_norm_bias=False, backbone_lr_factor=0.25)
    ours = make_optimizer(net, settings)
    set_learning_rate(ours, settings, 0.8)
    backbone = set(map(id, net.base.parameters()))
    for group in ours.param_groups:
        assert {id(parameter) in backbone for parameter in group["params"]} == {group["lr"] == 0.2}
        assert group["lr"] in (0.2, 0.8)
