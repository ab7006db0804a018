"""What stands beside an exported network: `network.json` for programs, `README.md` for people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sa_study.data.batches import MEAN, STD
from sa_study.export.check import BATCHES, LIMIT
from sa_study.export.network import BATCH, INPUT, KINDS, OPSET, OUTPUT
from sa_study.export.text import markdown
from sa_study.model.backbones import BACKBONES
from sa_study.settings.run import Settings

FORMAT = 1

TEMPLATE = Path(__file__).with_name("network_readme.md")


@dataclass(frozen=True)
class NetworkCard:
    """A feature network.

    Attributes:
        settings: What it was trained with.
        source: Where it comes from, as plain values; the first of them name it.
        made: What exported it, as `describe_run` tells.
    """

    settings: Settings
    source: Mapping[str, Any]
    made: Mapping[str, Any]

    @property
    def channels(self) -> int:
        """Features of a stripe."""
        return BACKBONES[self.settings.backbone].widths[3]

    @property
    def features(self) -> int:
        """Features of an image."""
        return self.settings.parts * self.channels

    def to_dict(self) -> dict[str, Any]:
        """The card without its files, as plain values."""
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
            "exported": dict(self.made),
        }


def as_text(values: Mapping[str, Any]) -> str:
    """JSON for a file."""
    return json.dumps(values, indent=2, allow_nan=False) + "\n"


def describe_file(path: Path, kind: str, differences: Mapping[str, float]) -> dict[str, Any]:
    """What `network.json` says of a file."""
    about = {"input": kind, "bytes": path.stat().st_size}
    with path.open("rb") as file:
        about["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
    if path.suffix == ".onnx":
        about["opset"] = OPSET
    return {**about, "largest_difference_to_pytorch": dict(differences), "checked_at_batches": list(BATCHES)}


def readme(card: NetworkCard, files: Mapping[str, Mapping[str, Any]]) -> str:
    """A page that says how to use the files, of those that were written."""
    settings = card.settings
    blocks = TEMPLATE.read_text(encoding="utf-8").split("<!-- only: ")
    text = blocks[0]
    for block in blocks[1:]:
        needed, _, body = block.partition(" -->\n")
        body, _, rest = body.partition("<!-- end -->\n")
        text += (body if needed in files else "") + rest
    rows = [
        f"| `{name}` | {KINDS[about['input']]} | {about['bytes'] / 1e6:.1f} MB | "
        f"{max(about['largest_difference_to_pytorch'].values()):.2g} |"
        for name, about in files.items()
    ]
    values = {
        "SOURCE": "\n".join(f"| {markdown(k)} | {markdown(_plain(v))} |" for k, v in card.source.items()),
        "FILES": "\n".join(rows),
        "HEIGHT": settings.height,
        "WIDTH": settings.width,
        "PARTS": settings.parts,
        "CHANNELS": card.channels,
        "FEATURES": card.features,
        "MEAN": ", ".join(map(str, MEAN)),
        "STD": ", ".join(map(str, STD)),
        "OPSET": OPSET,
        "LIMIT": f"{LIMIT:g}",
        "BATCHES": " and ".join(map(str, BATCHES)),
        "TRAINED": markdown(_trained(settings)),
        "VERSIONS": f"PyTorch {torch.__version__}",
    }
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def _trained(settings: Settings) -> str:
    names = (
        *("backbone", "attention", "attention_stage4", "deep_supervision", "parts"),
        *("lr", "dropout", "epochs", "batch_size", "precision"),
    )
    return ", ".join(f"{name} {_plain(getattr(settings, name))}" for name in names)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else "not known" if value is None else str(value)
