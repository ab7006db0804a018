"""The optimiser of a network: SGD, Adam or AdamW over the backbone and the new layers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import nn

from sa_study.model.network import SANet
from sa_study.settings.run import Settings

_Groups = list[dict[str, Any]]
_Kind = TypeVar("_Kind", bound=torch.optim.Optimizer)

STATES = {"sgd": 1, "adam": 2, "adamw": 2}
"""Numbers that each optimiser keeps for every parameter."""


def make_optimizer(net: SANet, settings: Settings) -> torch.optim.Optimizer:
    """An optimiser with a group each for the backbone and the new layers, in this order.

    Without `decay_norm_bias` there are two more, in the same order, for what is not decayed: batch norm's
    weights and all biases, which are the parameters of one dimension.
    """
    groups: _Groups = [{"params": list(net.base.parameters())}, {"params": list(net.new_parameters())}]
    if not settings.decay_norm_bias:
        vectors = [{"params": _of(group, vectors=True), "weight_decay": 0.0} for group in groups]
        groups = [{"params": _of(group, vectors=False)} for group in groups] + vectors
    return _OPTIMIZERS[settings.optimizer](groups, settings)


def set_learning_rate(optimizer: torch.optim.Optimizer, settings: Settings, lr: float) -> None:
    """Sets the learning rate of the new layers, and the backbone's to its share of it."""
    for index, group in enumerate(optimizer.param_groups):
        group["lr"] = lr * (1.0 if index % 2 else settings.backbone_lr_factor)


def _of(group: Mapping[str, list[nn.Parameter]], *, vectors: bool) -> list[nn.Parameter]:
    return [parameter for parameter in group["params"] if (parameter.ndim < 2) == vectors]


def _uncompiled(kind: type[_Kind]) -> type[_Kind]:
    """An optimiser that no compiled code calls.

    PyTorch keeps the methods of its own from its compiler, and imports it to do so when one is first called:
    up to three seconds and 90 MB in the process of every trial.
    """
    methods = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
    plain = {name: inspect.unwrap(getattr(kind, name)) for name in methods}
    return type(kind.__name__, (kind,), {**plain, "step": torch.no_grad()(inspect.unwrap(kind.step))})


_SGD = _uncompiled(torch.optim.SGD)


def _sgd(groups: _Groups, settings: Settings) -> torch.optim.Optimizer:
    return _SGD(
        groups,
        lr=settings.peak_lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=True,
        fused=True,
    )


def _adaptive(kind: type[torch.optim.Adam]) -> Callable[[_Groups, Settings], torch.optim.Optimizer]:
    def make(groups: _Groups, settings: Settings) -> torch.optim.Optimizer:
        return kind(
            groups,
            lr=settings.peak_lr,
            betas=(settings.adam_beta1, settings.adam_beta2),
            eps=settings.adam_eps,
            weight_decay=settings.weight_decay,
            fused=True,
        )

    return make


_OPTIMIZERS = {
    "sgd": _sgd,
    "adam": _adaptive(_uncompiled(torch.optim.Adam)),
    "adamw": _adaptive(_uncompiled(torch.optim.AdamW)),
}
