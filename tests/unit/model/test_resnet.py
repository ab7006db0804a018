"""The ResNets are torchvision's: the same names, first weights, random numbers, values and gradients."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from checkout import ROOT
from torch import Tensor, nn
from torchvision.models import ResNet, get_model

from sa_study.model.backbones import BACKBONES, RESNETS


def reference(name: str) -> ResNet:
    """torchvision's network, its last stage at the resolution of the one before."""
    net: ResNet = get_model(name, weights=None)
    for module in net.layer4[0].modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
    return net


def stages(net: nn.Module, images: Tensor) -> Tensor:
    for name, module in net.named_children():
        if name not in ("avgpool", "fc"):
            images = module(images)
    return images


@pytest.mark.parametrize("name", RESNETS.values())
def test_names_shapes_and_order_are_torchvisions(name: str) -> None:
    with torch.device("meta"):
        ours, theirs = BACKBONES[name].build(), reference(name)
    expected = [(key, value.shape) for key, value in theirs.state_dict().items() if not key.startswith("fc.")]
    assert [(key, value.shape) for key, value in ours.state_dict().items()] == expected


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_first_weights_values_and_gradients_are_torchvisions(name: str) -> None:
    torch.manual_seed(3)
    theirs = reference(name)
    drawn = torch.rand(5)
    torch.manual_seed(3)
    ours = BACKBONES[name].build()
    assert torch.equal(torch.rand(5), drawn), "what is drawn later is the same"
    state = theirs.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in ours.state_dict().items())
    images = torch.randn(2, 3, 70, 33)
    for training in (True, False):
        found = [stages(net.train(training), images) for net in (ours, theirs)]
        assert torch.equal(*found) and found[0].shape[2:] == (5, 3)
    for net in (ours, theirs):
        stages(net.train(), images).square().sum().backward()
    gradients = {key: value.grad for key, value in theirs.named_parameters()}
    for key, value in ours.named_parameters():
        assert value.grad is not None and torch.equal(value.grad, gradients[key]), key


def test_a_training_step_imports_neither_torchvision_nor_pytorchs_compiler() -> None:
    """Each takes seconds in every trial's process."""
    program = """
import sys, torch
from sa_study.settings.run import Settings
from sa_study.training.optimizer import make_optimizer
from sa_study.training.trainer import build_network
for optimizer in ("sgd", "adam", "adamw"):
    small = {"backbone": "resnet18", "height": 32, "width": 16, "parts": 2}
    settings = Settings(**small, pretrained="none", optimizer=optimizer)
    net = build_network(settings, 3)
    made = make_optimizer(net, settings)
    _, logits = net(torch.rand(2, 3, 32, 16))
    sum(value.sum() for value in logits.values()).backward()
    made.step()
    made.zero_grad()
    made.load_state_dict(made.state_dict())
found = {"torchvision", "torch._dynamo", "sympy"} & set(sys.modules)
assert not found, found
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
