"""Hostile images and file names, in an otherwise sound data set."""

from __future__ import annotations

import io
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hostile import COUNTED, READ, SPECIAL, Case, Place, Words, cases_of, closed, link, pipe, put
from PIL import Image
from small_space import SMALL

PIXELS = np.random.default_rng(3).integers(0, 256, (64, 32, 3), dtype=np.uint8)
BAD = ("1 unreadable image",)


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def drawn(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(PIXELS).convert(mode)


def png(width: int, height: int, *chunks: tuple[bytes, bytes], depth: int = 8, colour: int = 2) -> bytes:
    """A PNG file with these chunks, whatever they claim."""
    head = (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in (head, *chunks, (b"IEND", b""))
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(Image.fromarray(PIXELS.transpose(1, 0, 2).copy()), exif=exif)


def animated(kind: str) -> bytes:
    more = [Image.fromarray(255 - PIXELS), Image.fromarray(PIXELS // 2)]
    return encoded(drawn(), kind, save_all=True, append_images=more)


def grey16() -> bytes:
    return encoded(Image.fromarray(np.arange(2048, dtype=np.uint16).reshape(64, 32) * 32), "PNG")


ROWS = zlib.compress(bytes(5001) * 40_000)  # 40,000 × 40,000 pixels of one bit, in 200 kB
BLACK = zlib.compress((b"\0" + bytes(96)) * 64)
GHOST = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 64\n%%EndComments\n(ran) (w) file closefile\nshowpage\n"
)
TEXT = zlib.compress(bytes(300_000_000), 1)
EXIF = b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(40)

BROKEN: list[tuple[str, Callable[[], bytes], str]] = [
    ("a claim of 65,000 × 65,000", lambda: png(65_000, 65_000, (b"IDAT", BLACK)), "bomb"),
    ("40,000 × 40,000", lambda: png(40_000, 40_000, (b"IDAT", ROWS), depth=1, colour=0), "bomb"),
    ("8,000 × 8,000, where Pillow warns", lambda: encoded(Image.new("1", (8000, 8000)), "PNG"), "bomb"),
    ("text that unpacks to 300 MB", lambda: png(32, 64, (b"zTXt", b"a\0\0" + TEXT), (b"IDAT", BLACK)), ""),
    ("no pixels", lambda: png(0, 64, (b"IDAT", BLACK)), ""),
    ("cut off in the middle", lambda: encoded(drawn())[:600], ""),
    ("cut off in the head", lambda: encoded(drawn())[:20], ""),
    ("0 bytes", lambda: b"", "unknown format"),
    ("a web page", lambda: b"<html><body>404</body></html>", "unknown format"),
    ("PostScript, which Pillow would run", lambda: GHOST, "unknown format"),
    ("a vector drawing", lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unknown format"),
    ("a TIFF", lambda: encoded(drawn(), "TIFF"), "unknown format"),
]
SOUND: list[tuple[str, Callable[[], bytes], str]] = [
    ("garbled Exif data", lambda: encoded(drawn(), exif=EXIF), "usable"),
    ("a PNG named .jpg", lambda: encoded(drawn(), "PNG"), "usable"),
    ("a GIF named .jpg", lambda: encoded(drawn(), "GIF"), "usable"),
    ("a BMP named .jpg", lambda: encoded(drawn(), "BMP"), "usable"),
    ("a WebP named .jpg", lambda: encoded(drawn(), "WEBP"), "usable"),
    ("grey", lambda: encoded(drawn("L")), "usable"),
    ("CMYK", lambda: encoded(drawn("CMYK")), "usable"),
    ("16-bit grey", grey16, "usable"),
    ("one bit a pixel", lambda: encoded(drawn("1"), "PNG"), "usable"),
    ("a palette with a transparent colour",
     lambda: encoded(drawn().quantize(16), "PNG", transparency=3), "usable"),
    ("transparent", lambda: encoded(drawn("RGBA"), "PNG"), "usable"),
    ("grey and transparent", lambda: encoded(drawn("LA"), "PNG"), "usable"),
    ("on its side, by its Exif data", rotated, "usable"),
    ("an animated GIF", lambda: animated("GIF"), "usable"),
    ("an animated PNG", lambda: animated("PNG"), "usable"),
    ("an animated WebP", lambda: animated("WEBP"), "usable"),
    ("one pixel", lambda: encoded(Image.new("RGB", (1, 1))), "usable"),
]  # fmt: skip


def _sparse(path: Path) -> None:
    put(path, b"\xff\xd8")
    os.truncate(path, 10**12)


def _circle(path: Path) -> None:
    link(path, "x")
    link(path.with_name("x"), path.name)


def _to_another(path: Path) -> None:
    link(path, max(path.parent.iterdir()).name)


NO_FILES = [*SPECIAL, ("links in a circle", _circle, ""), ("a terabyte of holes", _sparse, "bytes")]
NEEDED: list[tuple[str, Callable[[Path], object], str | tuple[str, ...]]] = [
    ("a pipe, to train on", pipe, "no regular file"),
    ("one that may not be read, to train on", closed, ("0011_c1", "denied")),
    ("a folder that may not be read", lambda path: closed(path.parent), ("bounding_box_train", "denied")),
    ("a bomb, to train on", lambda path: put(path, png(65_000, 65_000, (b"IDAT", BLACK))), "bomb"),
    ("0 bytes, to train on", lambda path: put(path, b""), "unknown format"),
    ("a link to itself, to train on", lambda path: link(path, path.name), "0011_c1"),
]
LEFT_OUT = "1 images left out for their names"
NAMES: list[tuple[Any, ...]] = [
    ("letters of all scripts", "名前 é 😀.jpg".encode(), LEFT_OUT),
    ("lines", b"a\nusable\nb.jpg", (LEFT_OUT, "a\\nusable\\nb.jpg")),
    ("a terminal's commands", b"\x1b]0;owned\x07\x1b[2J.jpg", (LEFT_OUT, "\\x1b")),
    ("writing turned round", "gpj.\u202eabc.jpg".encode(), (LEFT_OUT, "\\u202e")),
    ("markup of the terminal", b"[red]x[blink].jpg", (LEFT_OUT, "[red]x[blink].jpg")),
    ("bytes that are no text", b"\xff\xfe\x80.jpg", (LEFT_OUT, "\\udcff")),
    ("255 bytes", b"x" * 251 + b".jpg", LEFT_OUT),
    ("camera 0", b"0011_c0s1_000009_01.jpg", LEFT_OUT),
    ("identity -2", b"-2_c1s1_000009_01.jpg", LEFT_OUT),
    ("an identity of thirty digits", b"9" * 30 + b"_c1s1_000009_01.jpg", LEFT_OUT),
    ("an identity in other digits", "٠٠١١_c1s1_000009_01.jpg".encode(), LEFT_OUT),
    ("a camera of thirty digits", b"0011_c" + b"1" * 30 + b".jpg", LEFT_OUT),
    ("five-digit identity", b"12345_c1s1_000009_01.jpg", "usable", READ),
    ("spaces", b"0011_c1 s1 and more.jpg", "usable", READ),
    ("lines in a name that is used", b"0011_c1\n\x1b[31m.jpg", "usable", READ),
    ("capitals", b"0011_c1s1_000009_01.JPG", "usable", READ),
    ("what a shell would run", b"0011_c1$(touch ran);`touch ran`.jpg", "usable", READ),
    ("an option", b"--help.jpg", LEFT_OUT),
]
ALIKE = (b"x\x1b.jpg", b"x\\x1b.jpg")
"""Names that are the same once control characters are shown as escapes."""

PARENTS = [
    ("run1_c2 in a folder above", "0099_c2_run1_c2", "usable"),
    ("lines in a folder above", "a\nb\x1b[31m", "usable"),
    ("bytes that are no text in a folder above", os.fsdecode(b"\xff\xfe"), "usable"),
]


def _content(place: Place, content: Callable[[], bytes]) -> Words:
    return _in_place(place, lambda path: put(path, content()))


def _in_place(place: Place, content: Callable[[Path], object]) -> Words:
    content(place.image())
    return "data", "check", place.market


def _paper(place: Place, content: Callable[[Path], object]) -> Words:
    """A faulty image where it is needed for training, not just counted."""
    content(place.image())
    sets = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]
    return "paper", "--data-dir", place.market, "--out", "o", *sets


def _named(place: Place, content: bytes) -> Words:
    return _in_place(place, lambda path: shutil.copyfile(path, os.fsencode(path.parent) + b"/" + content))


def _both(place: Place, content: tuple[bytes, bytes]) -> Words:
    return [_named(place, name) for name in content][-1]


def _parent(place: Place, content: str) -> Words:
    parent = place.folder / content
    parent.mkdir()
    return "data", "check", place.market.rename(parent / "market")


CASES: list[Case] = [
    *cases_of("image", BROKEN, _content, COUNTED, naming=BAD),
    *cases_of("image", SOUND, _content, READ),
    *cases_of("image", NO_FILES, _in_place, COUNTED, naming=BAD),
    *cases_of("image", [("a link to an image", _to_another, "usable")], _in_place, READ),
    *cases_of("image", NEEDED, _paper),
    *cases_of("file name", NAMES, _named, COUNTED),
    *cases_of("file name", [("two that look the same", ALIKE, "2 images left out")], _both, COUNTED),
    *cases_of("file name", PARENTS, _parent, READ),
]
