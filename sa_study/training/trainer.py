"""One training run: epochs, validation and checkpoints, without Ray, Optuna or folders."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from sa_study.data.batches import training_batches
from sa_study.data.device_images import DeviceImages
from sa_study.data.store import TrainingData
from sa_study.metrics import names
from sa_study.metrics.confidence import interval_bounds
from sa_study.metrics.distances import rank_features
from sa_study.model.network import SANet
from sa_study.settings.run import Settings, completed
from sa_study.training.checkpoint import UNVALIDATED, Checkpoint, restore_rng, rng_state
from sa_study.training.features import extract_features
from sa_study.training.precision import float32_products, resolve_device
from sa_study.training.schedule import learning_rate
from sa_study.training.step import TrainingStep
from sa_study.utils.errors import ConfigError, Diverged, WeightsError, one_line
from sa_study.utils.randomness import derived_seed


class Trainer:
    """Trains a network epoch by epoch.

    Every epoch's randomness is keyed by the seed and the epoch, so that a restored trainer goes on exactly as
    one that was never interrupted. On a CPU the same settings, data and PyTorch give the same figures to the
    last bit; CUDA adds some sums in varying order.

    Args:
        settings: The run's settings.
        data: Images to train on and to validate with.
        backbone: State dict of the pretrained backbone, or None to load it as `settings.pretrained` says.
        images: The data's images on the device, from an earlier trainer of this process; None to bring them
            there.

    Attributes:
        device: Device to train on.
        history: The figures of every completed epoch.
        images: The data's images on the device.
        step: Takes an optimiser step on a batch.
    """

    def __init__(
        self,
        settings: Settings,
        data: TrainingData,
        backbone: Mapping[str, Tensor] | None = None,
        images: DeviceImages | None = None,
    ):
        self.settings = settings
        self.device = resolve_device(settings)
        self.history: list[dict[str, float]] = []
        self._data = data
        self._steps_in_epoch = len(data.train) // settings.batch_size
        if settings.threads:
            torch.set_num_threads(settings.threads)
        torch.manual_seed(derived_seed(settings.seed, "initialisation"))
        self._net = build_network(settings, data.num_classes, backbone)
        self.step = TrainingStep(self._net, settings, self.device)
        self.images = images or DeviceImages(data.store.images, self.device)

    @property
    def epoch(self) -> int:
        """Completed epochs."""
        return len(self.history)

    @property
    def finished(self) -> bool:
        """Whether all epochs are completed."""
        return self.epoch >= self.settings.epochs

    @property
    def net(self) -> SANet:
        """The network that is validated and kept: the one that is trained, or its moving average."""
        return self.step.average.net if self.step.average else self._net

    def run_epoch(self, on_trained: Callable[[Checkpoint], None] | None = None) -> dict[str, float]:
        """Trains one epoch and validates it.

        Args:
            on_trained: Called between the two with the epoch's checkpoint, of the format `UNVALIDATED`. Its
                tensors are the network's own: they stay as they are until the next epoch.

        Returns:
            The epoch's figures under the names in `sa_study.metrics.names`; ranking figures are fractions and
            are left out where no identities are held out.

        Raises:
            Diverged: The loss or a figure is not finite.
        """
        start = time.perf_counter()
        figures = self._train_epoch()
        for name, value in figures.items():
            if not math.isfinite(value):
                raise self._diverged(name, value)
        if on_trained:
            unvalidated = dataclasses.replace(self.checkpoint(), epoch=self.epoch + 1, format=UNVALIDATED)
            on_trained(unvalidated)
        figures |= self._validate()
        figures[names.SECONDS] = time.perf_counter() - start
        self.history.append(figures)
        return figures

    def checkpoint(self) -> Checkpoint:
        """The state after the last completed epoch."""
        return Checkpoint(
            state_dict=self.net.state_dict(),
            settings=self.settings.to_dict(),
            num_classes=self._data.num_classes,
            epoch=self.epoch,
            history=list(self.history),
            optimizer=self.step.optimizer.state_dict(),
            rng=rng_state(),
            trained=self._net.state_dict() if self.step.average else None,
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Restores a checkpoint of the same settings; only `accumulate` may differ.

        Raises:
            ConfigError: The checkpoint was made with other settings, or kept only for its weights.
            WeightsError: It does not fit; the trainer cannot be used any more.
        """
        own = self.settings.to_dict()
        for name, value in completed(checkpoint.settings).items():
            if own.get(name) != value and name != "accumulate":
                raise ConfigError(f"{name}: the checkpoint was made with {value!r}, not {own.get(name)!r}")
        if checkpoint.optimizer is None or checkpoint.rng is None:
            raise ConfigError("the checkpoint holds weights only; training cannot go on from it")
        if len(checkpoint.history) != checkpoint.epoch:
            raise WeightsError(f"the checkpoint is of epoch {checkpoint.epoch}, its history of another")
        if not all({names.EPOCH, names.SECONDS} <= figures.keys() for figures in checkpoint.history):
            raise WeightsError("the checkpoint's history lacks figures")
        try:
            self.net.load_state_dict(checkpoint.state_dict)
            if self.step.average:
                self._net.load_state_dict(checkpoint.trained or {})
                self.step.average.steps = checkpoint.epoch * self._steps_in_epoch
            self.step.optimizer.load_state_dict(checkpoint.optimizer)
            restore_rng(checkpoint.rng)
        except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise WeightsError(
                f"the checkpoint is not of this network and optimiser ({one_line(error)})"
            ) from None
        self.history = [dict(figures) for figures in checkpoint.history]

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of the next epoch: images and labels on the device."""
        return training_batches(self._data, self.images, self.settings, self.epoch)

    def _train_epoch(self) -> dict[str, float]:
        settings, start = self.settings, time.perf_counter()
        torch.manual_seed(derived_seed(settings.seed, "dropout", self.epoch))
        self._net.train()
        sums = torch.zeros(len(self.step.figures), device=self.device)
        steps, lr = 0, settings.peak_lr
        with float32_products(settings.precision):
            for images, labels in self.batches():
                lr = learning_rate(settings, self.epoch + steps / self._steps_in_epoch)
                self.step.set_lr(lr)
                sums += self.step(images, labels)
                steps += 1
        # Reading the sums waits for the device, so the time that follows is the epoch's, not the queue's.
        means = (sums / steps).tolist()
        return {
            names.EPOCH: self.epoch + 1,
            names.PROGRESS: settings.progress(self.epoch + 1),
            **dict(zip(self.step.figures, means, strict=True)),
            names.LR: lr,
            names.IMAGES_PER_SECOND: steps * settings.batch_size / (time.perf_counter() - start),
        }

    def _validate(self) -> dict[str, float]:
        data, settings = self._data, self.settings
        if not len(data.query):
            return {}
        start = time.perf_counter()
        query = gallery = extract_features(self.net, self.images, data.query, settings)
        extracted = len(query)
        if not np.array_equal(data.query, data.gallery):
            gallery = extract_features(self.net, self.images, data.gallery, settings)
            extracted += len(gallery)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)  # the time measured is that of the work
        latency = 1000 * (time.perf_counter() - start) / extracted
        if not (query.isfinite().all() and gallery.isfinite().all()):
            raise self._diverged("a validation feature", math.nan)
        pids, camids = data.store.pids, data.store.camids
        ranking = rank_features(
            query, gallery, pids[data.query], pids[data.gallery], camids[data.query], camids[data.gallery]
        )
        figures = {name: float(getattr(ranking, name)) for name in names.RANKING}
        return {**figures, **interval_bounds(ranking.queries), names.LATENCY: latency}

    def _diverged(self, name: str, value: float) -> Diverged:
        rate = self.settings.lr_setting
        return Diverged(f"epoch {self.epoch + 1}: {name} is {value}; a lower {rate} usually helps")


def build_network(
    settings: Settings, num_classes: int, backbone: Mapping[str, Tensor] | None = None
) -> SANet:
    """The network that the settings describe, on the CPU; `backbone` is a state dict as in `Trainer`.

    A GPU would draw other first weights than the CPU, and no run could be repeated elsewhere.

    Raises:
        WeightsError: The pretrained weights cannot be had.
    """
    source = settings.pretrained != "none" and settings.pretrained
    try:
        return SANet(
            backbone=settings.backbone,
            num_classes=num_classes,
            num_features=settings.num_features,
            dropout=settings.dropout,
            attention=settings.attention,
            attention_stage4=settings.attention_stage4,
            deep_supervision=settings.deep_supervision,
            parts=settings.parts,
            bn_neck=settings.bn_neck,
            neck_feature=settings.neck_feature,
            pretrained=source if backbone is None else backbone,
        )
    except WeightsError as error:
        raise WeightsError(f"pretrained: {error}") from None


def pretrained_backbone(backbone: str, pretrained: str) -> Mapping[str, Tensor] | None:
    """State dict of the backbone that a run of these settings starts from; None for random weights.

    Raises:
        WeightsError: The pretrained weights cannot be had.
    """
    if pretrained == "none":
        return None
    return build_network(Settings(backbone=backbone, pretrained=pretrained), 1).base.state_dict()
