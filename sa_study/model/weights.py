"""Weight files: safe reading, strict loading, and what network a file is of."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sa_study.errors import WeightsError
from sa_study.model.backbone import BLOCKS_AND_EXPANSION

_NAMED = 3
"""Keys that an error lists before it only counts."""


@dataclass(frozen=True)
class LoadReport:
    """What a load left aside.

    Attributes:
        unused: Keys of the file that the network has no place for, in the file's order.
    """

    unused: tuple[str, ...]


def read_state_dict(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads a weights file without running anything that it holds.

    Args:
        path: A file of `torch.save` in either format, also one written by Python 2: a state dict, or a dict
            with one under `state_dict`.

    Returns:
        The state dict on the CPU, its keys without `module.` prefix, and what lay beside it (such as
        `epoch` and `best_top1` in the published file).

    Raises:
        WeightsError: The file is missing, unreadable, damaged, would run code, or holds no state dict.
    """
    content = _read(Path(path))
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        state, beside = content["state_dict"], {k: v for k, v in content.items() if k != "state_dict"}
    else:
        state, beside = content, {}
    if not (isinstance(state, dict) and state and all(isinstance(value, Tensor) for value in state.values())):
        raise WeightsError(
            f"{path}: is not a weights file (expected tensors by name, as state_dict() gives them)"
        )
    return {str(key).removeprefix("module."): value for key, value in state.items()}, beside


def load_weights(net: nn.Module, path: str | os.PathLike[str]) -> LoadReport:
    """Loads a weights file of an SA network, ours or the published one.

    Args:
        net: The network; left as it is on any error.
        path: See `read_state_dict`.

    Returns:
        The keys that were not used, such as `base.fc.weight` and `fusion_conv.weight` of the published file.

    Raises:
        WeightsError: As `read_state_dict`, or a key is missing, or a shape differs.
    """
    state, _ = read_state_dict(path)
    try:
        settings = ", ".join(f"{key}={value}" for key, value in infer_architecture(state).items())
        advice = f"by its keys and shapes the file is of a network with {settings}"
    except WeightsError:
        advice = "give the file of an SA network"
    return _fill(net, state, str(path), advice)


def load_backbone(net: nn.Module, path: str | os.PathLike[str]) -> LoadReport:
    """Loads a torchvision ResNet's state dict (ImageNet weights, say) into `net.base`.

    Args:
        net: The network; left as it is on any error.
        path: See `read_state_dict`; `fc.*` is not used.

    Returns:
        The keys that were not used.

    Raises:
        WeightsError: As `read_state_dict`, or a key is missing, or a shape differs.
    """
    state, _ = read_state_dict(path)
    return _fill(net.get_submodule("base"), state, str(path), "give a torchvision ResNet's of the same depth")


def load_imagenet(net: nn.Module, depth: int) -> LoadReport:
    """Loads torchvision's ImageNet weights (IMAGENET1K_V1) into `net.base`, downloading them where necessary.

    Args:
        net: The network; left as it is on any error.
        depth: Layers of the ResNet.

    Returns:
        The keys that were not used.

    Raises:
        WeightsError: They cannot be had; names the two ways out.
    """
    # Importing torchvision takes as long as importing torch, and few runs come here.
    from torchvision.models import get_weight

    weights = get_weight(f"ResNet{depth}_Weights.IMAGENET1K_V1")
    cached = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
    ways_out = "give a local file (--set pretrained=FILE) or start at random (--set pretrained=none)"
    try:
        state = weights.get_state_dict(progress=False, check_hash=True, map_location="cpu", weights_only=True)
    except Exception as error:  # network, proxy, disk, hash and unpickling errors have no common base
        raise WeightsError(
            f"pretrained: ImageNet weights of ResNet-{depth} cannot be had from {cached} or {weights.url} "
            f"({_reason(error)}); {ways_out}"
        ) from error
    return _fill(net.get_submodule("base"), state, str(cached), f"remove that file, or {ways_out}")


def infer_architecture(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Finds the network that a state dict is of, from names and shapes.

    Args:
        state: Under the published names, without `module.` prefix.

    Returns:
        The arguments of `SANet` that decide on names and shapes: depth, num_classes, num_features, parts,
        deep_supervision.

    Raises:
        WeightsError: The state dict is not of an SA network.
    """
    blocks = tuple(
        len(_numbers(rf"base\.layer{stage}\.(\d+)\.conv1\.weight", state)) for stage in (1, 2, 3, 4)
    )
    expansion = 4 if "base.layer1.0.conv3.weight" in state else 1
    depths = [depth for depth, shape in BLOCKS_AND_EXPANSION.items() if shape == (blocks, expansion)]
    parts = max(_numbers(r"instance(\d+)\.weight", state), default=0)
    classifier = state.get(f"instance{parts}.weight")
    if not depths or parts < 1 or classifier is None or classifier.ndim != 2:
        raise WeightsError(
            "not the weights of an SA network: expected base.layer1 … base.layer4 of a "
            f"ResNet-{'/'.join(map(str, BLOCKS_AND_EXPANSION))} and classifiers instance0 …; "
            f"found {_listed(list(state))}"
        )
    num_classes, num_features = classifier.shape
    return {
        "depth": depths[0],
        "num_classes": num_classes,
        "num_features": num_features,
        "parts": parts,
        "deep_supervision": "instance_layer1.weight" in state,
    }


def _read(path: Path) -> Any:
    # What NumPy 1 and 2 pickle a scalar with, such as the published file's best_top1; none of it runs code.
    scalar: Any = np.float64(0).__reduce__()[0]
    numpy_scalars: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        np.dtype,
        *(type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64)),
    ]
    try:
        with torch.serialization.safe_globals(numpy_scalars), warnings.catch_warnings():
            # In files by Python 2 a scalar's raw bytes stand as text. torch honours `encoding`, but warns.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, encoding="latin1")
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({_reason(error)})") from error
    except Exception as error:  # on a damaged file the reader can raise anything
        raise WeightsError(f"{path}: is not a weights file, or is damaged ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    """Says in one line why a file was not read; torch's own texts advise to run what the file holds."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if found := re.search(r"GLOBAL (\S+)", str(error)):
        return f"it refers to {found[1]}; only tensors and plain values are read, nothing is run"
    if isinstance(error, RuntimeError):
        return " ".join(str(error).split(". ")[0].split())
    return "it is empty or ends early" if isinstance(error, EOFError) else type(error).__name__


def _fill(module: nn.Module, state: Mapping[str, Tensor], source: str, advice: str) -> LoadReport:
    own = module.state_dict()
    # Files from before PyTorch 0.4.1 lack the counter, which nothing here uses.
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    differing = [
        f"{key} ({_shape(state[key])} in the file, {_shape(value)} in the network)"
        for key, value in own.items()
        if key in state and state[key].shape != value.shape
    ]
    faults = [
        f"{fault} {_listed(keys)}" for fault, keys in (("lacks", missing), ("differs in", differing)) if keys
    ]
    if faults:
        raise WeightsError(f"{source}: {' and '.join(faults)}; {advice}")
    module.load_state_dict({key: state[key] for key in own if key in state}, strict=False)
    return LoadReport(unused=tuple(key for key in state if key not in own))


def _numbers(pattern: str, names: Iterable[str]) -> set[int]:
    """The numbers that a pattern's one group takes over the names that it matches in full."""
    return {int(found[1]) for name in names if (found := re.fullmatch(pattern, name))}


def _listed(items: list[str]) -> str:
    rest = len(items) - _NAMED
    return ", ".join(items[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a scalar"
