"""A data set that names no cameras: what matches, its validation, the check, and what it is compared with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from image_lists import SETTINGS, figures_on, listed, untrained_network, without_cameras, written
from ranking_reference import plain_figures
from synthetic_layouts import draw_image

from sa_study.data.check import check_dataset
from sa_study.data.dataset import ReidDataset
from sa_study.data.layouts import TEST_SPLITS
from sa_study.data.store import load_training_data
from sa_study.metrics.comparability import why_not_comparable
from sa_study.metrics.protocol import OTHER_IMAGES, PROTOCOL
from sa_study.provenance import read_provenance
from sa_study.study.folder import StudyFolder
from sa_study.training.evaluate import evaluate, load_test_images, query_and_gallery_features
from sa_study.training.run import RunFolder, train
from sa_study.tuning.launch.cluster import Slots
from sa_study.tuning.launch.prepare import record_launch
from sa_study.utils.errors import DataError

MakeMarket = Callable[..., Path]


def test_without_cameras_every_other_image_of_an_identity_is_a_match(make_market: MakeMarket) -> None:
    root, network = make_market(test_ids=range(1, 5), images=3), untrained_network()
    dataset = ReidDataset(root)
    test = [(record.path, record.pid) for record in dataset.query + dataset.gallery]
    rows = [f"{path},{pid},query" for path, pid in test if pid] + [
        f"{path},{pid},gallery" for path, pid in test if pid
    ]
    path = written(
        root, *rows, *(f"{path},,distractor" for path, pid in test if not pid), head="path,pid,split"
    )
    images = load_test_images(ReidDataset(path, TEST_SPLITS), SETTINGS)
    assert len(images.query.images) == 24 and len(images.gallery.images) == 25
    found = evaluate(network, images, reranked=True)
    assert found[PROTOCOL] == OTHER_IMAGES and found["queries_without_match"] == 0

    query, gallery = query_and_gallery_features(network, images.query, images.gallery, lambda *_: None)
    distances = torch.cdist(query.double(), gallery.double()).square()
    files = {camera: place for place, camera in enumerate(images.gallery.camids.tolist())}
    own = [files[camera] for camera in images.query.camids.tolist()]
    others = np.arange(len(files)) + 100  # every gallery image by another camera, but for the query itself
    cameras = [np.where(np.arange(len(files)) == place, -5, others) for place in own]
    expected = np.mean(
        [
            plain_figures(row[None], [pid], images.gallery.pids, [-5], seen_by, 50)["mAP"]
            for row, pid, seen_by in zip(distances.numpy(), images.query.pids, cameras, strict=True)
        ]
    )
    assert found["mAP"] == pytest.approx(expected, abs=1e-9)
    assert found["reranked"]["mAP"] > 0


def test_validation_without_cameras_takes_every_held_out_image_as_query_and_as_gallery(
    make_market: MakeMarket, tmp_path: Path
) -> None:
    root = make_market()
    draw_image(root / "bounding_box_train" / "0099_c1s1_000000_01.jpg")
    data = load_training_data(ReidDataset(without_cameras(listed(root, root / "list.csv"))), SETTINGS)
    assert data.store.protocol == OTHER_IMAGES
    np.testing.assert_array_equal(data.query, data.gallery)
    held_out = set(data.store.pids[data.query].tolist())
    assert len(data.query) == 8 and len(held_out) == 2 and 99 not in held_out
    assert held_out.isdisjoint(data.store.pids[data.train].tolist())
    figures = train(SETTINGS, data, RunFolder(tmp_path / "run"))
    assert 0 < figures["mAP"] <= 1 and figures["mAP_low"] <= figures["mAP"] <= figures["mAP_high"]
    record_launch(StudyFolder(tmp_path), {0: data}, {}, Slots(1, 0, 1))
    for path in (tmp_path / "run" / "provenance.json", tmp_path / "provenance.json"):
        [launch] = read_provenance(path)["launches"]
        assert launch[PROTOCOL] == OTHER_IMAGES


def test_figures_of_different_protocols_or_labels_are_not_compared(make_market: MakeMarket) -> None:
    root, network = make_market(), untrained_network()
    path = listed(root, root / "list.csv")
    ours = figures_on(network, path)
    assert why_not_comparable(ours, figures_on(network, root)) == ""
    path.write_text(path.read_text().replace(",2,0,", ",7,0,").replace(",2,1,", ",7,1,"))
    assert "they ranked different query images" in why_not_comparable(ours, figures_on(network, path))
    theirs = figures_on(network, without_cameras(path))
    assert why_not_comparable(ours, theirs) == (
        "they counted matches by different protocols (one of them: without cameras, every other image of an "
        "identity is a match)"
    )


def test_the_check_of_a_list_without_cameras(make_market: MakeMarket) -> None:
    root = make_market(images=1)
    for path in (root / "query").iterdir():
        (root / "bounding_box_test" / path.name).write_bytes(path.read_bytes())
    draw_image(root / "bounding_box_train" / "0099_c1s1_000000_01.jpg")
    path = without_cameras(listed(root, root / "list.csv"))
    report = check_dataset(path)
    assert report.ok and not report.cameras and report.total.cameras == 0
    assert "not named, so every image of a query's identity is a match" in " ".join(report.explanation)
    assert report.warnings[0].startswith("1 of 11 training identities have one image only; they are never")
    assert report.warnings[1].startswith("4 queries have a copy of their file in the gallery, which counts")
    lines = path.read_text().splitlines()
    both = [
        line.replace('query"', 'gallery"').replace(",query", ",gallery") for line in lines if ",query" in line
    ]
    path.write_text("\n".join([line for line in lines if ",gallery" not in line] + both))
    report = check_dataset(path)
    assert "in query and gallery: 4 images, left out of their own rankings" in report.explanation
    assert len(report.warnings) == 1 and report.queries_without_match == ()


def test_one_image_of_each_identity_matches_nothing(make_market: MakeMarket) -> None:
    root = make_market(cameras=1, images=1)
    query = [record for record in ReidDataset(root, ("query",)).query]
    rows = [f"{record.path},{record.pid},{split}" for record in query for split in ("query", "gallery")]
    path = written(root, *rows, head="path,pid,split")
    with pytest.raises(DataError, match="no query has its identity in the gallery in another image"):
        ReidDataset(path, TEST_SPLITS).require_matches()
    [error] = check_dataset(path).errors
    assert error == "no query has a match in another image in the gallery; rankings cannot be scored"
