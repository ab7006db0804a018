"""Learning rates, compared with PyTorch's own schedulers."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

from sa_study.settings.run import Settings
from sa_study.training.schedule import learning_rate
from sa_study.utils.errors import ConfigError

STEPS = 5
"""Steps in an epoch."""


def rates(settings: Settings) -> list[float]:
    """The learning rate of every step."""
    return [
        learning_rate(settings, epoch + step / STEPS)
        for epoch in range(settings.epochs)
        for step in range(STEPS)
    ]


def pytorchs(settings: Settings, *kinds: Any) -> list[float]:
    """Those of PyTorch's schedulers, chained."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=settings.lr)
    schedulers = [kind(optimizer) for kind in kinds]
    found = []
    with warnings.catch_warnings(action="ignore"):  # it is the optimiser that ought to step first
        for _ in range(settings.epochs * STEPS):
            found.append(optimizer.param_groups[0]["lr"])
            for scheduler in schedulers:
                scheduler.step()
    return found


def test_steps_decay_as_pytorchs() -> None:
    settings = Settings(epochs=7, step_epochs=3, lr_decay=0.2)
    expected = pytorchs(settings, lambda opt: lr_scheduler.StepLR(opt, 3 * STEPS, 0.2))
    assert rates(settings) == pytest.approx(expected)


def test_a_cosine_is_pytorchs() -> None:
    settings = Settings(epochs=6, schedule="cosine")
    expected = pytorchs(settings, lambda opt: lr_scheduler.CosineAnnealingLR(opt, 6 * STEPS))
    assert rates(settings) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("warmup", [{"warmup_epochs": 2}, {"warmup_fraction": 0.25}])
def test_warm_up_is_pytorchs_and_multiplies_the_steps(warmup: dict[str, Any]) -> None:
    settings = Settings(epochs=8, step_epochs=1, lr_decay=0.5, warmup_factor=0.1, **warmup)
    expected = pytorchs(
        settings,
        lambda opt: lr_scheduler.StepLR(opt, STEPS, 0.5),
        lambda opt: lr_scheduler.LinearLR(opt, 0.1, total_iters=2 * STEPS),
    )
    assert rates(settings) == pytest.approx(expected)


def test_a_cosine_begins_where_warm_up_ends() -> None:
    settings = Settings(epochs=10, schedule="cosine", warmup_fraction=0.2, warmup_factor=0.0, lr=1.0)
    found = rates(settings)
    assert found[0] == 0 and found[2 * STEPS] == 1 == max(found) and 0 < found[-1] < 0.002
    assert found[: 2 * STEPS] == pytest.approx([step / (2 * STEPS) for step in range(2 * STEPS)])


def test_shares_give_schedules_of_one_shape() -> None:
    """So that trials of different lengths are comparable at equal progress."""
    same: dict[str, Any] = {"schedule": "cosine", "warmup_fraction": 0.25}
    short, long = (Settings(epochs=epochs, **same) for epochs in (4, 12))
    for share in (0, 0.1, 0.25, 0.6, 0.99):
        assert learning_rate(short, 4 * share) == pytest.approx(learning_rate(long, 12 * share))


def test_adam_has_a_learning_rate_of_its_own() -> None:
    assert learning_rate(Settings(optimizer="adamw", adam_lr=0.002), 0) == 0.002
    assert learning_rate(Settings(adam_lr=0.002), 0) == 0.1


def test_warm_up_must_leave_something() -> None:
    with pytest.raises(ConfigError, match=r"warmup_epochs: 5 leave nothing of epochs=5 after them; .* is 4"):
        Settings(epochs=5, warmup_epochs=5)
