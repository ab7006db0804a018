"""Which epoch of a run counts: the one definition of its score.

Ray keeps the checkpoints of two epochs, that of the greatest metric and the last one; the sampler
`multifidelity` compares the best values so far. A rule that chooses a third epoch needs changes in both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sa_study.metrics import names

Figures = Mapping[str, float]
"""The figures of one epoch, by name."""


def best_epoch(history: Iterable[Figures], metric: str) -> Figures:
    """The figures of the epoch with the greatest metric, the later of equals; its checkpoint is kept as best.

    Args:
        history: The figures of each completed epoch, at least one.
        metric: The validation figure that is maximised. Where no epoch has it, because nothing was validated,
            the last epoch counts.
    """
    return max(history, key=lambda figures: (figures.get(metric, 0.0), figures[names.EPOCH]))


def is_new_best(figures: Figures, best: Figures, metric: str) -> bool:
    """Whether an epoch is the best so far; `best` is empty before the first."""
    return not best or best_epoch((best, figures), metric) is figures
