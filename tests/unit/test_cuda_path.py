"""All that runs on a GPU runs on a fake one: nothing on the wrong device, and no step that waits.

`fake_cuda` has every operation judged by PyTorch's fake tensors and computed on the CPU. What stays
uncovered: autograd's backward pass on CUDA, which PyTorch 2.15 refuses without a device (its formulas run
here on the meta device, where mixed devices and values that are read are found as well); the kernels
themselves and their rounding; `torch.compile` and CUDA graphs; how much memory it takes, and what is done
where it does not suffice. benchmarks/gpu.py checks these on a real GPU, but not the stream in which a trial's
checkpoint is copied while its epoch is validated (`CheckpointWriter`): that needs Ray.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from fake_cuda import FakeCuda, NoKernel, WaitsForTheDevice, fake_cuda
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode, is_fake
from torch.utils._pytree import tree_map

from sa_study.data.batches import resize, training_batches
from sa_study.data.device_images import DeviceImages, to_device
from sa_study.data.store import ImageStore, TrainingData
from sa_study.metrics import names
from sa_study.metrics.distances import rank_features
from sa_study.metrics.ranking import RankingMetrics, ranking_metrics
from sa_study.metrics.reranking import rerank, rerank_features
from sa_study.model.network import total_loss
from sa_study.report.pictures import maps, ranking
from sa_study.settings.run import Settings
from sa_study.training import step as training_step
from sa_study.training.checkpoint import Checkpoint
from sa_study.training.features import extract_features_from_array
from sa_study.training.precision import resolve_device
from sa_study.training.step import TrainingStep
from sa_study.training.trainer import Trainer, build_network
from sa_study.utils.errors import DataError

pytestmark = pytest.mark.filterwarnings(
    "ignore:Accessing the data pointer of FakeTensor"
)  # to copy a network

TINY = Settings(
    backbone="narrow",
    pretrained="none",
    height=64,
    width=32,
    parts=4,
    num_features=8,
    batch_size=4,
    eval_batch_size=8,
    lr=0.01,
    adam_lr=0.01,
    device="cuda",
)
RECIPES: list[dict[str, Any]] = [
    {"precision": "fp32"},
    {"precision": "auto", "channels_last": True, "random_erasing": 0.9, "color_jitter": 0.2},
    {"random_erasing": 0.9, "random_erasing_fill": "mean", "random_crop_padding": 3, "accumulate": 2},
    {
        "triplet_weight": 1.0,
        "images_per_identity": 2,
        "label_smoothing": 0.1,
        "bn_neck": True,
        "ema_decay": 0.99,
    },
    {"triplet_weight": 1.0, "triplet_margin": 0.0, "images_per_identity": 2},
    {"optimizer": "adam", "decay_norm_bias": False, "schedule": "cosine", "warmup_epochs": 1, "epochs": 3},
    {"optimizer": "adamw", "attention": "softmax", "attention_stage4": True, "precision": "bf16"},
    {"attention": "none", "deep_supervision": False, "parts": 1, "bn_neck": True, "neck_feature": "before"},
    {"backbone": "resnet18", "precision": "tf32"},
    {"backbone": "resnet50", "channels_last": True},
]


def changed(**values: Any) -> Settings:
    return dataclasses.replace(TINY, **values)


@pytest.fixture(scope="module")
def data() -> TrainingData:
    rng = np.random.default_rng(0)
    pids, camids = np.arange(20) // 2 + 1, np.arange(20) % 2
    store = ImageStore(rng.integers(256, size=(20, 64, 32, 3), dtype=np.uint8), pids, camids, fingerprint="")
    return TrainingData(store, np.arange(8), np.arange(8) // 2, np.arange(8, 14), np.arange(8, 20), 4)


@pytest.fixture
def gpu() -> Iterator[FakeCuda]:
    with fake_cuda() as found:
        yield found


@pytest.mark.parametrize("recipe", RECIPES, ids=",".join)
def test_an_epochs_steps_wait_for_nothing(gpu: FakeCuda, data: TrainingData, recipe: dict[str, Any]) -> None:
    settings = changed(**recipe)
    net = build_network(settings, data.num_classes).train()
    step = TrainingStep(net, settings, gpu.device)
    resident = "precision" in recipe  # the others have each batch copied
    images = DeviceImages(data.store.images, gpu.device, resident)
    batches, steps = training_batches(data, images, settings, 0), 0
    with gpu.without_waiting():
        for pixels, labels in batches:
            step.set_lr(0.01)
            figures = step(pixels, labels)
            steps += 1
    assert steps == 2 and pixels.device.type == labels.device.type == figures.device.type == "cuda"
    assert figures.shape == (len(step.figures),) and gpu.values(figures).isfinite().all()


@pytest.mark.parametrize("recipe", RECIPES, ids=",".join)
def test_the_backward_pass_of_a_step_reads_nothing(recipe: dict[str, Any]) -> None:
    """On fake tensors of the meta device, in float32: PyTorch has no autocast for these."""
    settings = changed(**recipe)
    with FakeTensorMode(), torch.device("meta"):
        net = build_network(settings, 4).train()
        images, labels = torch.empty(4, 3, 64, 32), torch.empty(4, dtype=torch.int64)
        loss, _ = training_step._forward(net, settings, torch.device("cpu"), images, labels)
        loss.backward()
    for name, parameter in net.named_parameters():
        gradient = parameter.grad
        assert not parameter.requires_grad or (gradient is not None and gradient.is_meta), name


@pytest.mark.parametrize("recipe", RECIPES[:3], ids=",".join)
def test_a_gpus_batches_are_those_of_the_cpu(data: TrainingData, recipe: dict[str, Any]) -> None:
    settings = changed(**recipe)

    def batches(device: torch.device) -> list[tuple[Tensor, Tensor]]:
        return list(training_batches(data, DeviceImages(data.store.images, device), settings, 1))

    expected = batches(torch.device("cpu"))
    with fake_cuda() as gpu:
        found = [(gpu.values(images), gpu.values(labels)) for images, labels in batches(gpu.device)]
    for (images, labels), (theirs, their_labels) in zip(found, expected, strict=True):
        assert torch.equal(labels, their_labels) and torch.equal(images, theirs)
        assert images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("recipe", RECIPES[:2], ids=",".join)
def test_an_epoch_trains_and_validates(gpu: FakeCuda, data: TrainingData, recipe: dict[str, Any]) -> None:
    settings = changed(**recipe)
    assert resolve_device(dataclasses.replace(settings, device="auto")) == gpu.device
    trainer = Trainer(settings, data)
    figures = trainer.run_epoch()
    assert trainer.device == gpu.device and {*names.RANKING, names.LATENCY, names.LOSS} <= figures.keys()
    assert all(np.isfinite(value) for value in figures.values())


def test_a_checkpoint_read_onto_the_cpu_goes_on(gpu: FakeCuda, data: TrainingData) -> None:
    settings = changed(optimizer="adamw", ema_decay=0.9, epochs=2)
    trainer, other = Trainer(settings, data), Trainer(settings, data)
    trainer.run_epoch()
    kept = vars(trainer.checkpoint())
    read = tree_map(lambda leaf: gpu.values(leaf).clone() if is_fake(leaf) else leaf, kept)
    other.restore(Checkpoint(**read))
    expected, found = trainer.run_epoch(), other.run_epoch()
    assert [found[name] for name in (names.LOSS, names.MAP)] == [
        expected[name] for name in (names.LOSS, names.MAP)
    ]


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_features_and_maps_are_those_of_the_cpu(data: TrainingData, precision: str) -> None:
    """To rounding: a CPU's convolution takes the memory's layout as it is."""
    settings = changed(eval_precision=precision, attention_stage4=True)
    torch.manual_seed(0)
    nets = [build_network(settings, 4) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    images = data.store.images
    expected = extract_features_from_array(nets[0], dataclasses.replace(settings, device="cpu"), images)
    drawn = maps.attention_overlays(nets[0], images[:2], 64, 32)
    with fake_cuda() as gpu:
        features = extract_features_from_array(nets[1], settings, images)
        assert features.device.type == "cuda"
        found = gpu.values(features)
        prepared = maps.prepare(images[:2], 64, 32, gpu.device)
        assert set(maps.activation_maps(nets[1], prepared)) == {1, 2, 3}
        drawn_there = maps.attention_overlays(nets[1], images[:2], 64, 32)
    assert torch.allclose(found, expected, atol=0.02 if "16" in precision else 1e-5)
    assert drawn.keys() == drawn_there.keys()


class Features:
    """Queries and gallery with clusters, and distances that occur twice."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.pids = rng.integers(-1, 8, size=120)
        self.camids = rng.integers(3, size=120)
        gallery = rng.integers(-2, 3, size=(120, 6)) + self.pids[:, None]
        self.gallery = torch.from_numpy(gallery.astype(np.float32))
        self.query = self.gallery[:40] + 1

    def ranked(self, device: str) -> RankingMetrics:
        labels = self.pids[:40], self.pids, self.camids[:40], self.camids
        return rank_features(self.query.to(device), self.gallery.to(device), *labels)


