from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sa_study.data.images import for_each_image, read_image
from sa_study.errors import DataError

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
    tmp_path: Path, draw_image: DrawImage, orientation: int, turned: Image.Transpose
) -> None:
    plain = Image.open(draw_image(tmp_path / "a.png"))
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain.save(tmp_path / "b.png", exif=exif)
    image, _ = read_image(tmp_path / "b.png")
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
    with pytest.raises(DataError) as error:
        read_image(path)
    assert str(error.value).startswith(f"{path}: not a readable image (")
    assert "\n" not in str(error.value)
    assert "BytesIO" not in str(error.value)


@pytest.mark.parametrize("limit", [100, 64 * 32 - 1])
def test_decompression_bombs_are_errors(
    tmp_path: Path, draw_image: DrawImage, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    path = draw_image(tmp_path / "a.jpg")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(DataError, match="decompression bomb"):
        for_each_image(read_image, [path], None, None)


def test_results_and_progress_come_in_order() -> None:
    seen: list[tuple[int, int]] = []
    results = for_each_image(lambda x: x * x, range(50), 4, lambda done, total: seen.append((done, total)))
    assert results == [x * x for x in range(50)]
    assert seen == [(done, 50) for done in range(1, 51)]
