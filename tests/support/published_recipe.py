"""The published recipe written out plainly: what training computes where every later addition is off."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sa_study.data.batches import MEAN, STD
from sa_study.data.store import TrainingData
from sa_study.settings.run import Settings
from sa_study.training.trainer import build_network
from sa_study.utils.randomness import derived_seed, generator


def train(settings: Settings, data: TrainingData) -> tuple[dict[str, Tensor], list[list[float]]]:
    """Trains all epochs on the CPU in float32.

    Shuffled batches without a remainder, resized, mirrored, normalised; the sum of the branches' cross
    entropies; SGD with Nesterov's momentum and weight decay on everything; a decay of the learning rate every
    few epochs.

    Returns:
        The network's final state, and for each epoch the mean loss, the accuracy and the branches' losses.
    """
    torch.manual_seed(derived_seed(settings.seed, "initialisation"))
    net = build_network(settings, data.num_classes)
    optimizer = torch.optim.SGD(
        [{"params": list(net.base.parameters())}, {"params": list(net.new_parameters())}],
        lr=settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=True,
        fused=True,
    )
    history = []
    for epoch in range(settings.epochs):
        lr = settings.lr * settings.lr_decay ** (epoch // settings.decay_epochs)
        optimizer.param_groups[0]["lr"] = lr * settings.backbone_lr_factor
        optimizer.param_groups[1]["lr"] = lr
        torch.manual_seed(derived_seed(settings.seed, "dropout", epoch))
        net.train()
        steps = []
        for images, labels in _batches(settings, data, epoch):
            _, logits = net(images)
            scores = torch.stack(list(logits.values()))
            of_image = F.cross_entropy(scores.flatten(0, 1), labels.repeat(len(scores)), reduction="none")
            losses = of_image.view(len(scores), -1).mean(1)
            right = (logits["global"].argmax(1) == labels).float().mean()
            optimizer.zero_grad()
            losses.sum().backward()
            optimizer.step()
            steps.append(torch.stack([losses.sum().detach(), right, *losses.detach()]))
        history.append((sum(steps, torch.zeros(len(steps[0]))) / len(steps)).tolist())
    return net.state_dict(), history


def _batches(settings: Settings, data: TrainingData, epoch: int) -> list[tuple[Tensor, Tensor]]:
    count, size = len(data.train), settings.batch_size
    order = torch.randperm(count, generator=generator(settings.seed, "order", epoch))
    drawn = torch.rand(count, generator=generator(settings.seed, "augmentation", epoch))
    mean, std = (torch.tensor(values).mul(255).view(3, 1, 1) for values in (MEAN, STD))
    batches = []
    for start in range(0, count // size * size, size):
        chosen = order[start : start + size].numpy()
        pixels = torch.from_numpy(data.store.images[data.train[chosen]])
        mirrored = (drawn[start : start + size] < settings.flip).view(-1, 1, 1, 1)
        images = torch.where(mirrored, pixels.flip(2), pixels).permute(0, 3, 1, 2)
        images = F.interpolate(
            images, size=(settings.height, settings.width), mode="bilinear", antialias=True
        ).float()
        batches.append((images.sub(mean).div(std).contiguous(), torch.from_numpy(data.labels[chosen])))
    return batches
