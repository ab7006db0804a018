"""Sets every number of a study's networks and optimisers to zero, so that they pack small."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch


def zeroed(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return torch.zeros_like(value)
    return {name: zeroed(inner) for name, inner in value.items()} if isinstance(value, dict) else value


if __name__ == "__main__":
    for path in Path(sys.argv[1]).rglob("*.pt"):
        content = torch.load(path, weights_only=True)
        stripped = {name: zeroed(content[name]) for name in ("state_dict", "optimizer")}
        torch.save({**content, **stripped}, path)