def test_ranking_is_that_of_the_cpu() -> None:
    features = Features()
    expected = features.ranked("cpu")
    with fake_cuda():
        found = features.ranked("cuda")
    assert found.queries.to_dict() == expected.queries.to_dict()
    assert (found.mAP, found.mINP, found.cmc.tolist()) == (expected.mAP, expected.mINP, expected.cmc.tolist())


@pytest.mark.parametrize("precision", [torch.float16, torch.float32])
def test_the_ranking_of_distances_is_that_of_the_cpu(precision: torch.dtype) -> None:
    features = Features()
    distances = torch.cdist(features.query, features.gallery).to(precision)
    pids, camids = torch.from_numpy(features.pids), torch.from_numpy(features.camids)
    expected = ranking_metrics(distances, pids[:40], pids, camids[:40], camids)
    with fake_cuda():
        pids, camids, there = pids.to("cuda"), camids.to("cuda"), distances.to("cuda")
        found = ranking_metrics(there, pids[:40], pids, camids[:40], camids)
        assert found.queries.to_dict() == expected.queries.to_dict()
        there[3, 5] = torch.nan
        with pytest.raises(DataError, match="query 3 to gallery image 5 is NaN"):
            ranking_metrics(there, pids[:40], pids, camids[:40], camids)


