"""Python imports this at its start, where the folder is on PYTHONPATH: see `narrow_backbone`."""

from __future__ import annotations

import narrow_backbone

narrow_backbone.register()
