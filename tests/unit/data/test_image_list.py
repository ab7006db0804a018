"""Images of a folder or of a list: order, what counts, and what is refused in one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from refusals import refusal

from sa_study.data.image_list import list_images
from sa_study.utils.errors import DataError


def test_a_folder(tmp_path: Path) -> None:
    for name in ("b.jpg", "a/2.PNG", "a/1.webp", "a/notes.txt", "c.jpeg.part"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    found = [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)]
    assert found == ["a/1.webp", "a/2.PNG", "b.jpg"]


@pytest.mark.parametrize(
    "content",
    [
        "path\nx/1.jpg\n/abs/2.jpg\n",
        "\ufeffpid,path\r\n7,x/1.jpg\r\n8,/abs/2.jpg\r\n",
        'path,note\n"x/1.jpg","a, b"\n/abs/2.jpg,\n\n',
    ],
)
def test_a_list(tmp_path: Path, content: str) -> None:
    (tmp_path / "list.csv").write_bytes(content.encode())
    assert list_images(tmp_path / "list.csv") == [tmp_path / "x/1.jpg", Path("/abs/2.jpg")]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "names no column 'path'; found nothing"),
        (b"file\na.jpg\n", "names no column 'path'; found 'file'"),
        (b"path\n", "holds no images; found no rows"),
        (b"path,pid\n,3\n", "line 2: the column 'path' holds no path"),
        (b"pid,path\n3\n", "line 2: the column 'path' holds no path"),
        (b"path\n\xff.jpg\n", "no CSV file in UTF-8"),
        (b'path\n"a.jpg\n', "no CSV file in UTF-8"),
        (b"path\n" + b"x" * 200_000, "no CSV file in UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0\0", "no CSV file"),
    ],
)
def test_what_is_no_list(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    text = refusal(DataError, list_images, path)
    assert words in text and text.startswith(str(path))


def test_what_is_not_there_or_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, words in (("none", "No such file"), ("pipe", "no regular file")):
        with pytest.raises(DataError, match=words):
            list_images(tmp_path / name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no images; found no file that ends in \.jpg"):
        list_images(tmp_path / "empty")
