"""Training: reproducible, resumable bit for bit, scheduled and scored as it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_space import SMALL

from sa_study.data.dataset import ReidDataset
from sa_study.data.store import TrainingData, load_training_data
from sa_study.metrics import names
from sa_study.settings.run import Settings
from sa_study.training.score import best_epoch
from sa_study.training.trainer import Trainer
from sa_study.utils.errors import ConfigError, Diverged

FAST = {**SMALL, "num_features": 8, "epochs": 3, "lr": 0.02}
TIMES = {names.SECONDS, names.IMAGES_PER_SECOND, names.LATENCY}


def settings(**changed: Any) -> Settings:
    return Settings(**{**FAST, **changed})


@pytest.fixture
def data(make_market: Callable[..., Path]) -> TrainingData:
    return load_training_data(ReidDataset(make_market()), settings(val_identities=2))


def without_times(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in figures.items() if name not in TIMES} for figures in history]


def run(trainer: Trainer, epochs: int) -> Trainer:
    for _ in range(epochs):
        trainer.run_epoch()
    return trainer


def same_weights(a: Trainer, b: Trainer) -> bool:
    first, second = a.checkpoint().state_dict, b.checkpoint().state_dict
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_an_epoch_reports_everything(data: TrainingData) -> None:
    figures = run(Trainer(settings(), data), 1).history[0]
    branches = {f"loss/{name}" for name in ("part1", "part2", "global", "stage1", "stage2", "stage3")}
    assert branches <= set(figures)
    assert figures["loss"] == pytest.approx(sum(figures[name] for name in branches), rel=1e-5)
    assert figures[names.EPOCH] == 1 and figures[names.PROGRESS] == pytest.approx(100 / 3)
    for name in (*names.RANKING, names.TRAIN_ACCURACY):
        assert 0 <= figures[name] <= 1
    assert all(figures[name] > 0 for name in TIMES)


@pytest.mark.parametrize("changed", [{}, {"random_erasing": 0.5, "dropout": 0.3, "attention": "softmax"}])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    data: TrainingData, changed: dict[str, Any]
) -> None:
    whole = run(Trainer(settings(**changed), data), 3)
    first = run(Trainer(settings(**changed), data), 1)
    checkpoint = first.checkpoint()
    torch.rand(7)  # whatever else the process draws must not matter
    second = Trainer(settings(**changed), data)
    second.restore(checkpoint)
    run(second, 2)
    assert second.finished and without_times(second.history) == without_times(whole.history)
    assert same_weights(second, whole)


def without_batch_norm(trainer: Trainer) -> Trainer:
    """Batch norm sees a part of the batch; without it the parts must add up to the whole."""
    for module in list(trainer._net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, torch.nn.BatchNorm2d):
                setattr(module, name, torch.nn.Identity())
    return trainer


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_gradients_in_parts_add_up_to_the_batchs(data: TrainingData, parts: int) -> None:
    small = {"dropout": 0.0, "lr": 1e-4}  # the network diverges without batch norm, if not at once
    whole = run(without_batch_norm(Trainer(settings(**small), data)), 1)
    parted = run(without_batch_norm(Trainer(settings(accumulate=parts, **small), data)), 1)
    for name in ("loss", "loss/part1", names.TRAIN_ACCURACY):
        assert parted.history[0][name] == pytest.approx(whole.history[0][name], rel=1e-4)
    first, second = whole.checkpoint().state_dict, parted.checkpoint().state_dict
    for name, value in first.items():
        assert torch.allclose(second[name], value, rtol=1e-3, atol=1e-6), name


def test_a_run_goes_on_with_more_parts(data: TrainingData) -> None:
    checkpoint = run(Trainer(settings(), data), 1).checkpoint()
    trainer = Trainer(settings(accumulate=2), data)
    trainer.restore(checkpoint)
    assert run(trainer, 2).finished


def test_a_network_starts_from_a_backbone_at_hand(data: TrainingData) -> None:
    start = run(Trainer(settings(seed=5), data), 1)._net.base.state_dict()
    missing = settings(pretrained="/on/another/machine.pth")
    trainer = Trainer(missing, data, start)
    assert all(torch.equal(value, start[name]) for name, value in trainer._net.base.state_dict().items())


def test_the_average_is_validated_and_kept(data: TrainingData) -> None:
    plain, averaged = (run(Trainer(settings(ema_decay=decay), data), 2) for decay in (0.0, 0.6))
    kept, checkpoint = plain.checkpoint().state_dict, averaged.checkpoint()
    assert checkpoint.trained is not None
    assert all(torch.equal(kept[name], value) for name, value in checkpoint.trained.items()), "untouched"
    assert not same_weights(plain, averaged)
    names_of_losses = plain.step.figures
    for name in names_of_losses:
        assert plain.history[1][name] == averaged.history[1][name]
    averaged.net.load_state_dict(checkpoint.trained)
    figures = [
        {key: found[key] for key in names.RANKING} for found in (averaged._validate(), plain.history[1])
    ]
    assert figures[0] == figures[1]


def test_seeds_decide(data: TrainingData) -> None:
    one, again, other = (run(Trainer(settings(seed=seed), data), 1) for seed in (1, 1, 2))
    assert same_weights(one, again) and not same_weights(one, other)


def test_learning_rates_decay_by_the_epoch_and_the_backbone_has_its_share(data: TrainingData) -> None:
    trainer = Trainer(settings(epochs=5, step_fraction=0.4, lr_decay=0.5), data)
    run(trainer, 5)
    assert [figures[names.LR] for figures in trainer.history] == [0.02, 0.02, 0.01, 0.01, 0.005]
    groups = trainer.checkpoint().optimizer
    assert groups is not None
    assert [group["lr"] for group in groups["param_groups"]] == [0.005 * 0.1, 0.005]


def test_without_held_out_identities_nothing_is_validated(make_market: Callable[..., Path]) -> None:
    data = load_training_data(ReidDataset(make_market()), settings(val_identities=0))
    trainer = run(Trainer(settings(), data), 2)
    assert not set(names.RANKING) & set(trainer.history[0])
    assert best_epoch(trainer.history, names.MAP) is trainer.history[-1]


def test_the_best_epoch_is_the_later_of_equals() -> None:
    history = [{"epoch": epoch, "mAP": value} for epoch, value in enumerate((0.2, 0.5, 0.5, 0.1), 1)]
    assert best_epoch(history, "mAP")["epoch"] == 3


def test_a_loss_that_is_not_finite_ends_the_run(data: TrainingData) -> None:
    with pytest.raises(Diverged, match=r"epoch \d: .* (nan|inf); a lower lr"):
        run(Trainer(settings(lr=100.0, momentum=0.99), data), 3)
    with pytest.raises(Diverged, match=r"epoch \d: .* (nan|inf); a lower adam_lr"):
        run(Trainer(settings(optimizer="adam", adam_lr=100.0, adam_beta2=0.0), data), 3)


def test_a_checkpoint_of_other_settings_is_refused(data: TrainingData) -> None:
    checkpoint = run(Trainer(settings(), data), 1).checkpoint()
    with pytest.raises(ConfigError, match=r"lr: the checkpoint was made with 0\.02, not 0\.05"):
        Trainer(settings(lr=0.05), data).restore(checkpoint)
    with pytest.raises(ConfigError, match="weights only"):
        Trainer(settings(), data).restore(checkpoint.weights_only())


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for a device that is there")
def test_a_missing_device_is_named(data: TrainingData) -> None:
    with pytest.raises(ConfigError, match="device: cuda"):
        Trainer(settings(device="cuda"), data)


def test_bf16_and_channels_last_change_the_arithmetic_only(data: TrainingData) -> None:
    plain = run(Trainer(settings(), data), 1).history[0]
    other = run(Trainer(settings(precision="bf16", channels_last=True), data), 1).history[0]
    assert other["loss"] == pytest.approx(plain["loss"], rel=0.05) and other["loss"] != plain["loss"]
