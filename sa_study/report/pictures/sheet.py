"""The paper that pictures are drawn on: pixel-exact images, frames and text, one palette, PNG with a caption.

Matplotlib's figures are used without pyplot, which would keep every figure alive and share state.
"""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.transforms import IdentityTransform
from numpy.typing import NDArray
from PIL import Image

DPI = 200
WIDTH = 1420
"""Pixels: 7.1 inches, the text width of a two-column paper."""

INK, FAINT = "#222222", "#8a8a8a"
MATCH, WRONG, JUNK = "#009e73", "#cc3311", "#b0b0b0"
"""Green and red that also differ in brightness; line styles and signs say the same without colour."""

LEGEND: dict[str, Any] = {
    "prop": {"family": "DejaVu Sans", "size": 6.5},
    "frameon": True,
    "framealpha": 0.9,
    "edgecolor": "none",
    "labelcolor": INK,
}

SIGNS = {"match": "✓", "wrong": "✗", "junk": "–"}
_FRAMES: dict[str, tuple[str, Any]] = {
    "match": (MATCH, "solid"),
    "wrong": (WRONG, (0, (3.6, 1.2))),
    "junk": (JUNK, (0, (1.0, 1.0))),
    "query": (INK, "solid"),
}
FRAME = 5
"""Width of a frame in pixels, all of it outside the image."""

_MARGIN = 24
_FONT = "DejaVu Sans"
_LINE = 1.45
_KERNING = 6
"""Pixels that a line may be wider than its words and spaces are."""

_COMPRESSION = 6


@dataclass(frozen=True)
class Caption:
    """What is said of a picture.

    Attributes:
        title: What kind of picture it is.
        where: Of which network and images.
        text: What is shown, precisely.
    """

    title: str
    where: str
    text: str


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels from the top left corner."""

    left: int
    top: int
    width: int
    height: int

    @property
    def middle(self) -> float:
        """Its horizontal middle."""
        return self.left + self.width / 2

    @property
    def bottom(self) -> int:
        """The first row below it."""
        return self.top + self.height

    def right_of(self, places: int, gap: int, more: int = 0) -> Box:
        """The box so many places further to the right, with gaps between and some pixels more."""
        return Box(self.left + places * (self.width + gap) + more, self.top, self.width, self.height)


class Sheet:
    """A figure with its title above, and its caption below the content.

    Args:
        height: Pixels that the content needs.
        caption: What is said of it.
        width: Pixels in all.

    Attributes:
        figure: Matplotlib's.
        caption: What is said of it.
        top: Where the content begins, in pixels from the top.
        left: Where it begins, from the left.
        width: Pixels in all.
    """

    def __init__(self, height: int, caption: Caption, width: int = WIDTH):
        self.caption = caption
        self.left, self.width = _MARGIN, width
        room = width - 2 * _MARGIN
        where, below = (wrap(text, room, 6.5) for text in (caption.where, caption.text))
        heads = [
            (wrap(caption.title, room, 9)[0], 9.0, INK, "bold"),
            *((line, 6.5, INK, "normal") for line in where),
        ]
        steps = [round(size * DPI / 72 * _LINE) for _, size, _, _ in heads]
        self.top = _MARGIN + sum(steps) + 14
        step = round(6.5 * DPI / 72 * _LINE)
        self._height = self.top + height + 14 + step * len(below) + _MARGIN
        # A quarter of a pixel more: rounding must never take one away.
        size = (width + 0.25) / DPI, (self._height + 0.25) / DPI
        self.figure = Figure(figsize=size, dpi=DPI, facecolor="white")
        FigureCanvasAgg(self.figure)
        y = _MARGIN
        for (line, points, colour, weight), height_of_line in zip(heads, steps, strict=True):
            self.text(_MARGIN, y, line, points, colour=colour, weight=weight, across="left")
            y += height_of_line
        for number, line in enumerate(below):
            self.text(
                _MARGIN, self.top + height + 14 + number * step, line, 6.5, colour="#444444", across="left"
            )

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = 6.0,
        *,
        colour: str = INK,
        weight: str = "normal",
        across: str = "center",
        along: str = "top",
        rotation: float = 0.0,
    ) -> None:
        """Writes a line at a point in pixels from the top left; nothing in it is markup."""
        self.figure.text(
            x,
            self._height - y,
            text,
            transform=IdentityTransform(),
            fontfamily=_FONT,
            fontsize=size,
            color=colour,
            weight=weight,
            ha=across,
            va=along,
            rotation=rotation,
            parse_math=False,
        )

    def image(self, pixels: NDArray[np.uint8], box: Box) -> None:
        """Puts an image, uint8 H×W×3, into a box."""
        resized = np.asarray(
            Image.fromarray(pixels).resize((box.width, box.height), Image.Resampling.BICUBIC)
        )
        self.figure.figimage(resized, box.left, self._height - box.bottom, origin="upper")

    def frame(self, box: Box, kind: str) -> None:
        """Draws a frame around a box: green for `match`, dashed red for `wrong`, dotted grey for `junk`."""
        colour, line = _FRAMES[kind]
        half = FRAME / 2
        place = box.left - half, self._height - box.bottom - half
        self.figure.add_artist(
            Rectangle(
                place,
                box.width + FRAME,
                box.height + FRAME,
                fill=False,
                edgecolor=colour,
                linewidth=FRAME * 72 / DPI,
                linestyle=line,
                joinstyle="miter",
                snap=False,  # snapping would move it by a pixel
                transform=IdentityTransform(),
            )
        )

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes whose frame is at a place in pixels from the top left."""
        across, along = self.width + 0.25, self._height + 0.25
        return self.figure.add_axes(
            (left / across, (self._height - top - height) / along, width / across, height / along)
        )

    def pixels(self) -> NDArray[np.uint8]:
        """The picture as it will be written, uint8 H×W×3."""
        canvas = self.figure.canvas
        assert isinstance(canvas, FigureCanvasAgg)
        with _quietly():
            canvas.draw()
        drawn: NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())[:, :, :3]
        return drawn

    def save(self, path: Path) -> None:
        """Writes a PNG that carries its title and caption as text."""
        about = {
            "Title": self.caption.title,
            "Description": f"{self.caption.where}. {self.caption.text}",
            "Software": "sa_study",
        }
        with _quietly():
            self.figure.savefig(
                path,
                format="png",
                dpi="figure",
                metadata=about,
                pil_kwargs={"compress_level": _COMPRESSION},
            )


