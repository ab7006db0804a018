"""Settings: types, ranges, and the one line that a wrong one gets."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from refusals import refusal

from sa_study.settings.run import PAPER_VARIANTS, Settings, check_values, completed, describe_settings
from sa_study.utils.errors import ConfigError


def test_defaults_are_the_published_configuration() -> None:
    settings = Settings()
    assert (settings.backbone, settings.height, settings.width, settings.parts) == ("resnet50", 384, 128, 6)
    sgd = (settings.lr, settings.backbone_lr_factor, settings.momentum, settings.weight_decay)
    assert sgd == (0.1, 0.1, 0.9, 5e-4)
    assert (settings.epochs, settings.batch_size, settings.dropout) == (100, 48, 0.5)
    assert (settings.attention, settings.deep_supervision, settings.random_erasing) == ("mean", True, 0.0)


@pytest.mark.parametrize(
    ("variant", "changed"),
    [
        ("main", {}),
        ("ablation", {"epochs": 60}),
        ("ablation-no-attention", {"epochs": 60, "attention": "none"}),
        ("random-erasing", {"random_erasing": 0.5}),
        ("softmax", {"attention": "softmax"}),
    ],
)
def test_paper_variants(variant: str, changed: dict[str, Any]) -> None:
    expected = Settings(val_identities=0, step_epochs=40, **changed)
    assert PAPER_VARIANTS[variant] == expected
    assert expected.decay_epochs == 40


@pytest.mark.parametrize(
    ("epochs", "fraction", "expected"),
    [(100, 0.4, 40), (60, 0.4, 24), (10, 0.4, 4), (1, 0.4, 1), (3, 0.1, 1)],
)
def test_decay_scales_with_the_schedule(epochs: int, fraction: float, expected: int) -> None:
    assert Settings(epochs=epochs, step_fraction=fraction).decay_epochs == expected


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"depth": 20}, ["depth", "20", "18, 34, 50, 101, 152"]),
        ({"depth": True}, ["depth", "True"]),
        ({"dropout": 1.0}, ["dropout", "1.0", "< 1"]),
        ({"dropout": "much"}, ["dropout", "'much'", "float"]),
        ({"lr": 0}, ["lr", "> 0"]),
        ({"lr": float("nan")}, ["lr", "nan"]),
        ({"epochs": 2.5}, ["epochs", "2.5", "int"]),
        ({"batch_size": 1}, ["batch_size", ">= 2"]),
        ({"deep_supervision": 1}, ["deep_supervision", "true | false"]),
        ({"attention": "max"}, ["attention", "'max'", "mean, softmax, none"]),
        ({"pretrained": False}, ["pretrained", "False"]),
        ({"height": 80, "parts": 6}, ["height", "80", "96", "parts=6"]),
        ({"backbone": "vgg"}, ["backbone", "'vgg'", "resnet152", "timm/NAME"]),
        ({"optimizer": "lion"}, ["optimizer", "'lion'", "sgd, adam, adamw"]),
        ({"label_smoothing": 1}, ["label_smoothing", "1.0", "< 1"]),
        ({"triplet_weight": 1}, ["images_per_identity", "0", "triplet_weight=1", "the least is 2"]),
        (
            {"triplet_weight": 1, "images_per_identity": 4, "batch_size": 16, "accumulate": 3},
            ["accumulate", "3", "batch_size=16", "2 identities", "the most is 2"],
        ),
        (
            {"triplet_weight": 1, "images_per_identity": 8, "batch_size": 8},
            ["batch_size=8", "2 identities", "take a larger batch"],
        ),
        ({"dropuot": 0.5}, ["'dropuot'", "did you mean dropout"]),
        ({7: 0.5}, ["unknown setting 7"]),
        ({"lr": None}, ["lr", "None"]),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(values: dict[str, Any], words: list[str]) -> None:
    text = refusal(ConfigError, Settings.from_mapping, values, "here")
    assert text.startswith("here: ") and all(word in text for word in words), text


def test_numbers_take_the_type_of_their_setting() -> None:
    settings = Settings.from_mapping({"lr": 1, "epochs": 5.0, "weight_decay": "1e-3"})
    assert settings.lr == 1.0 and isinstance(settings.lr, float)
    assert settings.epochs == 5 and isinstance(settings.epochs, int)
    assert settings.weight_decay == 1e-3


def test_a_weights_file_is_kept_with_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights.pth").touch()
    monkeypatch.chdir(tmp_path)
    assert Settings(pretrained="weights.pth").pretrained == str(tmp_path / "weights.pth")


def test_every_setting_is_described() -> None:
    for name, default, allowed, meaning in describe_settings():
        assert default and allowed and len(meaning) > 10, name


def test_what_an_older_file_records_is_completed_by_the_defaults() -> None:
    recorded = Settings(lr=0.2, split_seed=3).to_dict()
    del recorded["fold"]
    assert completed(recorded) == Settings(lr=0.2, split_seed=3).to_dict()
    assert completed({"fold": 2})["fold"] == 2


def test_depth_is_another_spelling_of_a_resnet() -> None:
    settings = Settings.from_mapping({"backbone": "resnet18"})
    assert settings == Settings.from_mapping({"depth": 18}) == Settings(depth=18)
    assert settings.to_dict()["depth"] == 18 and "backbone" not in settings.to_dict()
    assert dataclasses.replace(settings, lr=0.2).backbone == "resnet18"
    assert dataclasses.replace(settings, **check_values({"backbone": "resnet34"})).backbone == "resnet34"
    assert completed({"backbone": "resnet18"})["backbone"] == "resnet18"
    with pytest.raises(ConfigError, match="depth: is another spelling of backbone"):
        Settings.from_mapping({"depth": 18, "backbone": "resnet18"})
