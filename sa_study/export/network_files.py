"""The folder `network` of an export: the network in each format, `network.json` and `README.md`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sa_study.data.batches import MEAN, STD
from sa_study.export import network
from sa_study.export.documents import render
from sa_study.export.network import BATCH, BATCHES, INPUT, INPUTS, LIMIT, OPSET, OUTPUT, PixelNetwork
from sa_study.model.backbones import BACKBONES
from sa_study.model.network import FeatureNetwork
from sa_study.provenance import describe_run
from sa_study.settings.run import Settings
from sa_study.training.evaluate import TrainedNetwork
from sa_study.utils.progress import PhaseCallback

FORMAT = 1
_DIFFERENCE = "largest_difference_to_pytorch"

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
    wanted: Mapping[str, tuple[str, str]],
    folder: Path,
    report: PhaseCallback,
) -> dict[str, float]:
    """Writes a network's files, `network.json` and `README.md` into a new folder.

    `source` tells as plain values where the network comes from; the `wanted` files have each a format, `onnx`
    or `torch`, and the one of `INPUTS` that it takes.

    Returns:
        By file the largest difference of a feature to PyTorch's.

    Raises:
        RunFailed: A file does not compute what the network does.
    """
    folder.mkdir()
    height, width = trained.settings.height, trained.settings.width
    about = _describe_network(trained.settings, source)
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
        write(programs[kind], path, _as_json({**about, "input": kind}))
        differences = network.largest_difference(networks[kind], read(path), kind, height, width)
        files[name] = _describe_file(path, kind, differences)
    report("networks", 1, 1)
    (folder / "network.json").write_text(_as_json({**about, "files": files}), encoding="utf-8")
    largest = {name: float(max(file[_DIFFERENCE].values())) for name, file in files.items()}
    readme = _readme(trained.settings, about, files, largest)
    (folder / "README.md").write_text(readme, encoding="utf-8")
    return {f"{folder.name}/{name}": difference for name, difference in largest.items()}


def _readme(
    settings: Settings,
    about: Mapping[str, Any],
    files: Mapping[str, Mapping[str, Any]],
    largest: Mapping[str, float],
) -> str:
    """The content of `README.md`: what the files are, how they are used, and how exact they are."""
    described = {name: getattr(settings, name) for name in _DESCRIBED}
    return render(
        "network.md.j2",
        **about,
        files=files,
        takes=INPUTS,
        largest=largest,
        described=described | {"lr": settings.peak_lr},
        opset=OPSET,
        limit=LIMIT,
        batches=BATCHES,
        versions=f"PyTorch {torch.__version__}",
    )


def _describe_network(settings: Settings, source: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `network.json` without the files, as plain values."""
    size, channels = (settings.height, settings.width), BACKBONES[settings.backbone].widths[3]
    # Neither the command nor the hardware: they tell of places that are nobody's business.
    exported = {name: value for name, value in describe_run().items() if name not in ("command", "hardware")}
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
            "shape": [BATCH, settings.parts * channels],
            "layout": "stripe by stripe, top to bottom; the channels of each have length 1",
            "stripes": settings.parts,
            "channels": channels,
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
        "source": dict(source),
        "settings": settings.to_dict(),
        "exported": exported,
    }


def _describe_file(path: Path, kind: str, differences: Mapping[str, float]) -> dict[str, Any]:
    """The entry of a file in `network.json`."""
    about = {"input": kind, "bytes": path.stat().st_size}
    with path.open("rb") as file:
        about["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
    if path.suffix == ".onnx":
        about["opset"] = OPSET
    return {**about, _DIFFERENCE: dict(differences), "checked_at_batches": list(BATCHES)}


def _as_json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=2, allow_nan=False) + "\n"
