"""Reads and decodes image files, several at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import TypeVar

from PIL import Image, ImageOps, UnidentifiedImageError, WebPImagePlugin

from sa_study.utils.errors import DataError
from sa_study.utils.files import read_bytes
from sa_study.utils.machine import usable_cpus
from sa_study.utils.progress import ProgressCallback

MAX_THREADS = 4
"""Maximum number of decoding threads: about half of a small image's decoding holds Python's lock."""

_CHUNK = 32  # items per task of a thread: a small image is decoded as fast as a task is handed over
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", WebPImagePlugin.WebPImageFile.format)
"""Formats that are read, whatever a file's name ends in. One of Pillow's other readers runs Ghostscript."""

MAX_IMAGE_BYTES = 64 * 2**20
"""Maximum size of an image file in bytes."""

MAX_PIXELS = 2**25
"""Maximum number of pixels of an image: 100 MB decoded, in each of four threads. A crop has thousands."""

T = TypeVar("T")
R = TypeVar("R")


def read_image(path: Path) -> tuple[Image.Image, bytes]:
    """Decodes an image file completely; of an animation, the first picture.

    Returns:
        The image in RGB, turned upright as its EXIF orientation says, and the bytes of the file. Transparency
        is left out; 16-bit grey is scaled to 8-bit.

    Raises:
        DataError: The file cannot be read, is truncated, too large, or is not an image.
    """
    try:
        content = read_bytes(path, MAX_IMAGE_BYTES)
        with Image.open(BytesIO(content), formats=_FORMATS) as image:
            pixels = image.width * image.height
            if pixels > MAX_PIXELS:
                raise ValueError(f"{pixels} pixels, more than {MAX_PIXELS}: a decompression bomb?")
            ImageOps.exif_transpose(image, in_place=True)
            image.load()  # Pillow reads lazily, and `as_rgb` leaves alone what is RGB already
            return as_rgb(image), content
    except Exception as error:  # Damaged files make Pillow raise almost anything, SyntaxError included.
        raise DataError(f"{path}: not a readable image ({_reason(error)}); restore or remove it") from error


def as_rgb(image: Image.Image) -> Image.Image:
    """The image in RGB: transparency is left out, 16-bit grey scaled to 8-bit."""
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):  # of up to 65,535, which Pillow would clip at 255
        return image.convert("I").point(lambda value: value / 256).convert("L").convert("RGB")
    return image.convert("RGB")


def _reason(error: Exception) -> object:
    if isinstance(error, UnidentifiedImageError):
        return "unknown format"
    return error.strerror if isinstance(error, OSError) and error.strerror else error


def for_each_image(
    function: Callable[[T], R], items: Sequence[T], progress: ProgressCallback | None
) -> list[R]:
    """A function's results for every item, computed in several threads: Pillow releases Python's lock.

    The first error in the order of the items is raised, and progress is reported in that order. Oversized
    images ("decompression bombs") are errors here, also where Pillow would only warn.
    """
    results: list[R] = []

    def work(start: int) -> list[R]:
        return [function(item) for item in items[start : start + _CHUNK]]

    with warnings.catch_warnings(), ThreadPoolExecutor(min(usable_cpus(), MAX_THREADS)) as pool:
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for chunk in pool.map(work, range(0, len(items), _CHUNK)):
            for result in chunk:
                results.append(result)
                if progress is not None:
                    progress(len(results), len(items))
    return results
