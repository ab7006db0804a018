"""The pictures themselves: what stands where, what is written, and what is refused."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.colors import same_color
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image
from untrained_study import SMALL

from sa_study.data.dataset import ReidDataset
from sa_study.data.store import ImageStore, load_training_data
from sa_study.metrics.distances import rank_features
from sa_study.report.pictures import make, ranked
from sa_study.report.pictures.figure import FRAMES, MATCH, WIDTH, WRONG, Picture, styled
from sa_study.report.pictures.make import NAMES, make_pictures
from sa_study.report.pictures.ranking import Ranking, rank
from sa_study.report.pictures.subject import Subject, subject_of_study, subject_of_weights
from sa_study.settings.run import Settings
from sa_study.training.evaluate import TrainedNetwork, query_and_gallery_features
from sa_study.training.trainer import build_network
from sa_study.utils.errors import DataError

pytestmark = pytest.mark.usefixtures("small_pictures")


def colour(text: str) -> NDArray[np.int64]:
    return np.array([int(text[start : start + 2], 16) for start in (1, 3, 5)])


def near(pixels: NDArray[np.uint8], wanted: NDArray[np.int64]) -> NDArray[np.bool_]:
    close: NDArray[np.bool_] = np.abs(pixels.astype(int) - wanted).max(axis=-1) <= 2
    return close


def store(count: int, seed: int = 0, pids: Any = None, camids: Any = None) -> ImageStore:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 16, 8, 3), dtype=np.uint8)
    pids = rng.integers(1, 8, count) if pids is None else np.array(pids)
    camids = rng.integers(0, 3, count) if camids is None else np.array(camids)
    return ImageStore(images, pids, camids, "")


def some_ranking(query: ImageStore, gallery: ImageStore) -> Ranking:
    rng = np.random.default_rng(3)
    first, second = (torch.from_numpy(rng.random((len(s.images), 8), np.float32)) for s in (query, gallery))
    return rank(first, second, query, gallery)


Cell = tuple[int, int, NDArray[np.uint8], str]


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch) -> list[Cell]:
    """Row, column, image and frame of the cells that are drawn."""
    drawn: list[Cell] = []
    image = Picture.image

    def noted(self: Picture, row: int, column: int, pixels: NDArray[np.uint8], **more: Any) -> Any:
        cell = image(self, row, column, pixels, **more)
        frame = more.get("frame", "")
        if frame:
            edge = self.figure.artists[-1]
            assert isinstance(edge, Rectangle) and same_color(edge.get_edgecolor(), FRAMES[frame][0])
        drawn.append((row, column, pixels, frame))
        return cell

    monkeypatch.setattr(Picture, "image", noted)
    return drawn


def test_ranked_lists_have_their_images_in_order_and_frames_of_the_right_colour(
    cells: list[Cell], tmp_path: Path
) -> None:
    query, gallery = store(4, 1), store(160, 2)
    ranking = some_ranking(query, gallery)
    chosen = ranked.choose_queries(ranking, query.pids, "best", 3, 0)
    ranked.draw_lists(ranking, query, gallery, chosen, "best", "somewhere").save(tmp_path / "p.png")
    expected = []
    for row, index in enumerate(chosen):
        expected.append((row, 0, query.images[index], "query"))
        for column, entry in enumerate(ranked.shortened(ranking.lists[index])[0], 1):
            expected.append((row, column, gallery.images[entry.column], entry.kind))
    assert {kind for *_, kind in expected} == {"query", "match", "wrong", "junk"}
    assert [(row, column, kind) for row, column, _, kind in cells] == [(r, c, k) for r, c, _, k in expected]
    for (_, _, image, kind), (_, _, wanted, _) in zip(cells, expected, strict=True):
        if kind == "junk":
            assert (image.max(axis=2) == image.min(axis=2)).all(), "greyed"
        else:
            np.testing.assert_array_equal(image, wanted)
    with Image.open(tmp_path / "p.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert all(near(pixels, colour(wanted)).sum() > 500 for wanted in (MATCH, WRONG))


def test_failures_show_the_query_the_wrong_first_and_the_first_match(cells: list[Cell]) -> None:
    query, gallery = store(12, 1), store(40, 2)
    ranking = some_ranking(query, gallery)
    chosen = ranked.choose_failures(ranking, query.pids, 5)
    ranked.draw_failures(ranking, query, gallery, chosen, "somewhere")
    assert [kind for *_, kind in cells] == ["query", "wrong", "match"] * 5
    assert len({(row, column) for row, column, *_ in cells}) == len(cells)
    for number, index in enumerate(chosen):
        wrong = ranked.first_counted(ranking.lists[index]).column
        expected = query.images[index], gallery.images[wrong], gallery.images[ranking.first_column[index]]
        for (_, _, image, _), wanted in zip(cells[3 * number : 3 * number + 3], expected, strict=True):
            np.testing.assert_array_equal(image, wanted)


def test_text_is_wrapped_and_never_markup(tmp_path: Path) -> None:
    text = "a $x^2$ <b> $\\frac{ $ 人 \\ " + "long " * 60 + "w" * 500
    picture = styled(Picture)("t", text, text)
    picture.save(tmp_path / "p.png")  # no parsing, no missing font
    with Image.open(tmp_path / "p.png") as image:
        assert image.width <= 200 * WIDTH + 2 and image.height > 200


def test_a_wide_image_and_a_tall_one_fit() -> None:
    for shape, height in (((5, 400, 100), 3), ((5, 50, 100), 0.5), ((5, 1, 400), 1 / 400)):
        images = np.zeros((*shape, 3), np.uint8)
        picture = styled(Picture)("t", "", "")
        picture.add_grid(1, [0.1], images)
        box = picture.image(0, 1, images[0]).box
        assert box.height / box.width == pytest.approx(height)


def check_picture(picture: Picture) -> None:
    """No text lies on another."""
    drawn: list[Text] = []
    with pytest.MonkeyPatch.context() as patch:
        draw = Text.draw

        def noted(self: Text, renderer: Any) -> None:
            drawn.append(self)
            draw(self, renderer)

        patch.setattr(Text, "draw", noted)
        picture.figure.canvas.draw()  # ticks beyond the axes exist, but are not drawn
    boxes = [text.get_window_extent() for text in drawn if text.get_text()]
    assert len(boxes) > 4
    for first, second in itertools.combinations(boxes, 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        along = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert across <= 1 or along <= 1, "no text lies on another"


@pytest.mark.parametrize(
    ("more", "missing"),
    [
        ({}, set()),
        ({"attention": "softmax", "parts": 1, "height": 48, "width": 48}, set()),
        ({"attention": "none"}, {"attention_stages.png"}),
        ({"deep_supervision": False}, {"attention_stages.png", "cam_queries.png", "cam_training.png"}),
    ],
)
def test_all_pictures_of_a_study(
    made_study: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    more: dict[str, Any],
    missing: set[str],
) -> None:
    root = made_study(**more)
    pictures: list[Picture] = []
    save = Picture.save

    def noted(self: Picture, file: Any) -> None:
        pictures.append(self)
        save(self, file)

    monkeypatch.setattr(Picture, "save", noted)
    subject = subject_of_study(root, None, test=False, reranked=True)
    made = make_pictures(subject, root / "pictures")
    assert [path.name for path in made.files] == [name for name in NAMES if name not in missing]
    assert sorted(path.name for path in (root / "pictures").iterdir()) == sorted(set(NAMES) - missing)
    assert len(made.left_out) == bool(missing)
    for picture in pictures:
        check_picture(picture)
        assert "study" in picture.where and "TEST" not in picture.where
        assert "mAP" not in picture.caption or "scikit-learn" in picture.caption
    for path in made.files:
        with Image.open(path) as image:
            assert image.info["Title"] and image.info["Software"] == "sa_study"
            assert image.width <= 200 * WIDTH + 2
            assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)


def test_a_study_is_shown_on_its_validation_split_and_opens_no_test_image(
    made_study: Callable[..., Path],
) -> None:
    root = made_study()
    for folder in ("query", "bounding_box_test"):
        for path in (root.parent / "market" / folder).iterdir():
            path.write_bytes(b"no image")
    subject = subject_of_study(root, None, test=False)
    data = load_training_data(ReidDataset(root.parent / "market"), subject.trained.settings)
    np.testing.assert_array_equal(subject.query.images, data.store.images[data.query])
    np.testing.assert_array_equal(subject.gallery.pids, data.store.pids[data.gallery])
    assert "validation split" in subject.where and "test set not opened" in subject.where
    assert subject.names == sorted(set(data.store.pids[data.train].tolist()))
    assert subject.known is not None
    names = np.array(subject.names)[subject.known.labels]
    np.testing.assert_array_equal(names, data.store.pids[subject.known.train])
    with pytest.raises(DataError):
        subject_of_study(root, None, test=True)


def test_the_test_set_is_named_in_every_caption(made_study: Callable[..., Path]) -> None:
    root = made_study()
    study, weights = (
        subject_of_study(root, None, test=True),
        subject_of_weights(root / "best.pt", root.parent / "market", {}),
    )
    for subject in (study, weights):
        assert "TEST SET" in subject.where and subject.names is None and subject.known is None
        assert len(subject.query.images) == 18 and len(subject.gallery.images) == 37
    made = make_pictures(study, root / "out")
    assert "cam_training.png" not in [path.name for path in made.files]
    for path in made.files:
        with Image.open(path) as image:
            assert "TEST SET" in image.info["Description"]


def test_the_curve_has_the_figures_of_the_evaluation(made_study: Callable[..., Path]) -> None:
    root = made_study()
    subject = subject_of_study(root, None, test=False)
    query, gallery = subject.query, subject.gallery
    features = query_and_gallery_features(subject.trained, query, gallery, lambda *_: None)
    ranking = rank(*features, query, gallery)
    labels = query.pids, gallery.pids, query.camids, gallery.camids
    assert ranking.metrics.mAP == rank_features(*features, *labels).mAP
    picture = ranked.draw_cmc({"plain": ranking.metrics}, len(gallery.pids), "somewhere")
    (line,) = picture.figure.axes[0].get_lines()
    expected = 100 * ranking.metrics.cmc[: len(gallery.pids)]
    np.testing.assert_allclose(np.asarray(line.get_ydata()), expected)
    assert np.asarray(line.get_xdata())[0] == 1
    assert f"mAP {100 * ranking.metrics.mAP:.1f}" in str(line.get_label())
    assert re.match(
        r"\d+ queries \(\d+ without a match left out\); Market-1501 protocol\. mAP: ", picture.caption
    )


def test_the_same_seed_gives_the_same_pictures_again(
    made_study: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make, "_of_maps", lambda *_: ())
    root = made_study()
    subject = subject_of_study(root, None, test=False)
    kept = []
    for seed in (0, 0):
        made = make_pictures(subject, root / "pictures", seed)
        kept.append({path.name: path.read_bytes() for path in made.files})
    assert kept[0] == kept[1]


@pytest.mark.usefixtures("plots_alone")
def test_what_an_earlier_call_left_goes_and_other_files_stay(made_study: Callable[..., Path]) -> None:
    root = made_study(attention="none")
    out = root / "pictures"
    out.mkdir()
    (out / "attention_stages.png").write_bytes(b"of an earlier network")
    (out / "mine.png").write_bytes(b"mine")
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    (out / f".pictures.{killed.pid}.tmp").mkdir()
    make_pictures(subject_of_study(root, None, test=False), out)
    assert not (out / "attention_stages.png").exists() and (out / "mine.png").read_bytes() == b"mine"
    assert not list(out.glob(".*"))


@pytest.mark.usefixtures("plots_alone")
@pytest.mark.parametrize("before", [False, True])
def test_a_failure_halfway_leaves_things_as_they_were(
    made_study: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    root = made_study()
    out = root / "deep" / "pictures"
    if before:
        out.mkdir(parents=True)
        (out / "cmc_curve.png").write_bytes(b"earlier")
    subject = subject_of_study(root, None, test=False)
    monkeypatch.setattr(ranked, "draw_cmc", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        make_pictures(subject, out)
    if before:
        assert [path.name for path in out.iterdir()] == ["cmc_curve.png"]
    else:
        assert not out.parent.exists()


def test_few_images(make_market: Callable[..., Path]) -> None:
    query, gallery = store(1, 1, [1], [0]), store(2, 2, [1, 0], [1, 1])
    settings = Settings.from_mapping(SMALL)
    net = build_network(settings, 3)
    trained = TrainedNetwork(net, settings, Path("w.pt"), 1)
    subject = Subject(trained, query, gallery, "n", "i", reranked=True)
    made = make_pictures(subject, make_market() / "out")
    assert len(made.files) >= 7
