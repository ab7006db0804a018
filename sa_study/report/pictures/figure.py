"""A picture: a Matplotlib figure with a title, a grid of images or a plot, and a caption.

Matplotlib's figures are used without pyplot, which would keep every figure alive and share state. Sizes are
in inches; what is written is cut to its content.
"""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import BboxImage
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox, TransformedBbox

from sa_study.report.pictures.overlays import Pixels

DPI = 200
WIDTH = 7.1
"""The text width of a two-column paper."""

INK, FAINT = "#222222", "#8a8a8a"
MATCH, WRONG, JUNK = "#009e73", "#cc3311", "#b0b0b0"
"""Green and red that also differ in brightness; line styles and signs say the same without colour."""

SIGNS = {"match": "✓", "wrong": "✗", "junk": "–"}
FRAMES: dict[str, tuple[str, Any]] = {
    "match": (MATCH, "solid"),
    "wrong": (WRONG, (0, (3.6, 1.2))),
    "junk": (JUNK, (0, (1.0, 1.0))),
    "query": (INK, "solid"),
}
"""Colour and line of a frame: solid green for a match, dashed red for another, dotted grey for junk."""

_FRAME = 1.8  # points
_MARGIN = 0.12
_PARTS_GAP = 0.1
_MAX_WORD = 60  # characters
_MAX_CELL_SHAPE = 3.0
_COMPRESSION = 6
_TEXT_ABOVE, _TEXT_BELOW = 0.12, 0.13

styled = matplotlib.rc_context(
    {
        "font.family": "DejaVu Sans",
        "font.size": 6.5,
        "text.color": INK,
        "text.parse_math": False,
        "axes.labelsize": 7,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#e4e4e4",
        "grid.linewidth": 0.5,
        "xtick.color": INK,
        "ytick.color": INK,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "lines.linewidth": 1.3,
        "legend.framealpha": 0.9,
        "legend.edgecolor": "none",
    }
)
"""Decorates what draws a picture: its style, whatever the user's own configuration of Matplotlib says."""


