"""Opens image files, many at a time."""

from __future__ import annotations

import os
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

_MOST_THREADS = 4
"""Of a small image's decoding about half holds Python's lock: more threads only wait for each other."""

_CHUNK = 32
"""Items that a thread takes at a time: a small image is decoded in the time that handing over takes."""

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
        content = _content(path)
        with Image.open(BytesIO(content)) as image:
            ImageOps.exif_transpose(image, in_place=True)
            image.load()  # `convert` would, but copies what is RGB already
            return image if image.mode == "RGB" else image.convert("RGB"), content
    except Exception as error:  # Damaged files make Pillow raise almost anything, SyntaxError included.
        reason = "unknown format" if isinstance(error, UnidentifiedImageError) else error
        raise DataError(f"{path}: not a readable image ({reason}); restore or remove it") from error


def _content(path: Path) -> bytes:
    """The bytes of a file, by half the calls of `read_bytes`: at each a thread gives Python's lock away."""
    file = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(file).st_size
        content = os.read(file, size)
        while len(content) < size and (more := os.read(file, size - len(content))):
            content += more
    finally:
        os.close(file)
    return content


def for_each_image(
    function: Callable[[T], R], items: Sequence[T], threads: int | None, progress: Progress | None
) -> list[R]:
    """Calls `function`, which reads images, for every item in a pool of threads (Pillow releases the GIL).

    Oversized images ("decompression bombs") are errors within, also where Pillow would only warn.

    Args:
        function: What to do with one item; the first error in the order of the items is raised.
        items: Its arguments.
        threads: Number of threads; None for one a core, up to four.
        progress: Told of each item, in order, once its chunk is done.

    Returns:
        The results in the order of the items.
    """
    results: list[R] = []

    def work(start: int) -> list[R]:
        return [function(item) for item in items[start : start + _CHUNK]]

    threads = threads or min(len(os.sched_getaffinity(0)), _MOST_THREADS)
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for some in pool.map(work, range(0, len(items), _CHUNK)):
            for result in some:
                results.append(result)
                if progress is not None:
                    progress(len(results), len(items))
    return results