def wrap(text: str, width: float, size: float) -> list[str]:
    """Breaks a text into lines that are no wider than so many pixels; a word that is too long is cut."""
    width -= _KERNING
    space = measure("a a", size) - measure("aa", size)
    lines: list[str] = [""]
    used = 0.0
    for word in text.split():
        while measure(word, size) > width:
            word = word[: max(1, len(word) * 4 // 5 - 1)] + "…"
        longer = used + (space if used else 0) + measure(word, size)
        if longer <= width:
            lines[-1], used = f"{lines[-1]} {word}".strip(), longer
        else:
            lines.append(word)
            used = measure(word, size)
    return lines


@functools.lru_cache(maxsize=4096)
def measure(text: str, size: float) -> float:
    """The width of a line in pixels."""
    font = FontProperties(family=_FONT, size=size)
    with _quietly():
        return float(_ruler().get_text_width_height_descent(text, font, ismath=False)[0])


def style_axes(axes: Axes, x: str, y: str) -> None:
    """Gives axes the style of the pictures: quiet lines, small type, no frame on the right and above."""
    font: dict[str, Any] = {"fontfamily": _FONT, "fontsize": 7.0, "color": INK}
    axes.set_xlabel(x, **font)
    axes.set_ylabel(y, **font)
    axes.tick_params(labelsize=6.5, width=0.6, length=3, colors=INK, labelfontfamily=_FONT)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_linewidth(0.6)
    axes.grid(True, color="#e4e4e4", linewidth=0.5)
    axes.set_axisbelow(True)


def grey(pixels: NDArray[np.uint8], veil: float) -> NDArray[np.uint8]:
    """The brightness of an image, uint8 H×W×3, with a share of white over it."""
    brightness = pixels @ np.array([0.299, 0.587, 0.114])
    shade = (1 - veil) * brightness + 255 * veil
    return np.repeat(np.rint(shade).astype(np.uint8)[:, :, None], 3, axis=2)


@functools.cache
def _ruler() -> RendererAgg:
    return RendererAgg(1, 1, DPI)


def _quietly() -> warnings.catch_warnings:
    """Within, a sign that the font lacks is drawn as a box, without a warning for each."""
    return warnings.catch_warnings(action="ignore")
