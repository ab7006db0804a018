"""What the network computes inside: attention weights and class-activation maps of the stages 1-3."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sa_study.data.batches import Normaliser
from sa_study.model.attention import attention_weights
from sa_study.model.network import SUPERVISED_STAGES, SANet

Maps = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Activation:
    """Class-activation maps of one stage's classifier.

    With x the stage's map (C channels), a the attention weights, R the 1×1 reduction to F channels and W_c
    the linear classifier's row of class c, the maps are W_c·R·(x_p·a_p) and W_c·R·x_p at every position p.
    The mean of the first over the positions is the logit of c that the network computes, less its bias; that
    of the second is what the same weights would give without attention. The network was trained with it, so
    the second shows what attention takes away and adds, not what a network trained without it would see.

    Attributes:
        classes: The class c of each image, int64, shape (N,).
        predicted: The class that the stage's classifier scores highest, int64, shape (N,).
        probability: Softmax share of class c by the stage's classifier, shape (N,).
        without_attention: float32, shape (N, h, w).
        with_attention: float32, shape (N, h, w); None in a network without attention.
    """

    classes: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probability: NDArray[np.float32]
    without_attention: Maps
    with_attention: Maps | None


def prepare(images: NDArray[np.uint8], height: int, width: int, device: torch.device) -> Tensor:
    """Stored images, uint8 N×h×w×3, as the network takes them: float32 N×3×height×width."""
    batch = Normaliser(height, width, device)(torch.from_numpy(np.array(images)).to(device))
    return batch.contiguous()


def has_attention(net: SANet) -> bool:
    """Whether the network attends to its stages 1-3: only deep supervision looks at them."""
    return net.deep_supervision and net.attention != "none"


@torch.inference_mode()
def attention_maps(net: SANet, images: Tensor) -> dict[int, Maps]:
    """The spatial attention weights that the network multiplies its stages by.

    Args:
        net: A network that `has_attention`; it is left in evaluation mode.
        images: float32 N×3×H×W on its device, normalised.

    Returns:
        By stage the weights, float32, shape (N, h, w); each image's add up to 1.
    """
    net.eval()
    stages = zip(SUPERVISED_STAGES, net.stage_maps(images), strict=False)  # stage 4 has no attention
    return {stage: _array(attention_weights(x, net.attention)[:, 0]) for stage, x in stages}


@torch.inference_mode()
def activation_maps(
    net: SANet, images: Tensor, classes: NDArray[np.int64] | None = None
) -> dict[int, Activation]:
    """The class-activation maps of the stage classifiers.

    Args:
        net: A network with deep supervision; it is left in evaluation mode.
        images: float32 N×3×H×W on its device, normalised.
        classes: The class of each image whose maps are wanted; None for the one that each stage predicts.

    Returns:
        By stage the maps.
    """
    net.eval()
    stages = zip(SUPERVISED_STAGES, net.stage_maps(images), strict=False)
    return {stage: _activation(net, stage, x, classes) for stage, x in stages}


def _activation(net: SANet, stage: int, x: Tensor, given: NDArray[np.int64] | None) -> Activation:
    reduction, classifier = (net.get_submodule(f"{name}_layer{stage}") for name in ("local_conv", "instance"))
    assert isinstance(reduction, nn.Conv2d) and isinstance(classifier, nn.Linear)
    attention = attention_weights(x, net.attention) if net.attention != "none" else None
    attended = x if attention is None else x * attention
    logits = classifier(reduction(attended.mean(dim=(2, 3), keepdim=True)).flatten(1))
    predicted = logits.argmax(dim=1)
    classes = predicted if given is None else torch.from_numpy(given).to(x.device)
    # Both layers are linear: their product is one weight a channel, applied at every position.
    weights = classifier.weight[classes] @ reduction.weight.flatten(1)
    plain, weighted = (torch.einsum("nc,nchw->nhw", weights, some) for some in (x, attended))
    return Activation(
        classes=classes.cpu().numpy(),
        predicted=predicted.cpu().numpy(),
        probability=_array(logits.softmax(dim=1).gather(1, classes[:, None])[:, 0]),
        without_attention=_array(plain),
        with_attention=None if attention is None else _array(weighted),
    )


def _array(values: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = values.float().cpu().numpy()
    return array
