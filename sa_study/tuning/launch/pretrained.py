"""The pretrained backbones that trials start from, and which ones a launch had."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor

from sa_study.model.weights import pretrained_note
from sa_study.settings.run import as_stored
from sa_study.study.config import StudyConfig
from sa_study.training.trainer import backbone_start
from sa_study.utils.errors import WeightsError

Starts = Mapping[tuple[str, str], Mapping[str, Tensor]]
"""State dicts of pretrained backbones by the settings backbone and pretrained."""

_NAME = "starts"


def load_starts(config: StudyConfig, say: Callable[[str], None] = lambda _: None) -> Starts:
    """Reads the pretrained backbones that trials may start from, here: workers need not have the files.

    Args:
        config: The study.
        say: Called with what a user ought to know of a file, a line.

    Raises:
        WeightsError: One cannot be had.
    """
    space = config.space
    for note in filter(None, map(pretrained_note, space.possible("pretrained"))):
        say(note)
    starts = {}
    for backbone, pretrained in itertools.product(space.possible("backbone"), space.possible("pretrained")):
        state = backbone_start(backbone, pretrained)
        if state is not None:
            starts[backbone, pretrained] = state
    return starts


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and values, whatever file they were read from."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def noted(starts: Starts) -> dict[str, Any]:
    """What a launch notes of its backbones, as plain values for `provenance.json`."""
    return {
        _NAME: [
            {**as_stored({"backbone": backbone}), "pretrained": pretrained, "sha256": fingerprint(state)}
            for (backbone, pretrained), state in starts.items()
        ]
    }


def require_same(starts: Starts, launches: Iterable[object]) -> None:
    """Checks that the backbones are those of earlier launches: trials of one study are compared.

    Args:
        starts: Those of now.
        launches: Entries of `provenance.json`; one that noted none is believed.

    Raises:
        WeightsError: One is another.
    """
    now = {key: fingerprint(state) for key, state in starts.items()}
    for launch in launches:
        for (backbone, pretrained), found in now.items():
            if start_of(launch, backbone, pretrained) not in (None, found):
                raise WeightsError(
                    f"pretrained: {pretrained} does not hold the weights that the study was begun with; "
                    "put them back, or begin another study"
                )


def start_of(launch: object, backbone: str, pretrained: str) -> str | None:
    """The fingerprint that a launch noted of a backbone; None where it noted none.

    Args:
        launch: An entry of `provenance.json`; anyone can have edited it.
        backbone: Its name.
        pretrained: The setting.
    """
    entries = launch.get(_NAME) if isinstance(launch, Mapping) else None
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, Mapping) or not isinstance(found := entry.get("sha256"), str):
            continue
        if as_stored({"backbone": backbone, "pretrained": pretrained}).items() <= entry.items():
            return found
    return None
