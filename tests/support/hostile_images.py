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
from hostile import COUNTED, READ, REFUSED, Case, Place, Words, closed, folder, link, pipe, put
from PIL import Image

PIXELS = np.random.default_rng(3).integers(0, 256, (64, 32, 3), dtype=np.uint8)
BAD = ("1 unreadable images",)


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


def palette() -> bytes:
    return encoded(drawn().quantize(16), "PNG", transparency=3)


def grey16() -> bytes:
    return encoded(Image.fromarray(np.arange(2048, dtype=np.uint16).reshape(64, 32) * 32), "PNG")


ROWS = zlib.compress(bytes(5001) * 40_000)  # 40,000 × 40,000 pixels of one bit, in 200 kB
BLACK = zlib.compress((b"\0" + bytes(96)) * 64)
GHOST = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 64\n%%EndComments\n(ran) (w) file closefile\nshowpage\n"
)

TEXT = zlib.compress(bytes(300_000_000), 1)

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
SOUND: list[tuple[str, Callable[[], bytes]]] = [
    ("garbled Exif data", lambda: encoded(drawn(), exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(40))),
    ("a PNG named .jpg", lambda: encoded(drawn(), "PNG")),
    ("a GIF named .jpg", lambda: encoded(drawn(), "GIF")),
    ("a BMP named .jpg", lambda: encoded(drawn(), "BMP")),
    ("a WebP named .jpg", lambda: encoded(drawn(), "WEBP")),
    ("grey", lambda: encoded(drawn("L"))),
    ("CMYK", lambda: encoded(drawn("CMYK"))),
    ("16-bit grey", grey16),
    ("one bit a pixel", lambda: encoded(drawn("1"), "PNG")),
    ("a palette with a transparent colour", palette),
    ("transparent", lambda: encoded(drawn("RGBA"), "PNG")),
    ("grey and transparent", lambda: encoded(drawn("LA"), "PNG")),
    ("on its side, by its Exif data", rotated),
    ("an animated GIF", lambda: animated("GIF")),
    ("an animated PNG", lambda: animated("PNG")),
    ("an animated WebP", lambda: animated("WEBP")),
    ("one pixel", lambda: encoded(Image.new("RGB", (1, 1)))),
]


def _check(place: Place) -> Words:
    return "data", "check", place.market


def _content(make: Callable[[], bytes]) -> Callable[[Place], Words]:
    def build(place: Place) -> Words:
        put(place.image(), make())
        return _check(place)

    return build


def _in_place(change: Callable[[Path], object]) -> Callable[[Place], Words]:
    def build(place: Place) -> Words:
        change(place.image())
        return _check(place)

    return build


def _sparse(path: Path) -> None:
    put(path, b"\xff\xd8")
    os.truncate(path, 10**12)


def _circle(path: Path) -> None:
    link(link(path.with_name("x"), path.name) and path, "x")


PLACES: list[tuple[str, Callable[[Path], object], str, tuple[str, ...]]] = [
    ("a pipe", pipe, COUNTED, (*BAD, "no regular file")),
    ("one that may not be read", closed, COUNTED, (*BAD, "denied")),
    ("a device that never ends", lambda path: link(path, "/dev/zero"), COUNTED, (*BAD, "no regular file")),
    ("a folder", folder, COUNTED, (*BAD, "directory")),
    ("a link to itself", lambda path: link(path, path.name), COUNTED, BAD),
    (
        "links in a circle",
        lambda path: link(link(path.with_name("x"), path.name) and path, "x"),
        COUNTED,
        BAD,
    ),
    ("a link to nothing", lambda path: link(path, "gone.jpg"), COUNTED, BAD),
    ("a link to an image", lambda path: link(path, max(path.parent.iterdir()).name), READ, ("usable",)),
    ("a terabyte of holes", _sparse, COUNTED, (*BAD, "bytes")),
]


def _paper(change: Callable[[Path], object]) -> Callable[[Place], Words]:
    """The same where images are not counted but needed."""

    def build(place: Place) -> Words:
        change(place.image())
        small = ("depth=18", "pretrained=none", "height=32", "width=16", "parts=2", "batch_size=8")
        sets = [word for text in small for word in ("--set", text)]
        return "paper", "--data-dir", place.market, "--out", "o", *sets

    return build