class Cell:
    """The place of an image in a figure.

    The image, text around it and a frame are the figure's own artists, not axes, of which a picture would
    have hundreds: they take most of its time.

    Args:
        figure: The figure.
        place: Left, bottom, width and height in shares of the figure.

    Attributes:
        box: The place, in pixels.
    """

    def __init__(self, figure: Figure, place: tuple[float, float, float, float]):
        self._figure = figure
        self._place = place
        self.box = TransformedBbox(Bbox.from_bounds(*place), figure.transFigure)

    def show(self, pixels: Pixels, frame: str) -> None:
        """Fills the cell with an image, H×W×3, with one of `FRAMES` around it, or none."""
        self._figure.add_artist(BboxImage(self.box, data=pixels, interpolation="bicubic", origin="upper"))
        if frame:
            left, bottom, width, height = self._place
            edge = Rectangle((left, bottom), width, height, fill=False, transform=self._figure.transFigure)
            edge.set(edgecolor=FRAMES[frame][0], linestyle=FRAMES[frame][1], linewidth=_FRAME)
            self._figure.add_artist(edge)

    def add_axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Adds axes for a plot at a place in shares of the cell: beyond 1, right of it or above."""
        left, bottom, across, along = self._place
        place = (left + x * across, bottom + y * along, width * across, height * along)
        return self._figure.add_axes(place)

    def write(self, text: str, at: tuple[float, float], points: tuple[float, float], **style: Any) -> None:
        """Writes a text.

        Args:
            text: The text.
            at: The point that it belongs to, in shares of the cell's width and height.
            points: How far from there it stands, to the right and up.
            style: Of Matplotlib's text.
        """
        if not text:
            return
        left, bottom, width, height = self._place
        xy = left + at[0] * width, bottom + at[1] * height
        style = {"xycoords": self._figure.transFigure, "textcoords": "offset points", **style}
        self._figure.add_artist(Annotation(text, xy, points, annotation_clip=False, **style))


class Picture:
    """A figure that is filled from top to bottom: title, then a grid of images or a plot, then the caption.

    Args:
        title: What kind of picture it is.
        where: The network and the images shown.
        caption: What is shown, precisely.
        width: Width in inches.

    Attributes:
        figure: Matplotlib's figure.
    """

    def __init__(self, title: str, where: str, caption: str, width: float = WIDTH):
        self.title, self.where, self.caption = title, where, caption
        self._width = width - 2 * _MARGIN
        self._used = 0.02  # at the very top, Matplotlib would wrap after every word
        self.figure = Figure(figsize=(self._width, 1), dpi=DPI)
        FigureCanvasAgg(self.figure)
        self._write(title, fontsize=9, weight="bold")
        self._write(where)
        self._used += _PARTS_GAP

    def plot(self, height: float, x: str, y: str, above: float = 0.0) -> Axes:
        """Adds axes of a height, with labels, and room above them, such as for a legend."""
        axes = self.figure.add_axes(self._place(0.45, self._used + above, self._width - 0.5, height))
        axes.set(xlabel=x, ylabel=y)
        self._used += above + height + 0.33
        return axes

    def add_grid(
        self,
        rows: int,
        gaps: Sequence[float],
        images: Pixels,
        *,
        largest: float = WIDTH,
        above: float = _TEXT_ABOVE,
        left: float = 0.0,
        right: float = 0.0,
        between: float = _TEXT_ABOVE + _TEXT_BELOW + 0.05,
        below: float = _TEXT_BELOW,
    ) -> None:
        """Adds a grid of cells for `image`, in the shape of some images, as large as the width allows.

        Args:
            rows: Number of rows.
            gaps: Gaps between the columns, one fewer than columns.
            images: N×h×w×3.
            largest: Greatest width of a cell.
            above: Room above the first row.
            left: Room left of the first column.
            right: Room right of the last one.
            between: Room between the rows.
            below: Room below the last row.
        """
        width = min(largest, (self._width - left - right - sum(gaps)) / (len(gaps) + 1))
        height = width * min(_MAX_CELL_SHAPE, images.shape[1] / images.shape[2])
        self._cell = width, height
        self._columns = list(itertools.accumulate(gaps, lambda x, gap: x + width + gap, initial=left))
        self._rows = [self._used + above + row * (height + between) for row in range(rows)]
        self._used = self._rows[-1] + height + below

    def image(
        self, row: int, column: int, pixels: Pixels, *, frame: str = "", head: str = "", foot: str = ""
    ) -> Cell:
        """Shows an image, H×W×3, in a cell of the grid, with one of `FRAMES` and text above and below."""
        cell = Cell(self.figure, self._place(self._columns[column], self._rows[row], *self._cell))
        colour, weight = "black" if frame != "junk" else FAINT, "bold" if frame == "query" else "normal"
        cell.write(head, (0.5, 1), (0, 3), ha="center", fontsize=6, color=colour, weight=weight)
        cell.write(foot, (0.5, 0), (0, -3), ha="center", va="top", fontsize=5.5, color=colour)
        cell.show(pixels, frame)
        return cell

    @styled
    def save(self, file: Path | BinaryIO) -> None:
        """Adds the caption and writes a PNG that carries title and caption as text."""
        self._used += _PARTS_GAP
        self._write(self.caption, color="#444444")
        about = {"Title": self.title, "Description": f"{self.where}. {self.caption}", "Software": "sa_study"}
        with _quietly():
            self.figure.savefig(
                file,
                format="png",
                dpi="figure",
                bbox_inches="tight",
                pad_inches=_MARGIN,
                metadata=about,
                pil_kwargs={"compress_level": _COMPRESSION},
            )

    def _place(self, x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
        """Left, bottom, width and height in shares of the figure, one inch high while it is filled."""
        return x / self._width, 1 - y - height, width / self._width, height

    def _write(self, text: str, **style: Any) -> None:
        """Adds a paragraph below the content so far; words too long for a line are cut."""
        text = re.sub(rf"(\S{{{_MAX_WORD}}})\S+", r"\1…", text)
        # Matplotlib's wrapping takes two dollars for mathematics, whatever `parse_math` says.
        style |= {"parse_math": True, "wrap": True, "linespacing": 1.35, "va": "top"}
        text = text.replace("$", r"\$")
        with _quietly():
            written = self.figure.text(0, 1 - self._used, text, **style)
            self._used += written.get_window_extent().height / DPI + 0.05
            # Its lines are final now: a figure being saved is wider by its margins.
            written.set(text=getattr(written, "_get_wrapped_text")(), wrap=False)  # noqa: B009


def _quietly() -> warnings.catch_warnings:
    """Within, a character that the font lacks is drawn as a box, without a warning for each."""
    return warnings.catch_warnings(action="ignore")
