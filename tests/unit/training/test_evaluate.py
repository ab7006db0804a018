"""The final evaluation against a plain computation, and the weights files that it takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score
from small_space import SMALL_RESNET

from sa_study.data.dataset import ReidDataset
from sa_study.model.network import SANet
from sa_study.settings.run import Settings
from sa_study.training.checkpoint import Checkpoint, save_checkpoint
from sa_study.training.evaluate import EvaluationImages, evaluate, load_network, load_test_images, summarise
from sa_study.training.trainer import build_network
from sa_study.utils.errors import ConfigError, DataError, WeightsError

SETTINGS = Settings(**SMALL_RESNET, num_features=8, eval_batch_size=7)


@pytest.fixture
def net() -> SANet:
    torch.manual_seed(0)
    return build_network(SETTINGS, 5)


@pytest.fixture
def ours(net: SANet, tmp_path: Path) -> Path:
    path = tmp_path / "best.pt"
    settings = {**SETTINGS.to_dict(), "pretrained": "imagenet"}
    save_checkpoint(path, Checkpoint(net.state_dict(), settings, 5, 3, [{"epoch": 3.0}]))
    return path


@pytest.fixture
def published(net: SANet, tmp_path: Path) -> Path:
    """A file as the published one: legacy format, `module.` before every name, unused parameters."""
    state = {f"module.{name}": value for name, value in net.state_dict().items() if "num_batches" not in name}
    state |= {"module.base.fc.weight": torch.zeros(1000, 512), "module.fusion_conv.weight": torch.zeros(8, 8)}
    path = tmp_path / "checkpoint.pth.tar"
    content = {"state_dict": state, "epoch": 100, "best_top1": 0.9}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return path


def images_of(root: Path) -> EvaluationImages:
    return load_test_images(ReidDataset(root), SETTINGS)


def plain_mean_ap(net: SANet, root: Path) -> float:
    """Image by image with Pillow and scikit-learn."""
    net.eval()
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

    def read(folder: str) -> tuple[torch.Tensor, list[tuple[int, int]]]:
        paths = [p for p in sorted((root / folder).iterdir()) if not p.name.startswith("-1")]
        features = []
        for path in paths:
            pixels = np.asarray(Image.open(path).convert("RGB").resize((16, 32), Image.Resampling.BILINEAR))
            image = torch.from_numpy((pixels / 255 - mean) / std).float().permute(2, 0, 1)[None]
            with torch.no_grad():
                features.append(net(image)[0])
        return torch.cat(features), [(int(p.name[:4]), int(p.name.split("_c")[1][0])) for p in paths]

    (query, query_ids), (gallery, gallery_ids) = read("query"), read("bounding_box_test")
    precisions = []
    for feature, (pid, camera) in zip(query, query_ids, strict=True):
        keep = [i for i, label in enumerate(gallery_ids) if label != (pid, camera)]
        truth = [gallery_ids[i][0] == pid for i in keep]
        precisions.append(average_precision_score(truth, -((gallery[keep] - feature) ** 2).sum(1)))
    return float(np.mean(precisions))


def test_figures_equal_a_plain_computation(ours: Path, net: SANet, make_market: Callable[..., Path]) -> None:
    root = make_market(test_ids=range(1, 7), cameras=3, images=3)
    found = evaluate(load_network(ours, {}), images_of(root), reranked=True)
    assert found["mAP"] == pytest.approx(plain_mean_ap(net, root), abs=1e-6)
    assert (found["queries"], found["queries_without_match"], found["gallery"]) == (18, 0, 37)
    assert found["checkpoint_epoch"] == 3 and found["checkpoint"] == str(ours)
    assert found["settings"]["height"] == 32
    assert found["cmc"] == sorted(found["cmc"]) and found["cmc"][0] == found["rank1"]
    assert found["reranked"]["mAP"] != found["mAP"]


def test_without_reranking_its_block_is_null(ours: Path, make_market: Callable[..., Path]) -> None:
    found = evaluate(load_network(ours, {}), images_of(make_market()))
    assert found["reranked"] is None and "reranking" not in found["seconds"]


def test_a_published_file_needs_only_what_its_shapes_do_not_tell(
    published: Path, ours: Path, make_market: Callable[..., Path]
) -> None:
    images = images_of(make_market())
    trained = load_network(published, {"height": 32, "width": 16})
    assert trained.loaded.unused == ("base.fc.weight", "fusion_conv.weight") and trained.epoch == 100
    assert trained.settings.backbone == "resnet18" and trained.settings.parts == 2
    theirs, mine = evaluate(trained, images), evaluate(load_network(ours, {}), images)
    assert theirs["mAP"] == pytest.approx(mine["mAP"], abs=1e-6)


def test_a_test_set_without_any_match_is_refused(make_market: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="no query has its identity"):
        images_of(make_market(cameras=1))


def test_a_file_trained_on_cuda_is_evaluated_where_there_is_none(ours: Path) -> None:
    content = torch.load(ours, weights_only=True)
    torch.save({**content, "settings": {**content["settings"], "device": "cuda"}}, ours)
    assert load_network(ours, {}).settings.device == "auto"


def test_our_file_never_fetches_other_weights(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sa_study.model.weights.load_imagenet", lambda *_: pytest.fail("fetched"))
    assert load_network(ours, {}).settings.pretrained == "none"


def test_wrong_files_and_overrides_are_named(ours: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"best\.pt: attention"):
        load_network(ours, {"attention": "max"})
    with pytest.raises(WeightsError, match=r"best\.pt.*local_conv"):
        load_network(ours, {"num_features": 16})
    content = torch.load(ours, weights_only=True)
    torch.save({**content, "settings": "all"}, tmp_path / "odd.pt")
    with pytest.raises(WeightsError, match=r"odd\.pt: its settings"):
        load_network(tmp_path / "odd.pt", {})


def test_a_summary_of_several_seeds() -> None:
    names = ("rank1", "rank5", "rank10", "mAP", "mAP_trapezoid", "mINP", "allshots_rank1")
    runs = [dict.fromkeys(names, value) for value in (0.4, 0.5, 0.6)]
    assert summarise(runs)["mAP"] == {"mean": pytest.approx(0.5), "std": pytest.approx(0.1)}
    assert summarise(runs[:1])["mAP"] == {"mean": 0.4, "std": 0.0}
