from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_space import SMALL

from sa_study.data import store as store_module
from sa_study.data.dataset import ReidDataset
from sa_study.data.records import ImageRecord
from sa_study.data.store import decode, load_training_data
from sa_study.settings.run import Settings
from sa_study.utils.errors import DataError

MakeMarket = Callable[..., Path]
DrawImage = Callable[..., Path]


def settings(**changed: int) -> Settings:
    return Settings.from_mapping({**SMALL, "height": 64, "width": 32, "val_identities": 1, **changed})


@pytest.mark.parametrize("threads", [1, 4])
def test_pixels_ids_and_cameras(
    make_market: MakeMarket, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sa_study.data.images.usable_cpus", lambda: threads)
    records = ReidDataset(make_market()).train
    store = decode(records)
    assert store.images.shape == (40, 64, 32, 3)
    for pixels, record in zip(store.images, records, strict=True):
        assert np.array_equal(pixels, np.asarray(Image.open(record.path)))
    assert store.pids.tolist() == [record.pid for record in records]
    assert store.camids.tolist() == [record.camid for record in records]
    kinds = [array.dtype.name for array in (store.images, store.pids, store.camids)]
    assert kinds == ["uint8", "int64", "int64"]


def test_images_of_one_size_keep_it(make_market: MakeMarket) -> None:
    records = ReidDataset(make_market()).query
    assert decode(records, (10, 20)).images.shape == (4, 64, 32, 3)


def test_images_of_different_sizes_are_resized_as_pillow_does(tmp_path: Path, draw_image: DrawImage) -> None:
    sizes = [(64, 32), (64, 32), (50, 40), (20, 9)]
    paths = [draw_image(tmp_path / f"{i}.png", size) for i, size in enumerate(sizes)]
    store = decode([ImageRecord(path, 1, 0) for path in paths], (48, 16))
    for pixels, path in zip(store.images, paths, strict=True):
        expected = Image.open(path).resize((16, 48), Image.Resampling.BILINEAR)
        assert np.array_equal(pixels, np.asarray(expected))


def test_different_sizes_need_a_size(tmp_path: Path, draw_image: DrawImage) -> None:
    paths = [draw_image(tmp_path / "a.jpg", (64, 32)), draw_image(tmp_path / "b.jpg", (60, 30))]
    with pytest.raises(DataError, match=r"b\.jpg: 60×30 pixels, other images 64×32; give a common size"):
        decode([ImageRecord(path, 1, 0) for path in paths])


def test_an_unreadable_image_is_named(make_market: MakeMarket) -> None:
    records = ReidDataset(make_market()).train
    records[7].path.write_bytes(records[7].path.read_bytes()[:-50])
    with pytest.raises(DataError, match=f"{records[7].path.name}: not a readable image"):
        decode(records)


def test_no_images() -> None:
    with pytest.raises(DataError, match="no images"):
        decode([])


def test_the_images_cannot_be_written_to(make_market: MakeMarket) -> None:
    store = decode(ReidDataset(make_market()).query)
    with pytest.raises(ValueError, match="read-only"):
        store.images[0] = 0


def test_fingerprint(make_market: MakeMarket) -> None:
    records = ReidDataset(make_market()).query
    digest = hashlib.sha256()
    for record in records:
        digest.update(hashlib.sha256(record.path.name.encode() + b"\0" + record.path.read_bytes()).digest())
    before = decode(records).fingerprint
    assert before == digest.hexdigest()
    assert decode(records[::-1]).fingerprint != before
    renamed = ImageRecord(records[0].path.rename(records[0].path.with_name("0001_c1s9.jpg")), 1, 0)
    assert decode([renamed, *records[1:]]).fingerprint != before


def test_training_data(make_market: MakeMarket) -> None:
    dataset = ReidDataset(make_market(train_ids=range(100, 130), cameras=2, images=3))
    data = load_training_data(dataset, settings(val_identities=4))
    pids = data.store.pids
    assert len(data.store.images) == 180
    assert data.num_classes == 26
    assert np.array_equal(np.unique(pids[data.train])[data.labels], pids[data.train])
    assert (data.labels.dtype.name, data.labels.min(), data.labels.max()) == ("int64", 0, 25)
    assert len(data.query) == 4 * 2
    assert len(data.gallery) == 4 * 2 * 2
    assert set(pids[data.query]) == set(pids[data.gallery])
    assert set(pids[data.query]).isdisjoint(pids[data.train])


def test_training_on_all_identities(make_market: MakeMarket) -> None:
    data = load_training_data(ReidDataset(make_market()), settings(val_identities=0))
    assert (data.num_classes, len(data.train), len(data.query), len(data.gallery)) == (10, 40, 0, 0)


def test_limited_training_data_decodes_no_more(make_market: MakeMarket) -> None:
    dataset = ReidDataset(make_market(train_ids=range(100, 130)))
    seen: list[tuple[int, int]] = []
    data = load_training_data(
        dataset, settings(val_identities=2, identities=10), lambda done, total: seen.append((done, total))
    )
    assert (data.num_classes, len(np.unique(data.store.pids)), seen[-1]) == (8, 10, (40, 40))


def test_training_opens_no_test_image(make_market: MakeMarket) -> None:
    dataset = ReidDataset(make_market())
    for record in dataset.query + dataset.gallery:
        record.path.unlink()
    assert load_training_data(dataset, settings()).num_classes == 9


def test_training_refuses_identities_of_the_test_set(make_market: MakeMarket) -> None:
    dataset = ReidDataset(make_market(train_ids=range(1, 11), test_ids=[10, 11]))
    with pytest.raises(DataError, match="1 identities are in both"):
        load_training_data(dataset, settings())


def test_query_and_gallery(make_market: MakeMarket) -> None:
    dataset = ReidDataset(make_market())
    query, gallery = store_module.test_data(dataset, (64, 32))
    assert query.pids.tolist() == [record.pid for record in dataset.query]
    assert gallery.pids.tolist() == [record.pid for record in dataset.gallery]


def test_pickling_shares_the_images(make_market: MakeMarket) -> None:
    data = load_training_data(ReidDataset(make_market()), settings())
    buffers: list[pickle.PickleBuffer] = []
    payload = pickle.dumps(data, protocol=5, buffer_callback=buffers.append)
    assert len(payload) < 2000
    copy = pickle.loads(payload, buffers=buffers)
    assert np.shares_memory(copy.store.images, data.store.images)
    assert not copy.store.images.flags.writeable
    assert np.array_equal(copy.labels, data.labels)
    assert (copy.num_classes, copy.store.fingerprint) == (data.num_classes, data.store.fingerprint)
