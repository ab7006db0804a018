"""Every setting of docs/recipe.md, switched on: one after the other, and all of them together."""

from __future__ import annotations

from typing import Any

ADAM = {"adam_lr": 1e-3, "adam_beta1": 0.8, "adam_beta2": 0.99, "adam_eps": 1e-6}
WARM = {"schedule": "cosine", "warmup_epochs": 1, "warmup_factor": 0.1}
IMAGES = {"random_erasing": 1.0, "random_erasing_fill": "mean", "random_crop_padding": 3, "color_jitter": 0.2}
TRIPLET = {"triplet_weight": 1.0, "triplet_margin": 0.0, "images_per_identity": 2}
CASES: dict[str, dict[str, Any]] = {
    "adam": {"optimizer": "adam", **ADAM},
    "adamw": {"optimizer": "adamw", "decay_norm_bias": False},
    "warm-up": WARM,
    "a share of warm-up": {"warmup_fraction": 0.6},
    "label smoothing": {"label_smoothing": 0.1},
    "images": IMAGES,
    "average": {"ema_decay": 0.9},
    "neck": {"bn_neck": True},
    "neck that is not matched": {"bn_neck": True, "neck_feature": "before"},
    "order": {"images_per_identity": 3},
    "triplets": TRIPLET,
    "all": {"optimizer": "adamw", **WARM, **IMAGES, **TRIPLET, "ema_decay": 0.9, "bn_neck": True},
}
