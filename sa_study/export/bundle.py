"""The network's folder of an export: files in each format for each kind of input, checked, and their card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sa_study.export.card import NetworkCard, as_text, describe_file, readme
from sa_study.export.check import largest_difference, read_onnx, read_torch
from sa_study.export.network import KINDS, PixelNetwork, trace, write_onnx, write_torch
from sa_study.model.network import FeatureNetwork
from sa_study.provenance import describe_run
from sa_study.training.evaluate import TrainedNetwork
from sa_study.utils.progress import PhaseCallback

_WAYS = {"onnx": (write_onnx, read_onnx, ".onnx"), "torch": (write_torch, read_torch, ".pt2")}
"""By format: what writes it, what reads it back, and how its files end."""

_NAMES = {"normalised": "features", "uint8": "features_uint8"}


def write_networks(
    trained: TrainedNetwork,
    source: Mapping[str, Any],
    formats: Sequence[str],
    place: Path,
    report: PhaseCallback,
) -> dict[str, float]:
    """Writes a network's files, `network.json` and `README.md`.

    Args:
        trained: The network.
        source: Where it comes from, as plain values.
        formats: Of `onnx` and `torch`.
        place: Folder to make.
        report: Told how far it is.

    Returns:
        By file the largest difference of a feature to PyTorch's.

    Raises:
        RunFailed: A file does not compute what the network does.
    """
    place.mkdir()
    settings = trained.settings
    size = settings.height, settings.width
    # Neither the command nor the hardware: they tell of places that are nobody's business.
    made = {name: value for name, value in describe_run().items() if name not in ("command", "hardware")}
    card = NetworkCard(settings, source, made)
    plain = FeatureNetwork(trained.net).eval()
    files: dict[str, dict[str, Any]] = {}
    for kind in KINDS:
        network = plain if kind == "normalised" else PixelNetwork(plain).eval()
        program = trace(network, kind, *size)
        for name in formats:
            report("networks", len(files), len(KINDS) * len(formats))
            write, read, ending = _WAYS[name]
            path = place / f"{_NAMES[kind]}{ending}"
            write(program, path, as_text({**card.to_dict(), "input": kind}))
            differences = largest_difference(network, read(path), kind, *size)
            files[path.name] = describe_file(path, kind, differences)
    report("networks", 1, 1)
    (place / "network.json").write_text(as_text({**card.to_dict(), "files": files}), encoding="utf-8")
    (place / "README.md").write_text(readme(card, files), encoding="utf-8")
    return {
        f"{place.name}/{name}": max(about["largest_difference_to_pytorch"].values())
        for name, about in files.items()
    }