def test_reranking_is_that_of_the_cpu() -> None:
    features = Features()
    places = np.where(np.arange(40) % 2, np.arange(40), -1)
    for own in (None, places):
        expected = rerank_features(features.query, features.gallery, places=own)
        with fake_cuda() as gpu:
            query, gallery = features.query.to("cuda"), features.gallery.to("cuda")
            found = rerank_features(query, gallery, places=own)
            assert found.device.type == "cuda" and torch.equal(gpu.values(found), expected)
    on_cpu = rerank(features.query, features.gallery)
    with fake_cuda():
        assert (rerank(features.query.to("cuda"), features.gallery.to("cuda")) == on_cpu).all()


def test_ranked_lists_are_those_of_the_cpu(data: TrainingData) -> None:
    features = Features()
    nothing = np.empty((0, 2, 2, 3), np.uint8)
    query = ImageStore(nothing, features.pids[:40], features.camids[:40], fingerprint="")
    gallery = ImageStore(nothing, features.pids, features.camids, fingerprint="")
    expected = ranking.rank(features.query, features.gallery, query, gallery)
    with fake_cuda():
        found = ranking.rank(features.query.to("cuda"), features.gallery.to("cuda"), query, gallery)
    assert found.lists == expected.lists and found.counts.matches.tolist() == expected.counts.matches.tolist()


INDEX = torch.tensor([0, 1])
SGD: dict[str, Any] = {
    **{"weight_decay": 0.0, "momentum": 0.0, "lr": 0.1, "dampening": 0.0},
    **{"nesterov": False, "maximize": False, "is_first_step": True},
}
WRONG: dict[str, tuple[Callable[[Tensor], object], type[Exception], str]] = {
    "a tensor of the CPU": (lambda x: x + torch.ones(4), RuntimeError, "same device|different devices"),
    "a fused step": (lambda x: torch._fused_sgd_([x], [torch.ones(4)], [], **SGD), RuntimeError, "devices"),
    "item": (lambda x: x[0].item(), WaitsForTheDevice, "reads"),
    "tolist": (lambda x: x.tolist(), WaitsForTheDevice, "reads"),
    "bool": (lambda x: bool(x.sum() > 0), WaitsForTheDevice, "reads"),
    "float": (lambda x: 1.0 * float(x.sum()), WaitsForTheDevice, "reads"),
    "boolean index": (lambda x: x[x > 0], WaitsForTheDevice, "depends on values"),
    "a mask's values": (lambda x: x.index_put_((x > 0,), x[INDEX.numel() :]), WaitsForTheDevice, "mask"),
    "synchronize": (lambda x: torch.cuda.synchronize(), WaitsForTheDevice, "synchronize"),
    "nonzero": (lambda x: x.nonzero(), WaitsForTheDevice, "depends on values"),
    "unique": (lambda x: torch.unique(x), WaitsForTheDevice, "depends on values"),
    "cpu": (lambda x: x.cpu(), WaitsForTheDevice, "from the device"),
    "copy_ to the CPU": (lambda x: torch.ones(4).copy_(x), WaitsForTheDevice, "from the device"),
    "a copy that blocks": (lambda x: INDEX.pin_memory().to("cuda"), WaitsForTheDevice, "blocks"),
    "pageable memory": (lambda x: INDEX.to("cuda", non_blocking=True), WaitsForTheDevice, "pageable"),
    "a new tensor": (lambda x: torch.tensor([1.0], device="cuda"), WaitsForTheDevice, "blocks"),
    "bytes": (lambda x: resize(x.byte().view(1, 1, 2, 2), 4, 4), NoKernel, "uint8"),
    "no kernel": (lambda x: torch.histogram(x, 3), NoKernel, "histogram"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_caught(gpu: FakeCuda, name: str) -> None:
    if name == "no kernel" and not torch.version.cuda:
        pytest.skip("this build of PyTorch knows no kernels of CUDA")
    wrong, error, words = WRONG[name]
    there = to_device(torch.arange(4.0), gpu.device)
    with gpu.without_waiting(), pytest.raises(error, match=words):
        wrong(there)


def test_a_step_that_waits_is_caught(
    gpu: FakeCuda, data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waits(logits: Any, labels: Tensor, smoothing: float) -> Any:
        loss, branches = total_loss(logits, labels, smoothing)
        assert loss.item() > 0
        return loss, branches

    monkeypatch.setattr(training_step, "total_loss", waits)
    with pytest.raises(WaitsForTheDevice, match="reads a value"):
        test_an_epochs_steps_wait_for_nothing(gpu, data, {})
