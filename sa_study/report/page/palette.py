"""Colours of the page's figures; each has a twin for a dark background, which the page swaps in."""

from __future__ import annotations

PALETTE = {
    "winner": ("#0b6e63", "#4fd1bd"),
    "baseline": ("#b45f06", "#f0a850"),
    "COMPLETE": ("#3f6ea8", "#86b3ec"),
    "PRUNED": ("#9aa2ad", "#717b88"),
    "FAIL": ("#b3261f", "#ff8a80"),
    "RUNNING": ("#7b4fa3", "#c9a2f0"),
    "WAITING": ("#c4c9d0", "#4c5561"),
    "line": ("#59626e", "#a3adba"),
    "ramp0": ("#c3d0de", "#2b4157"),
    "ramp1": ("#a1bdd5", "#35597c"),
    "ramp2": ("#78a4c6", "#3f7eae"),
    "ramp3": ("#467fab", "#5ea6d6"),
    "ramp4": ("#225a87", "#92c9ef"),
    "ramp5": ("#0c355a", "#d6edff"),
}
"""By name, the colour on white and the one on a dark background; no colour stands twice."""

STATES = {
    "COMPLETE": "complete",
    "PRUNED": "stopped early",
    "FAIL": "failed",
    "RUNNING": "not ended",
    "WAITING": "waiting",
}
"""Optuna's states in words."""

RAMP = [PALETTE[f"ramp{index}"][0] for index in range(6)]
"""From the worst to the best value."""


def colour(name: str) -> str:
    """A colour on white."""
    return PALETTE[name][0]
