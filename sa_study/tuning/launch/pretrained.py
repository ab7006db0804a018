"""The pretrained backbones that trials start from, and their fingerprints in a study's provenance."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor

from sa_study.model.weights import pretrained_note
from sa_study.settings.run import as_stored
from sa_study.settings.space_checks import combinations
from sa_study.study.config import StudyConfig
from sa_study.training.trainer import pretrained_backbone
from sa_study.utils.errors import WeightsError

PretrainedBackbones = Mapping[tuple[str, str], Mapping[str, Tensor]]
"""State dicts of pretrained backbones by the settings backbone and pretrained."""

_FINGERPRINTS_KEY = "starts"
"""Key of the backbones' fingerprints in a launch's entry of `provenance.json`."""


def load_backbones(config: StudyConfig, say: Callable[[str], None] = lambda _: None) -> PretrainedBackbones:
    """Reads all pretrained backbones in the search space; workers need not have the files.

    Args:
        config: The study.
        say: Called with a note on a file that users ought to read.

    Raises:
        WeightsError: One cannot be read or downloaded.
    """
    starts = combinations(config.space, ("backbone", "pretrained"))
    for note in filter(None, itertools.starmap(pretrained_note, starts)):
        say(note)
    return {key: state for key in starts if (state := pretrained_backbone(*key)) is not None}


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and values, whatever file they were read from."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def backbone_fingerprints(backbones: PretrainedBackbones) -> dict[str, Any]:
    """The backbones of a launch as an entry of `provenance.json`."""
    return {
        _FINGERPRINTS_KEY: [
            {**as_stored({"backbone": backbone}), "pretrained": pretrained, "sha256": fingerprint(state)}
            for (backbone, pretrained), state in backbones.items()
        ]
    }


def require_same_backbones(backbones: PretrainedBackbones, launches: Iterable[object]) -> None:
    """Checks that the backbones are those of earlier launches, so that a study's trials are comparable.

    Args:
        backbones: The backbones now.
        launches: Entries of `provenance.json`; those without fingerprints pass.

    Raises:
        WeightsError: A backbone has changed.
    """
    now = {key: fingerprint(state) for key, state in backbones.items()}
    for launch in launches:
        for (backbone, pretrained), found in now.items():
            if recorded_fingerprint(launch, backbone, pretrained) not in (None, found):
                raise WeightsError(
                    f"pretrained: {pretrained} does not hold the weights that the study was begun with; "
                    "put them back, or begin another study"
                )


def recorded_fingerprint(launch: object, backbone: str, pretrained: str) -> str | None:
    """The fingerprint of a backbone that a launch recorded; None if it recorded none.

    Args:
        launch: An entry of `provenance.json`, perhaps damaged.
        backbone: Name of the backbone.
        pretrained: The setting `pretrained`.
    """
    entries = launch.get(_FINGERPRINTS_KEY) if isinstance(launch, Mapping) else None
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, Mapping) or not isinstance(found := entry.get("sha256"), str):
            continue
        if as_stored({"backbone": backbone, "pretrained": pretrained}).items() <= entry.items():
            return found
    return None
