from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from refusals import refusal

from sa_study.data.images import for_each_image, read_image
from sa_study.utils.errors import DataError

DrawImage = Callable[..., Path]


def test_pixels_and_content(tmp_path: Path, draw_image: DrawImage) -> None:
    path = draw_image(tmp_path / "a.jpg")
    image, content = read_image(path)
    assert content == path.read_bytes()
    assert np.array_equal(np.asarray(image), np.asarray(Image.open(path)))


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("L", "jpg"), ("CMYK", "jpg"), ("L", "png"), ("P", "png"), ("RGBA", "png"), ("1", "png")],
)
def test_every_mode_becomes_rgb(tmp_path: Path, draw_image: DrawImage, mode: str, suffix: str) -> None:
    path = tmp_path / f"b.{suffix}"
    Image.open(draw_image(tmp_path / "a.png")).convert(mode).save(path)
    image, _ = read_image(path)
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), np.asarray(Image.open(path).convert("RGB")))


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 0}, {"restart_marker_rows": 1}])
def test_every_kind_of_jpeg(tmp_path: Path, draw_image: DrawImage, options: dict[str, Any]) -> None:
    path = tmp_path / "b.jpg"
    Image.open(draw_image(tmp_path / "a.png")).save(path, **options)
    image, content = read_image(path)
    assert np.array_equal(np.asarray(image), np.asarray(Image.open(path).convert("RGB")))
    path.write_bytes(content[:-40])
    with pytest.raises(DataError, match=r"b\.jpg: not a readable image \(image file is truncated"):
        read_image(path)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (6, Image.Transpose.ROTATE_270),
        (8, Image.Transpose.ROTATE_90),
    ],
)
def test_exif_orientation(
    tmp_path: Path, draw_image: DrawImage, orientation: int, turned: Image.Transpose, suffix: str
) -> None:
    drawn = Image.open(draw_image(tmp_path / "a.png"))
    exif = Image.Exif()
    exif[0x0112] = orientation
    drawn.save(tmp_path / f"b.{suffix}", exif=exif)
    drawn.save(tmp_path / f"c.{suffix}")
    plain = Image.open(tmp_path / f"c.{suffix}")
    image, _ = read_image(tmp_path / f"b.{suffix}")
    assert np.array_equal(np.asarray(image), np.asarray(plain.transpose(turned)))


def damaged(path: Path, fault: str) -> None:
    content = path.read_bytes()
    if fault == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif fault == "empty":
        path.write_bytes(b"")
    elif fault == "text":
        path.write_text("<html>404</html>")
    elif fault == "missing":
        path.unlink()
    elif fault == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(content[:40] + bytes(100))


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("fault", ["truncated", "empty", "text", "missing", "folder", "garbled"])
def test_damage_is_an_error_that_names_the_file(
    tmp_path: Path, draw_image: DrawImage, suffix: str, fault: str
) -> None:
    path = draw_image(tmp_path / f"a.{suffix}")
    damaged(path, fault)
    text = refusal(DataError, read_image, path)
    assert text.startswith(f"{path}: not a readable image (") and "BytesIO" not in text


@pytest.mark.parametrize("limit", [100, 64 * 32 - 1])
def test_decompression_bombs_are_errors(
    tmp_path: Path, draw_image: DrawImage, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    path = draw_image(tmp_path / "a.jpg")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(DataError, match="decompression bomb"):
        for_each_image(read_image, [path], None)


@pytest.fixture
def four_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sa_study.data.images.usable_cpus", lambda: 4)


@pytest.mark.usefixtures("four_threads")
def test_results_and_progress_come_in_order() -> None:
    seen: list[tuple[int, int]] = []
    results = for_each_image(lambda x: x * x, range(50), lambda done, total: seen.append((done, total)))
    assert results == [x * x for x in range(50)]
    assert seen == [(done, 50) for done in range(1, 51)]


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 100])
def test_no_item_is_left_out(count: int) -> None:
    assert for_each_image(str, range(count), None) == [str(item) for item in range(count)]


@pytest.mark.usefixtures("four_threads")
def test_the_first_error_in_order_is_raised() -> None:
    def fail_from_40(item: int) -> int:
        if item >= 40:
            raise DataError(f"item {item}")
        time.sleep(0.001)
        return item

    with pytest.raises(DataError, match="item 40"):
        for_each_image(fail_from_40, range(200), None)
