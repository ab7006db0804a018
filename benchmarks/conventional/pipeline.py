"""The usual training loop: a DataLoader that decodes with Pillow, torchvision's transforms, float32 SGD."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from sa_study.model.network import SANet
from sa_study.settings.run import Settings


class Files(Dataset[tuple[Tensor, int]]):
    """JPEG files, decoded and transformed one by one as training code for re-identification does."""

    def __init__(self, files: list[Path], labels: list[int], settings: Settings):
        self._files, self._labels = files, labels
        self._transform = transforms.Compose(
            [
                transforms.Resize((settings.height, settings.width)),
                transforms.RandomHorizontalFlip(settings.flip),
                transforms.ToTensor(),
                transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = Image.open(self._files[index]).convert("RGB")
        return self._transform(image), self._labels[index]


class PlainTraining:
    """The network trained by that loop."""

    def __init__(self, files: list[Path], labels: list[int], settings: Settings, workers: int):
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._net = SANet(settings.backbone, max(labels) + 1, parts=settings.parts).to(self._device).train()
        self._optimizer = torch.optim.SGD(
            self._net.parameters(), lr=settings.lr, momentum=0.9, weight_decay=5e-4, nesterov=True
        )
        self._loader = DataLoader(
            Files(files, labels, settings),
            batch_size=settings.batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=self._device.type == "cuda",
        )

    def load(self) -> None:
        """An epoch's batches, without the network."""
        for images, labels in self._loader:
            images.to(self._device, non_blocking=True)
            labels.to(self._device, non_blocking=True)

    def train(self) -> None:
        """An epoch."""
        for images, labels in self._loader:
            wanted = labels.to(self._device, non_blocking=True)
            _, logits = self._net(images.to(self._device, non_blocking=True))
            loss = torch.stack([F.cross_entropy(scores, wanted) for scores in logits.values()]).sum()
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()


def draw_files(folder: Path, count: int, identities: int) -> tuple[list[Path], list[int]]:
    """Writes JPEG files of 128×64 pixels, about as large as Market-1501's, and gives them labels."""
    rng = np.random.default_rng(0)
    files = []
    for number in range(count):
        blocks = Image.fromarray(rng.integers(256, size=(16, 8, 3), dtype=np.uint8))
        content = io.BytesIO()
        blocks.resize((64, 128), Image.Resampling.BICUBIC).save(content, "jpeg", quality=95)
        files.append(folder / f"{number % identities + 1:04d}_c{number % 6 + 1}s1_{number:06d}_00.jpg")
        files[-1].write_bytes(content.getvalue())
    return files, [number % identities for number in range(count)]