NEEDED: list[tuple[str, Callable[[Path], object], tuple[str, ...]]] = [
    ("a pipe, to train on", pipe, ("no regular file",)),
    ("one that may not be read, to train on", closed, ("0011_c1", "denied")),
    ("a folder that may not be read", lambda path: closed(path.parent), ("bounding_box_train", "denied")),
    ("a bomb, to train on", lambda path: put(path, png(65_000, 65_000, (b"IDAT", BLACK))), ("bomb",)),
    ("0 bytes, to train on", lambda path: put(path, b""), ("unknown format",)),
    ("a link to itself, to train on", lambda path: link(path, path.name), ("0011_c1",)),
]


def _named(name: bytes) -> Callable[[Place], Words]:
    def build(place: Place) -> Words:
        image = place.image()
        shutil.copyfile(image, os.fsencode(image.parent) + b"/" + name)
        return _check(place)

    return build


LEFT_OUT = ("1 images left out for their names",)
NAMES: list[tuple[str, bytes, str, tuple[str, ...]]] = [
    ("letters of all scripts", "名前 é 😀.jpg".encode(), COUNTED, LEFT_OUT),
    ("lines", b"a\nusable\nb.jpg", COUNTED, (*LEFT_OUT, "a\\nusable\\nb.jpg")),
    ("a terminal's commands", b"\x1b]0;owned\x07\x1b[2J.jpg", COUNTED, (*LEFT_OUT, "\\x1b")),
    ("writing turned round", "gpj.\u202eabc.jpg".encode(), COUNTED, (*LEFT_OUT, "\\u202e")),
    ("markup of the terminal", b"[red]x[blink].jpg", COUNTED, (*LEFT_OUT, "[red]x[blink].jpg")),
    ("bytes that are no text", b"\xff\xfe\x80.jpg", COUNTED, (*LEFT_OUT, "\\udcff")),
    ("255 bytes", b"x" * 251 + b".jpg", COUNTED, LEFT_OUT),
    ("camera 0", b"0011_c0s1_000009_01.jpg", COUNTED, LEFT_OUT),
    ("identity -2", b"-2_c1s1_000009_01.jpg", COUNTED, LEFT_OUT),
    ("an identity of thirty digits", b"9" * 30 + b"_c1s1_000009_01.jpg", COUNTED, LEFT_OUT),
    ("an identity in other digits", "٠٠١١_c1s1_000009_01.jpg".encode(), COUNTED, LEFT_OUT),
    ("a camera of thirty digits", b"0011_c" + b"1" * 30 + b".jpg", COUNTED, LEFT_OUT),
    ("five-digit identity", b"12345_c1s1_000009_01.jpg", READ, ("usable",)),
    ("spaces", b"0011_c1 s1 and more.jpg", READ, ("usable",)),
    ("lines in a name that is used", b"0011_c1\n\x1b[31m.jpg", READ, ("usable",)),
    ("capitals", b"0011_c1s1_000009_01.JPG", READ, ("usable",)),
    ("what a shell would run", b"0011_c1$(touch ran);`touch ran`.jpg", READ, ("usable",)),
    ("an option", b"--help.jpg", COUNTED, LEFT_OUT),
]


def _two_alike(place: Place) -> Words:
    """Names that are the same once control characters are shown as escapes."""
    _named(b"x\x1b.jpg")(place)
    return _named(b"x\\x1b.jpg")(place)


def _parent(name: str) -> Callable[[Place], Words]:
    def build(place: Place) -> Words:
        parent = place.folder / name
        parent.mkdir()
        return "data", "check", place.market.rename(parent / "market")

    return build


PARENTS = [
    ("run1_c2 in a folder above", "0099_c2_run1_c2", READ, ("usable",)),
    ("lines in a folder above", "a\nb\x1b[31m", READ, ("usable",)),
    ("bytes that are no text in a folder above", os.fsdecode(b"\xff\xfe"), READ, ("usable",)),
]

CASES: list[Case] = [
    *(Case("image", name, _content(make), COUNTED, (*BAD, word)) for name, make, word in BROKEN),
    *(Case("image", name, _content(make), READ, ("usable",)) for name, make in SOUND),
    *(Case("image", name, _in_place(make), ends, naming) for name, make, ends, naming in PLACES),
    *(Case("image", name, _paper(make), REFUSED, naming) for name, make, naming in NEEDED),
    *(Case("file name", name, _named(given), ends, naming) for name, given, ends, naming in NAMES),
    Case("file name", "two that look the same", _two_alike, COUNTED, ("2 images left out",)),
    *(Case("file name", name, _parent(given), ends, naming) for name, given, ends, naming in PARENTS),
]
