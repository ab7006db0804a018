"""Weight files: safe reading, strict loading, and what network a file is of."""

from __future__ import annotations

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sa_study.model.backbones import BACKBONES, IMAGENET
from sa_study.model.tensor_file import WeightsFile, load_tensors, reason, shape, unwrap
from sa_study.utils.errors import WeightsError, one_line
from sa_study.utils.files import expand_home
from sa_study.utils.text import a_few

KEY_MAPS = {
    "": "torchvision, timm or DINO",
    "encoder_q.": "MoCo or LUPerson",
    "base_encoder.": "MoCo v3",
    "base.": "an SA network",
    "backbone.": "fast-reid, DINO while it trains, and others",
}
"""What stands before a ResNet's names of torchvision in files of other programs, and whose these are."""

_BACKBONE_ADVICE = "give weights of the same backbone"


@dataclass(frozen=True)
class LoadReport:
    """Outcome of loading weights.

    Attributes:
        unused: Keys of the file that the network has no place for, in the file's order.
        found: Where in the file the weights were, and what was taken off their names; empty for plain ones.
    """

    unused: tuple[str, ...] = ()
    found: str = ""


def read_weights(path: str | os.PathLike[str]) -> WeightsFile:
    """Reads a weights file onto the CPU without running anything that it holds.

    Args:
        path: A file of `torch.save` in either format, also one written by Python 2: a state dict, or dicts
            with one under `state_dict`, `model`, `net` or `network`. Names may begin with one of these or
            have what DataParallel (`module.`) and torch.compile (`_orig_mod.`) add.

    Raises:
        WeightsError: The file is missing, unreadable, damaged, would run code, or holds no state dict, or
            several.
        ConfigError: The path begins with `~`, and that home folder is not known.
    """
    path = expand_home(path)
    try:
        return unwrap(load_tensors(path, "a weights file"), str(path))
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({reason(error)})") from error


def pretrained_note(backbone: str, pretrained: str) -> str:
    """What a backbone takes of the file that a setting `pretrained` names; empty where it names none.

    Raises:
        WeightsError: As `load_backbone`; the setting is named.
    """
    if pretrained in (*IMAGENET, "none"):
        return ""
    with torch.device("meta"):  # its names and shapes are enough
        own = BACKBONES[backbone].build().state_dict()
    try:
        file, unused = _of_backbone(own, read_weights(pretrained))
        _require_fit(own, file.state, pretrained, _BACKBONE_ADVICE)
    except WeightsError as error:
        raise WeightsError(f"pretrained: {error}") from None
    used = f"{len(file.state)} of {len(file.state) + len(unused)} entries used"
    left = ", ".join(f"{name} ({count})" for name, count in Counter(map(_group, unused)).items())
    said = ", ".join(filter(None, (file.found, used))) + (f"; not used: {left}" if left else "")
    return f"pretrained {pretrained}: {said}"


def load_weights(net: nn.Module, path: str | os.PathLike[str]) -> LoadReport:
    """Loads a weights file of an SA network, ours or the published one; see `read_weights`.

    Unused keys are such as `base.fc.weight` and `fusion_conv.weight` of the published file.

    Raises:
        WeightsError: As `read_weights`, or a key is missing, or a shape differs; the network is as before.
    """
    return load_file(net, read_weights(path), str(path))


def load_file(net: nn.Module, file: WeightsFile, source: str) -> LoadReport:
    """Does what `load_weights` does with a file that is read already; errors call it `source`."""
    return _fill(net, file, source, _advice(file.state))


def require_fitting(net: nn.Module, file: WeightsFile, source: str) -> None:
    """Raises what `load_file` would; the network may lie on the meta device."""
    _require_fit(net.state_dict(), file.state, source, _advice(file.state))


def load_backbone(net: nn.Module, path: str | os.PathLike[str]) -> LoadReport:
    """Loads a backbone's weights into `net.base`, from a file of one of `KEY_MAPS`; heads are not used.

    Raises:
        WeightsError: As `load_weights`.
    """
    base = net.get_submodule("base")
    file, unused = _of_backbone(base.state_dict(), read_weights(path))
    _fill(base, file, str(path), _BACKBONE_ADVICE)
    return LoadReport(unused, file.found)


def _of_backbone(own: Collection[str], file: WeightsFile) -> tuple[WeightsFile, tuple[str, ...]]:
    """A file's weights under a backbone's own names, and what else is in it.

    Of several networks in a file, such as MoCo's two encoders, that of the first in the table is taken.
    """
    prefix = max(KEY_MAPS, key=lambda prefix: sum(prefix + name in file.state for name in own))
    state = {name: file.state[prefix + name] for name in own if prefix + name in file.state}
    unused = tuple(
        key for key in file.state if key.removeprefix(prefix) not in state or not key.startswith(prefix)
    )
    read = f"read as {KEY_MAPS[prefix]}: {prefix}*" if prefix else ""
    return dataclasses.replace(file, state=state, found=", ".join(filter(None, (file.found, read)))), unused


