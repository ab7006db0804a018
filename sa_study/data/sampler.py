"""The order in which an epoch takes the training images."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from sa_study.settings.run import Settings
from sa_study.utils.randomness import generator


def epoch_order(labels: npt.NDArray[np.int64], settings: Settings, epoch: int) -> npt.NDArray[np.int64]:
    """The places of an epoch's images among the training images, in whole batches.

    An epoch always has as many batches as fit into the training images, so that its cost, and a trial's
    progress, do not depend on the order. Without `images_per_identity` each image comes once at most.

    Args:
        labels: The class of each training image, from 0, at least one of each.
        settings: Give batch size, images per identity and seed.
        epoch: The epoch.

    Returns:
        int64, a multiple of the batch size.
    """
    random = generator(settings.seed, "order", epoch)
    batches = len(labels) // settings.batch_size
    if not settings.images_per_identity:
        order = torch.randperm(len(labels), generator=random).numpy()
        return order[: batches * settings.batch_size]
    return np.concatenate([np.empty(0, np.int64), *_identity_batches(labels, settings, batches, random)])


def _identity_batches(
    labels: npt.NDArray[np.int64], settings: Settings, batches: int, random: torch.Generator
) -> list[npt.NDArray[np.int64]]:
    """Batches of several images of each of some identities, identity by identity.

    Identities come in shuffled rounds: each once before any comes again, but for a remainder of a round that
    fills no batch, which is left out; where there are too few, rounds follow each other within a batch. So do
    the images of an identity; one with fewer than are wanted gives some of them twice.
    """
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels))[:-1])
    wanted, of_batch = settings.images_per_identity, settings.identities_per_batch
    round_length = len(members) // of_batch * of_batch or len(members)
    rounds = math.ceil(batches * of_batch / round_length)
    identities = torch.cat(
        [torch.randperm(len(members), generator=random)[:round_length] for _ in range(rounds)]
    )
    waiting: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64) for _ in members]

    def take(identity: int) -> npt.NDArray[np.int64]:
        if len(waiting[identity]) < wanted:
            own = members[identity]
            orders = (torch.randperm(len(own), generator=random) for _ in range(math.ceil(wanted / len(own))))
            waiting[identity] = np.concatenate([own[order.numpy()] for order in orders])
        taken, waiting[identity] = waiting[identity][:wanted], waiting[identity][wanted:]
        return taken

    found = []
    for number in range(batches):
        of_this = identities[number * of_batch : (number + 1) * of_batch].tolist()
        found.append(np.concatenate([take(identity) for identity in of_this])[: settings.batch_size])
    return found
