"""A trained network as a function of images gives the features that `evaluate` ranks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sound_study import sound_study

from sa_study import load_study
from sa_study.data.dataset import ReidDataset
from sa_study.training.evaluate import load_network, load_test_images, query_and_gallery_features
from sa_study.training.extractor import FeatureExtractor, OneImage
from sa_study.utils.errors import DataError


@pytest.fixture(scope="module")
def extractor(tmp_path_factory: pytest.TempPathFactory) -> FeatureExtractor:
    return load_study(sound_study(tmp_path_factory.mktemp("sound")).root).network()


def queries(extractor: FeatureExtractor) -> list[Path]:
    root = extractor.trained.source.parent.parent / "market"
    return [record.path for record in ReidDataset(root).query]


def test_features_are_those_of_the_evaluation(extractor: FeatureExtractor) -> None:
    trained = load_network(extractor.trained.source, {})
    root = extractor.trained.source.parent.parent / "market"
    images = load_test_images(ReidDataset(root), trained.settings)
    expected, _ = query_and_gallery_features(trained, images.query, images.gallery, lambda *_: None)
    features = extractor(queries(extractor))
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, expected.numpy())
    np.testing.assert_array_equal(extractor(images.query.images), features, "as one array")


def test_files_pictures_and_arrays_are_alike(extractor: FeatureExtractor) -> None:
    paths = queries(extractor)[:4]
    pictures = [Image.open(path) for path in paths]
    arrays = [np.asarray(picture) for picture in pictures]
    features = extractor(paths)
    assert len(features) == 4
    mixed: list[OneImage] = [str(paths[0]), paths[1], pictures[2], arrays[3]]
    lists: list[list[OneImage]] = [[*pictures], [*arrays], mixed]
    for same in lists:
        np.testing.assert_array_equal(extractor(same), features)


def test_sizes_may_differ(extractor: FeatureExtractor) -> None:
    picture = Image.open(queries(extractor)[0]).convert("RGB")
    height, width = extractor.size
    large = picture.resize((3 * width, 2 * height))
    both = extractor([picture, large])
    expected = [image.resize((width, height), Image.Resampling.BILINEAR) for image in (picture, large)]
    np.testing.assert_array_equal(both, extractor(expected))
    grey, see_through = picture.convert("L"), picture.convert("RGBA")
    np.testing.assert_array_equal(extractor([grey, see_through]), extractor([grey.convert("RGB"), picture]))


def test_pictures_are_turned_upright_as_files_are(extractor: FeatureExtractor, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    Image.open(queries(extractor)[0]).rotate(90, expand=True).save(tmp_path / "side.png", exif=exif)
    with Image.open(tmp_path / "side.png") as picture:
        np.testing.assert_array_equal(extractor([picture]), extractor([tmp_path / "side.png"]))
        np.testing.assert_array_equal(extractor([picture]), extractor(queries(extractor)[:1]))


def test_a_photograph_takes_no_more_memory_than_the_network_needs(extractor: FeatureExtractor) -> None:
    height, width = extractor.size
    photograph = Image.new("RGB", (40 * width, 30 * height), (200, 30, 90))
    assert extractor.open(photograph).size == (width, height)
    assert extractor.open(photograph.resize((2 * width, height))).size == (2 * width, height)


def test_progress_is_told(extractor: FeatureExtractor) -> None:
    told: list[tuple[int, int]] = []
    extractor(queries(extractor)[:3], progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (3, 3)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([], "there are none"),
        (np.zeros((0, 8, 8, 3), np.uint8), "there are none"),
        (np.zeros((2, 8, 8, 3), np.float32), "float32, 2×8×8×3; expected uint8"),
        (np.zeros((8, 8, 3), np.uint8), r"images\[0\]: an array of 2 dimensions"),
        ([np.zeros((2, 8, 8, 3), np.uint8)], r"images\[0\]: an array of 4 dimensions"),
        ("a.jpg", "images: is one image"),
        ([np.zeros((8, 8, 4), np.uint8)], r"images\[0\]: an array of uint8, 8×8×4"),
        (["/nowhere.jpg"], "/nowhere.jpg: not a readable image"),
    ],
)
def test_what_is_no_image_is_named(extractor: FeatureExtractor, images: object, words: str) -> None:
    with pytest.raises(DataError, match=words) as error:
        extractor(images)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