def _group(key: str) -> str:
    """The group under which a report lists a key: its first part."""
    return f"{key.partition('.')[0]}.*" if "." in key else key


def load_imagenet(net: nn.Module, backbone: str, pretrained: str = "imagenet") -> LoadReport:
    """Loads torchvision's ImageNet weights into `net.base`, downloading them where necessary.

    Args:
        net: The network.
        backbone: Name of its backbone.
        pretrained: Which of `IMAGENET`.

    Raises:
        WeightsError: They cannot be had; names the two ways out.
    """
    # Importing torchvision takes as long as importing torch, and few runs come here.
    from torchvision.models import get_weight

    ways_out = "give a local file (--set pretrained=FILE) or start at random (--set pretrained=none)"
    known = BACKBONES[backbone]
    if known.fetch and pretrained == "imagenet":
        try:
            state = known.fetch()
        except Exception as error:  # as below
            raise WeightsError(
                f"pretrained: weights of {backbone} cannot be had from timm ({one_line(error)}); {ways_out}"
            ) from error
        return _fill(net.get_submodule("base"), WeightsFile(dict(state)), backbone, ways_out)
    if not (name := known.imagenet_weights(pretrained)):
        kind = "ImageNet" if pretrained == "imagenet" else pretrained
        raise WeightsError(f"pretrained: there are no {kind} weights of {backbone}; {ways_out}")
    weights = get_weight(name)
    cached = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
    try:
        state = weights.get_state_dict(progress=False, check_hash=True, map_location="cpu", weights_only=True)
    except Exception as error:  # network, proxy, disk, hash and unpickling errors have no common base
        raise WeightsError(
            f"pretrained: ImageNet weights of {backbone} cannot be had from {cached} or {weights.url} "
            f"({reason(error)}); {ways_out}"
        ) from error
    advice = f"remove that file, or {ways_out}"
    return _fill(net.get_submodule("base"), WeightsFile(state), str(cached), advice)


def infer_architecture(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Finds the network that a state dict is of, from the published names and the shapes.

    Returns:
        The arguments of `SANet` that decide on names and shapes: backbone, num_classes, num_features,
        parts, deep_supervision, and bn_neck where there is one.

    Raises:
        WeightsError: The state dict is not of an SA network.
    """
    base = {name.removeprefix("base.") for name in state if name.startswith("base.")}
    backbone = next((name for name, known in BACKBONES.items() if known.recognises(base)), None)
    numbers = [int(found[1]) for name in state if (found := re.fullmatch(r"instance(\d+)\.weight", name))]
    parts = max(numbers, default=0)
    classifier = state.get(f"instance{parts}.weight")
    if not backbone or parts < 1 or classifier is None or classifier.ndim != 2 or not classifier.numel():
        raise WeightsError(
            f"not the weights of an SA network: expected base.layer1 … base.layer4 of {'/'.join(BACKBONES)} "
            f"and classifiers instance0 …; found {a_few(state)}"
        )
    num_classes, num_features = classifier.shape
    return {
        "backbone": backbone,
        "num_classes": num_classes,
        "num_features": num_features,
        "parts": parts,
        "deep_supervision": "instance_layer1.weight" in state,
        **({"bn_neck": True} if "neck.weight" in state else {}),
    }


def _advice(state: Mapping[str, Tensor]) -> str:
    try:
        settings = ", ".join(f"{key}={value}" for key, value in infer_architecture(state).items())
    except WeightsError:
        return "give the file of an SA network"
    return f"by its keys and shapes the file is of a network with {settings}"


def _require_fit(own: Mapping[str, Tensor], state: Mapping[str, Tensor], source: str, advice: str) -> None:
    """Checks that a state dict has all of a network's keys and shapes, and finite numbers only."""
    # Files from before PyTorch 0.4.1 lack the counter, which nothing here uses.
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    differing = [
        f"{key} ({shape(state[key])} in the file, {shape(value)} in the network)"
        for key, value in own.items()
        if key in state and state[key].shape != value.shape
    ]
    found = {"lacks": missing, "differs in": differing}
    if faults := [f"{fault} {a_few(keys)}" for fault, keys in found.items() if keys]:
        raise WeightsError(f"{source}: {' and '.join(faults)}; {advice}")
    broken = [key for key in own if key in state and not state[key].isfinite().all()]
    if broken:
        raise WeightsError(
            f"{source}: holds numbers that are not finite in {a_few(broken)}; give the file of a run that "
            "did not diverge"
        )


def _fill(module: nn.Module, file: WeightsFile, source: str, advice: str) -> LoadReport:
    own, state = module.state_dict(), file.state
    _require_fit(own, state, source, advice)
    module.load_state_dict({key: state[key] for key in own if key in state}, strict=False)
    return LoadReport(tuple(key for key in state if key not in own), file.found)
