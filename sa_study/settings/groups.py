"""The declarations of a run's settings, by group: default, meaning, choices or range of each.

The defaults are the fixed configuration of the published code. Sources of what came later are in
docs/recipe.md. `Settings` in `sa_study.settings.run` has the fields of all groups.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from sa_study.metrics import names
from sa_study.model.backbones import BACKBONES

MAX_EPOCHS = 1000


def setting(default: Any, text: str, *, choices: tuple[Any, ...] = (), **limits: float) -> Any:
    """Declares a field: its default, its documentation, and its choices or its limits.

    Limits are `low` (>=), `above` (>), `high` (<=) and `below` (<).
    """
    return dataclasses.field(default=default, metadata={"help": text, "choices": choices, "limits": limits})


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """Settings of the network: backbone, attention, branches, first weights."""

    backbone: str = setting(
        "resnet50",
        "the network below the branches, one of these or of timm (paper: resnet50)",
        choices=tuple(BACKBONES),
    )
    pretrained: str = setting(
        "imagenet",
        "initial weights of the backbone: imagenet (torchvision's), imagenet-v2 (its later ones), none, or a "
        "local file (paper: imagenet)",
    )
    attention: str = setting(
        "mean",
        "spatial attention of stages 1-3: mean (published code), softmax (paper's text), none",
        choices=("mean", "softmax", "none"),
    )
    attention_stage4: bool = setting(
        False, "attention on the pooled stage 4 too (SA1, in the paper's ablation)"
    )
    deep_supervision: bool = setting(True, "a classifier on each of the stages 1-3 (paper: true)")
    parts: int = setting(6, "horizontal stripes of stage 4; 1 = no parts (paper: 6)", low=1, high=24)
    num_features: int = setting(256, "channels of the reduced features (paper: 256)", low=1, high=4096)
    dropout: float = setting(0.5, "dropout before the reduction of the stripes (paper: 0.5)", low=0, below=1)
    bn_neck: bool = setting(
        False, "batch norm between the pooled stripes and their classifiers (paper: no; BoT: yes)"
    )
    neck_feature: str = setting(
        "after",
        "with bn_neck, the stripes that are matched: before it, after it (BoT: after)",
        choices=("before", "after"),
    )


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """What images the network is trained on, and how they are altered."""

    height: int = setting(384, "input height in pixels; at least 16 x parts (paper: 384)", low=16, high=2048)
    width: int = setting(128, "input width in pixels (paper: 128)", low=16, high=2048)
    flip: float = setting(0.5, "probability of a horizontal flip (paper: 0.5)", low=0, high=1)
    random_erasing: float = setting(
        0.0, "probability of random erasing (paper: 0.5; published code's last state: 0)", low=0, high=1
    )
    random_erasing_fill: str = setting(
        "noise",
        "what erased boxes hold: noise (standard normal), mean (the data's mean colour) (paper: noise)",
        choices=("noise", "mean"),
    )
    random_crop_padding: int = setting(
        0,
        "black pixels around an image of which a random piece is taken (paper: 0; BoT: 10)",
        low=0,
        high=512,
    )
    color_jitter: float = setting(
        0.0,
        "maximum change of brightness, contrast and saturation, as a share (paper: 0; fast-reid: 0.15)",
        low=0,
        below=1,
    )


@dataclass(frozen=True, kw_only=True)
class OptimisationSettings:
    """Settings of the optimisation: epochs, batches, optimiser, learning rate, losses."""

    epochs: int = setting(100, "passes over the training images (paper: 100)", low=1, high=MAX_EPOCHS)
    batch_size: int = setting(
        48, "images per step; an incomplete last batch is dropped (paper: 48)", low=2, high=8192
    )
    accumulate: int = setting(
        1,
        "gradient accumulation: parts that a batch is processed in, to save memory; batch norm sees a part",
        low=1,
        high=1024,
    )
    optimizer: str = setting(
        "sgd",
        "sgd (with Nesterov's momentum), adam, adamw (weight decay apart from the gradient) (paper: sgd)",
        choices=("sgd", "adam", "adamw"),
    )
    lr: float = setting(0.1, "SGD learning rate of the new layers (paper: 0.1)", above=0, high=100)
    adam_lr: float = setting(
        3.5e-4, "the same with adam and adamw, which take far smaller ones (BoT: 3.5e-4)", above=0, high=100
    )
    backbone_lr_factor: float = setting(
        0.1, "learning rate of the backbone as a share of that of the new layers (paper: 0.1)", low=0, high=10
    )
    momentum: float = setting(0.9, "Nesterov momentum of sgd (paper: 0.9)", above=0, below=1)
    adam_beta1: float = setting(0.9, "decay of adam's mean of gradients (Adam: 0.9)", low=0, below=1)
    adam_beta2: float = setting(0.999, "decay of adam's mean of squares (Adam: 0.999)", low=0, below=1)
    adam_eps: float = setting(1e-8, "what adam adds to its divisor (Adam: 1e-8)", above=0, high=1)
    weight_decay: float = setting(5e-4, "weight decay (paper: 5e-4)", low=0, high=1)
    decay_norm_bias: bool = setting(
        True, "weight decay on batch norm's weights and on biases too (paper: true)"
    )
    schedule: str = setting(
        "step",
        "step (decays by lr_decay) or cosine (to 0 at the last epoch; SGDR, ICLR 2017) (paper: step)",
        choices=("step", "cosine"),
    )
    step_epochs: int = setting(
        0, "epochs between two decays of lr; 0 = step_fraction decides (paper: 40)", low=0, high=MAX_EPOCHS
    )
    step_fraction: float = setting(
        0.4, "the same as a share of epochs, so that the decay scales with the schedule", above=0, high=1
    )
    lr_decay: float = setting(0.1, "factor of lr at each decay (paper: 0.1)", above=0, high=1)
    warmup_epochs: int = setting(
        0,
        "epochs in which lr grows linearly, step by step; 0 = warmup_fraction decides (BoT: 10 of 120)",
        low=0,
        high=MAX_EPOCHS,
    )
    warmup_fraction: float = setting(
        0.0, "the same as a share of epochs, so that it scales with the schedule (paper: 0)", low=0, below=1
    )
    warmup_factor: float = setting(
        0.01, "share of lr that warm-up begins with (BoT, by its code: 0.01)", low=0, high=1
    )
    label_smoothing: float = setting(
        0.0, "share of each branch's target spread over all classes (paper: 0; BoT: 0.1)", low=0, below=1
    )
    triplet_weight: float = setting(
        0.0,
        "weight of a batch-hard triplet loss on the matching features; needs images_per_identity >= 2 "
        "(paper: 0; BoT: 1)",
        low=0,
        high=100,
    )
    triplet_margin: float = setting(
        0.3,
        "its margin, of distances from 0 to 1.41; 0 = soft margin (BoT: 0.3, of features of any length)",
        low=0,
        below=2,
    )
    images_per_identity: int = setting(
        0,
        "images of each identity in a batch; batch_size should be a multiple of it; 0 = any order "
        "(paper: 0; BoT: 4)",
        low=0,
        high=1024,
    )
    ema_decay: float = setting(
        0.0,
        "decay per step of the weights' moving average, which is validated and kept; 0 = none (paper: 0)",
        low=0,
        below=1,
    )


@dataclass(frozen=True, kw_only=True)
class SelectionSettings:
    """Which identities are trained on and held out, and what chooses among epochs."""

    val_identities: int = setting(
        100, "training identities held out for validation, at most 20 %; 0 = train on all (paper: 0)", low=0
    )
    identities: int = setting(0, "train on only this many identities (seeded draw); 0 = all", low=0)
    split_seed: int = setting(0, "seed of the identities that are used and held out", low=0, below=2**31)
    fold: int = setting(
        0,
        "which of the disjoint sets of held-out identities (split_seed orders them); 0 is the study's own",
        low=0,
    )
    metric: str = setting(
        names.MAP, "validation figure whose best epoch is kept", choices=names.STUDY_METRICS
    )
    seed: int = setting(0, "seed of initialisation, order, augmentation and dropout", low=0, below=2**31)


@dataclass(frozen=True, kw_only=True)
class ComputeSettings:
    """Settings of the computation: precision, compilation, threads, device."""

    precision: str = setting(
        "tf32",
        "fp32; tf32 (fp32 whose products CUDA rounds; the same as fp32 on a CPU); bf16 (autocast; also on a "
        "CPU with AVX512-BF16 up to twice as fast); auto (bf16 on CUDA, fp32 on a CPU)",
        choices=("fp32", "tf32", "bf16", "auto"),
    )
    eval_precision: str = setting(
        "same",
        "precision of the features that are ranked: same (as precision), fp32, tf32, bf16, fp16",
        choices=("same", "fp32", "tf32", "bf16", "fp16"),
    )
    channels_last: bool = setting(False, "NHWC memory layout of the network (faster on CUDA)")
    compile: str = setting(
        "none",
        "torch.compile of the training step: none, default, cuda-graphs; costs a minute or more at the start "
        "(slower on a CPU)",
        choices=("none", "default", "cuda-graphs"),
    )
    device: str = setting(
        "auto", "device to train on; auto: CUDA if there is one", choices=("auto", "cpu", "cuda")
    )
    threads: int = setting(
        0, "CPU threads; sums depend on it in the last bits; 0 = PyTorch's choice", low=0, high=1024
    )
    eval_batch_size: int = setting(128, "images per batch of feature extraction", low=1, high=8192)
