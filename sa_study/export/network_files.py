"""The folder `network` of an export: the network in each format, `network.json` and `README.md`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sa_study.data.batches import MEAN, STD
from sa_study.export import network
from sa_study.export.documents import render
from sa_study.export.files import NETWORKS
from sa_study.export.network import BATCH, BATCHES, INPUT, INPUTS, LIMIT, OPSET, OUTPUT, PixelNetwork
from sa_study.model.backbones import BACKBONES
from sa_study.model.network import FeatureNetwork
from sa_study.provenance import describe_run
from sa_study.settings.run import Settings
from sa_study.training.evaluate import TrainedNetwork
from sa_study.utils.progress import PhaseCallback

FORMAT = 1

_FORMATS = {
    "onnx": (network.write_onnx, network.read_onnx),
    "torch": (network.write_torch, network.read_torch),
}
"""By format the functions that write a file and read it back."""

_DESCRIBED = (
    *("backbone", "attention", "attention_stage4", "deep_supervision", "parts", "lr", "dropout", "epochs"),
    *("batch_size", "precision"),
)
"""Settings that the README names."""


def write_networks(
    trained: TrainedNetwork,
    source: Mapping[str, Any],
    formats: Sequence[str],
    folder: Path,
    report: PhaseCallback,
) -> dict[str, float]:
    """Writes a network's files, `network.json` and `README.md`.

    Args:
        trained: The network.
        source: Where it comes from, as plain values; the first of them name it.
        formats: `onnx`, `torch` or both.
        folder: Folder to create.
        report: Called with the phase and how many files are done of how many.

    Returns:
        By file the largest difference of a feature to PyTorch's.

    Raises:
        RunFailed: A file does not compute what the network does.
    """
    folder.mkdir()
    height, width = trained.settings.height, trained.settings.width
    # Neither the command nor the hardware: they tell of places that are nobody's business.
    exported = {name: value for name, value in describe_run().items() if name not in ("command", "hardware")}
    card = NetworkCard(trained.settings, source, exported)
    wanted = {name: entry for name, entry in NETWORKS.items() if entry[0] in formats}
    networks: dict[str, torch.nn.Module] = {"normalised": FeatureNetwork(trained.net).eval()}
    networks["uint8"] = PixelNetwork(networks["normalised"]).eval()
    programs = {
        kind: network.trace(networks[kind], kind, height, width)
        for kind in dict.fromkeys(kind for _, kind in wanted.values())
    }
    files: dict[str, dict[str, Any]] = {}
    for name, (format_name, kind) in wanted.items():
        report("networks", len(files), len(wanted))
        write, read = _FORMATS[format_name]
        path = folder / name
        write(programs[kind], path, as_json({**card.to_dict(), "input": kind}))
        differences = network.largest_difference(networks[kind], read(path), kind, height, width)
        files[name] = _describe_file(path, kind, differences)
    report("networks", 1, 1)
    (folder / "network.json").write_text(as_json({**card.to_dict(), "files": files}), encoding="utf-8")
    (folder / "README.md").write_text(_readme(card, files), encoding="utf-8")
    return {f"{folder.name}/{name}": _largest(about) for name, about in files.items()}


@dataclass(frozen=True)
class NetworkCard:
    """The description of a feature network that lies beside its files.

    Attributes:
        settings: The settings that it was trained with.
        source: Where it comes from, as plain values; the first of them name it.
        exported: Versions and time of the export, as `describe_run` gives them.
    """

    settings: Settings
    source: Mapping[str, Any]
    exported: Mapping[str, Any]

    @property
    def channels(self) -> int:
        """Number of features of a stripe."""
        return BACKBONES[self.settings.backbone].widths[3]

    @property
    def features(self) -> int:
        """Number of features of an image."""
        return self.settings.parts * self.channels

    def to_dict(self) -> dict[str, Any]:
        """The description without the files, as plain values."""
        size = self.settings.height, self.settings.width
        return {
            "format": FORMAT,
            "what": "feature network of a parameter-free spatial attention network (arXiv 1811.12150)",
            "inputs": {
                "normalised": {"name": INPUT, "dtype": "float32", "shape": [BATCH, 3, *size]},
                "uint8": {"name": INPUT, "dtype": "uint8", "shape": [BATCH, *size, 3]},
            },
            "output": {
                "name": OUTPUT,
                "dtype": "float32",
                "shape": [BATCH, self.features],
                "layout": "stripe by stripe, top to bottom; the channels of each have length 1",
                "stripes": self.settings.parts,
                "channels": self.channels,
            },
            "preprocessing": {
                "color": "RGB",
                "orientation": "upright, as EXIF says",
                "height": size[0],
                "width": size[1],
                "resize": "bilinear, antialiased, on uint8: PIL.Image.resize((width, height), BILINEAR)",
                "range": "0 to 1 (bytes / 255)",
                "mean": list(MEAN),
                "std": list(STD),
            },
            "distance": "squared Euclidean",
            "precision": "float32",
            "source": dict(self.source),
            "settings": self.settings.to_dict(),
            "exported": dict(self.exported),
        }


def as_json(values: Mapping[str, Any]) -> str:
    """JSON for a file."""
    return json.dumps(values, indent=2, allow_nan=False) + "\n"


def _describe_file(path: Path, kind: str, differences: Mapping[str, float]) -> dict[str, Any]:
    """The entry of a file in `network.json`."""
    about = {"input": kind, "bytes": path.stat().st_size}
    with path.open("rb") as file:
        about["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
    if path.suffix == ".onnx":
        about["opset"] = OPSET
    return {**about, "largest_difference_to_pytorch": dict(differences), "checked_at_batches": list(BATCHES)}


def _largest(about: Mapping[str, Any]) -> float:
    return float(max(about["largest_difference_to_pytorch"].values()))


def _readme(card: NetworkCard, files: Mapping[str, Mapping[str, Any]]) -> str:
    """A page that says how to use the files that were written."""
    return render(
        "network.md.j2",
        files={
            name: {
                "takes": INPUTS[about["input"]],
                "size": f"{about['bytes'] / 1e6:.1f} MB",
                "difference": f"{_largest(about):.2g}",
            }
            for name, about in files.items()
        },
        source=card.source,
        settings=card.settings,
        described={name: getattr(card.settings, name) for name in _DESCRIBED},
        channels=card.channels,
        features=card.features,
        mean=", ".join(map(str, MEAN)),
        std=", ".join(map(str, STD)),
        opset=OPSET,
        limit=f"{LIMIT:g}",
        batches=" and ".join(map(str, BATCHES)),
        versions=f"PyTorch {torch.__version__}",
    )
