"""Opens image files, many at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import TypeVar

from PIL import Image, ImageOps, UnidentifiedImageError

from sa_study.errors import DataError

Progress = Callable[[int, int], None]
"""Called in the caller's thread with the number of images done and the number in all."""

T = TypeVar("T")
R = TypeVar("R")


def read_image(path: Path) -> tuple[Image.Image, bytes]:
    """Decodes one file completely.

    Returns:
        The image in RGB, turned upright as its EXIF orientation says, and the bytes of the file.

    Raises:
        DataError: The file cannot be read, is truncated, or is not an image.
    """
    try:
        content = path.read_bytes()
        with Image.open(BytesIO(content)) as image:
            ImageOps.exif_transpose(image, in_place=True)
            return image.convert("RGB"), content
    except Exception as error:  # Damaged files make Pillow raise almost anything, SyntaxError included.
        reason = "unknown format" if isinstance(error, UnidentifiedImageError) else error
        raise DataError(f"{path}: not a readable image ({reason}); restore or remove it") from error


def for_each_image(
    function: Callable[[T], R], items: Sequence[T], threads: int | None, progress: Progress | None
) -> list[R]:
    """Calls `function`, which reads images, for every item in a pool of threads (Pillow releases the GIL).

    Oversized images ("decompression bombs") are errors within, also where Pillow would only warn.

    Args:
        function: What to do with one item; the first error in the order of the items is raised.
        items: Its arguments.
        threads: Number of threads; None for the executor's default.
        progress: Told after each item, in order.

    Returns:
        The results in the order of the items.
    """
    results: list[R] = []
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for result in pool.map(function, items):
            results.append(result)
            if progress is not None:
                progress(len(results), len(items))
    return results
