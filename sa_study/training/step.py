"""One step of training: forward pass, the branches' cross entropies, backward pass, the optimiser."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from sa_study.metrics import names
from sa_study.model.network import SANet, total_loss
from sa_study.settings.run import Settings
from sa_study.training.average import MovingAverage
from sa_study.training.losses import triplet_loss
from sa_study.training.optimizer import make_optimizer, set_learning_rate
from sa_study.training.precision import autocast, memory_format
from sa_study.utils.errors import ConfigError

_COMPILE_MODES = {"default": "default", "cuda-graphs": "reduce-overhead"}

TRIPLET = "triplet"
"""Name of the triplet loss among the branches' losses."""

Forward = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class TrainingStep:
    """Takes training steps on a network. Nothing in a step waits for a GPU.

    Args:
        net: The network to train; it is moved to the device and the settings' memory layout.
        settings: The run's settings.
        device: Device to train on.

    Attributes:
        optimizer: The optimiser of the backbone and the new layers.
        average: The moving average of the weights; None without `ema_decay`.
        figures: Names of the figures that a step returns.
    """

    def __init__(self, net: SANet, settings: Settings, device: torch.device):
        net.to(device).to(memory_format=memory_format(settings))
        self._settings = settings
        self._forward = _compiled(partial(_forward, net, settings, device), settings)
        losses = (*net.branches, TRIPLET) if settings.triplet_weight else net.branches
        self.figures = (names.LOSS, names.TRAIN_ACCURACY, *(f"{names.LOSS}/{name}" for name in losses))
        self.optimizer = make_optimizer(net, settings)
        self.average = MovingAverage(net, settings.ema_decay) if settings.ema_decay else None
        # Replaying a graph overwrites the gradients that it gave for the part before, unless they are added
        # to memory of their own (pytorch/pytorch#169545).
        self._keeps_gradients = settings.compile == "cuda-graphs" and settings.accumulate > 1
        for parameter in net.parameters() if self._keeps_gradients else ():
            parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None

    def set_lr(self, lr: float) -> None:
        """Sets the learning rate of the new layers, and the backbone's to its share of it."""
        set_learning_rate(self.optimizer, self._settings, lr)

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """One step of the optimiser on images, float32, B×3×H×W, normalised, and labels, int64, B.

        Returns:
            Means over the batch in the order of `figures`, on the device.
        """
        self.optimizer.zero_grad(set_to_none=not self._keeps_gradients)
        sizes = self._part_sizes(len(labels))
        sums = torch.zeros(len(self.figures), device=images.device)
        for inputs, targets in zip(images.split(sizes), labels.split(sizes), strict=True):
            share = len(targets) / len(labels)
            sums.add_(self._add_gradient(inputs, targets, share), alpha=share)
        self.optimizer.step()
        if self.average:
            self.average.update()
        return sums

    def _part_sizes(self, images: int) -> list[int]:
        """Images in each part of a batch; a triplet loss compares within one, so identities stay whole."""
        parts, together = self._settings.accumulate, 1
        if self._settings.triplet_weight:
            together = self._settings.images_per_identity
        groups = math.ceil(images / together)
        each, more = divmod(groups, parts)
        sizes = [together * (each + (part < more)) for part in range(parts)]
        sizes[-1] -= groups * together - images  # of its last identity a batch may have fewer
        return sizes

    def _add_gradient(self, images: Tensor, labels: Tensor, share: float) -> Tensor:
        """Adds the gradient of a part of the batch, weighted by its share; returns the part's figures."""
        images = images.contiguous(memory_format=memory_format(self._settings))
        loss, figures = self._forward(images, labels)
        (share * loss).backward()
        return figures


def _forward(
    net: SANet, settings: Settings, device: torch.device, images: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    with autocast(settings.precision, device):
        features, logits = net(images)
        loss, branches = total_loss(logits, labels, settings.label_smoothing)
    if settings.triplet_weight:  # outside of autocast: small distances need float32
        triplet = triplet_loss(features, labels, settings.triplet_margin)
        loss, branches[TRIPLET] = loss + settings.triplet_weight * triplet, triplet.detach()
    accuracy = (logits["global"].detach().argmax(1) == labels).float().mean()
    return loss, torch.stack([loss.detach(), accuracy, *branches.values()])


def _compiled(forward: Forward, settings: Settings) -> Forward:
    if settings.compile == "none":
        return forward
    torch.compiler.reset()  # after many networks a process would silently stop compiling
    compiled: Forward = torch.compile(forward, mode=_COMPILE_MODES[settings.compile])

    def run(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        from torch._dynamo.exc import BackendCompilerFailed

        try:
            return compiled(images, labels)
        except BackendCompilerFailed as error:
            raise ConfigError(
                f"compile: {settings.compile}, but PyTorch cannot compile here "
                f"({str(error.inner_exception).splitlines()[0]}); use --set compile=none"
            ) from None

    return run
