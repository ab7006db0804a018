"""A stand-in for training: learning curves on random landscapes with a known optimum.

A landscape, over lr, dropout and epochs, is a seed; every number of it is drawn once from the ranges in
`draw_landscape`, which follow what training this kind of network shows, not what any search method likes:

- the final mAP is a tilted bell over log lr and dropout with waves on it, whose best lr moves with the length
  of the schedule; longer schedules gain less and less, and may overfit where dropout is small;
- the mAP rises with the epoch, is held down while the learning rate is high (the more, the higher), and jumps
  when the rate decays at 40 % of the schedule: at an equal epoch a longer schedule looks worse, at its end
  better, and lower rates look better than they are before the decay;
- rates beyond an edge wear the result down late, and make it noisy;
- each training has its own luck, and each epoch noise, several times as much before the decay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LR = (0.001, 1.0)
"""Three decades: what one searches who has no good guess. In one and a half, half of all rates will do."""

DROPOUT = (0.0, 0.8, 0.1)
EPOCHS = (40, 120, 20)
"""As in search_spaces/default.yaml: least and greatest value, and step."""

DECAY = 0.4
"""Share of the schedule after which the learning rate is lowered, as in the paper."""


@dataclass(frozen=True)
class Run:
    """One training: what it would report after each epoch, and the same without noise and luck."""

    reported: Floats
    expected: Floats
    durations: Floats


@dataclass(frozen=True)
class Landscape:
    """A random relation of settings to learning curves. Rates are places in the log range, 0 to 1.

    Attributes:
        seed: Drawn from it, like all noise.
        top: mAP at the summit of an endless schedule.
        rate: Best rate of an 80-epoch schedule.
        dropout: Best dropout.
        widths: Standard deviations of the bell along rate and dropout.
        tilt: Correlation of the two.
        shift: How far the best rate moves when the schedule doubles.
        floor: Height of the plain around the bell, as a share of the summit.
        waves: Rows of amplitude, waves along rate and dropout, phase.
        short: Share that a 40-epoch schedule loses, and the power with which longer ones lose less.
        overfit: Share that 120 epochs without dropout lose.
        rise: Epochs in which most is learned at the greatest rate, and by how many doublings the least is
            slower.
        jump: Share that is missing before the decay, at a middling rate.
        settle: Share of the schedule in which the jump is made.
        edge: Greatest rate that does no harm.
        wear: How fast higher ones do.
        luck: Standard deviation of a training's own offset.
        noise: Standard deviation of an epoch's, after the decay, and how many times that before.
    """

    seed: int
    top: float
    rate: float
    dropout: float
    widths: tuple[float, float]
    tilt: float
    shift: float
    floor: float
    waves: Floats
    short: tuple[float, float]
    overfit: float
    rise: tuple[float, float]
    jump: float
    settle: float
    edge: float
    wear: float
    luck: float
    noise: tuple[float, float]

    def curve(self, lr: Floats | float, dropout: Floats | float, epochs: int) -> Floats:
        """The expected mAP after each epoch, for any number of rates and dropouts: [..., epochs]."""
        rate, dropout = _place(np.asarray(lr)[..., None]), np.asarray(dropout)[..., None]
        epoch = np.arange(1, epochs + 1)
        share = epoch / epochs
        start, slower = self.rise
        learned = 1 - np.exp(-epoch / (start * 2 ** (slower * (1 - rate))))
        missing = self.jump * (0.5 + rate) * np.exp(-np.maximum(share - DECAY, 0) / self.settle)
        worn = np.clip(self.wear * np.maximum(rate - self.edge, 0) * share, 0, 0.9)
        return np.asarray(self._quality(rate, dropout, epochs) * learned * (1 - missing) * (1 - worn))

    def run(self, lr: float, dropout: float, epochs: int, number: int) -> Run:
        """The training of a study's trial; equal numbers have equal luck whatever method asks."""
        rng = np.random.default_rng([self.seed, 1, number])
        expected = self.curve(lr, dropout, epochs)
        noise, before = self.noise
        share = np.arange(1, epochs + 1) / epochs
        hot = 1 + 5 * max(float(_place(np.asarray(lr))) - self.edge, 0)
        deviation = noise * hot * np.where(share <= DECAY, before, 1)
        offset = self.luck * rng.standard_normal() + deviation * rng.standard_normal(epochs)
        return Run(np.clip(expected + offset, 1e-3, 1), expected, rng.uniform(0.8, 1.2, epochs))

    @cached_property
    def optimum(self) -> float:
        """The greatest expected mAP that any epoch of any configuration reaches."""
        lrs = np.geomspace(*LR, 1000)[:, None]
        low, high, step = DROPOUT
        dropouts = np.arange(low, high + step / 2, step)[None, :]
        low, high, step = EPOCHS
        return max(float(self.curve(lrs, dropouts, e).max()) for e in range(low, high + 1, step))

    def _quality(self, rate: Floats, dropout: Floats, epochs: int) -> Floats:
        across = (rate - self.rate - self.shift * math.log2(epochs / 80)) / self.widths[0]
        along = (dropout - self.dropout) / self.widths[1]
        distance = (across**2 + along**2 - 2 * self.tilt * across * along) / (1 - self.tilt**2)
        bell = self.floor + (1 - self.floor) * np.exp(-distance / 2)
        lost, power = self.short
        schedule = 1 - lost * (40 / epochs) ** power - self.overfit * (epochs / 120) ** 2 * (1 - dropout)
        waves = sum(a * np.cos(2 * math.pi * (r * rate + d * dropout + p)) for a, r, d, p in self.waves)
        return np.asarray(self.top * bell * schedule + waves)


def draw_landscape(seed: int) -> Landscape:
    """Draws a landscape; mAP and shares are in [0, 1]."""
    rng = np.random.default_rng([seed, 0])
    rate = rng.uniform(0.15, 0.85)
    amplitude = rng.uniform(0, 0.01)
    return Landscape(
        seed=seed,
        top=rng.uniform(0.6, 0.9),
        rate=rate,
        dropout=rng.uniform(0.1, 0.7),
        widths=(rng.uniform(0.1, 0.3), rng.uniform(0.2, 0.6)),
        tilt=rng.uniform(-0.5, 0.5),
        shift=rng.uniform(-0.15, 0.05),
        floor=rng.uniform(0.3, 0.7),
        waves=np.column_stack([np.full(3, amplitude), rng.uniform(0.5, 4, (3, 2)), rng.uniform(size=3)]),
        short=(rng.uniform(0.02, 0.1), rng.uniform(0.7, 2)),
        overfit=rng.uniform(0, 0.06),
        rise=(rng.uniform(3, 8), rng.uniform(0.5, 3)),
        jump=rng.uniform(0.1, 0.3),
        settle=rng.uniform(0.03, 0.12),
        edge=rate + rng.uniform(0.1, 0.3),
        wear=rng.uniform(0.5, 2),
        luck=rng.uniform(0.001, 0.004),
        noise=(rng.uniform(0.0005, 0.002), rng.uniform(3, 8)),
    )


def _place(lr: Floats) -> Floats:
    return np.asarray(np.log(lr / LR[0]) / math.log(LR[1] / LR[0]))
