"""A picture: a Matplotlib figure with a title, a grid of images or a plot, and a caption.

Matplotlib's figures are used without pyplot, which would keep every figure alive and share state. Sizes are
in inches; what is written is cut to its content.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

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


@dataclass(frozen=True)
class Caption:
    """The text of a picture.

    Attributes:
        title: What kind of picture it is.
        where: The network and the images that it is of.
        text: What is shown, precisely.
    """

    title: str
    where: str
    text: str


class Picture:
    """A figure that is filled from top to bottom: title, then a grid or a plot, then the caption.

    Args:
        caption: Its text.
        width: Width in inches.

    Attributes:
        figure: Matplotlib's figure.
        caption: Its text.
    """

    def __init__(self, caption: Caption, width: float = WIDTH):
        self.caption = caption
        self._width = width - 2 * _MARGIN
        self._used = 0.02  # at the very top, Matplotlib would wrap after every word
        self.figure = Figure(figsize=(self._width, 1), dpi=DPI)
        FigureCanvasAgg(self.figure)
        self._write(caption.title, fontsize=9, weight="bold")
        self._write(caption.where)
        self._used += _PARTS_GAP

    def plot(self, height: float, x: str, y: str, above: float = 0.0) -> Axes:
        """Adds axes with labels.

        Args:
            height: Height of the axes.
            x: Label of the horizontal axis.
            y: Label of the vertical axis.
            above: Room above, such as for a legend.
        """
        axes = self.figure.add_subplot(
            self._grid(1, [self._width - 0.5], height, 0.0, above, 0.33, left=0.45)[0]
        )
        axes.set(xlabel=x, ylabel=y)
        return axes

    def image_grid(
        self,
        rows: int,
        gaps: Sequence[float],
        images: NDArray[np.uint8],
        *,
        largest: float = WIDTH,
        head: float = _TEXT_ABOVE,
        left: float = 0.0,
        right: float = 0.0,
        between: float = _TEXT_ABOVE + _TEXT_BELOW + 0.05,
        below: float = _TEXT_BELOW,
    ) -> ImageGrid:
        """Adds a grid of cells in the shape of some images, as large as the width allows.

        Args:
            rows: Number of rows.
            gaps: Gaps between the columns; a column more than these.
            images: uint8 N×h×w×3.
            largest: Width of a cell at most.
            head: Room above the first row.
            left: Room left of the first column.
            right: Room right of the last one.
            between: Room between the rows.
            below: Room below the last row.
        """
        shape = min(_MAX_CELL_SHAPE, images.shape[1] / images.shape[2])
        width = min(largest, (self._width - left - right - sum(gaps)) / (len(gaps) + 1))
        ratios = [width]
        for gap in gaps:
            ratios += [gap, width]
        grid = self._grid(rows, ratios, width * shape, between, head, below, left)
        return ImageGrid(self.figure, grid)

    def _grid(
        self,
        rows: int,
        widths: Sequence[float],
        height: float,
        between: float,
        above: float,
        below: float,
        left: float = 0.0,
    ) -> GridSpec:
        top = self._used + above
        bottom = top + rows * height + (rows - 1) * between
        self._used = bottom + below
        return GridSpec(
            rows,
            len(widths),
            self.figure,
            left=left / self._width,
            right=(left + sum(widths)) / self._width,
            top=1 - top,
            bottom=1 - bottom,
            wspace=0,
            hspace=between / height,
            width_ratios=widths,
        )

    def _write(self, text: str, **style: Any) -> None:
        """Adds a paragraph below what is there already; words too long for a line are cut."""
        text = re.sub(rf"(\S{{{_MAX_WORD}}})\S+", r"\1…", text)
        # Matplotlib's wrapping takes two dollars for mathematics, whatever `parse_math` says.
        style |= {"parse_math": True, "wrap": True, "linespacing": 1.35, "va": "top"}
        text = text.replace("$", r"\$")
        with quietly():
            written = self.figure.text(0, 1 - self._used, text, **style)
            self._used += written.get_window_extent().height / DPI + 0.05
            # Broken for good: while it is saved, the figure is wider by its margins.
            written.set(text=getattr(written, "_get_wrapped_text")(), wrap=False)  # noqa: B009

    @styled
    def save(self, path: Path) -> None:
        """Adds the caption and writes a PNG that carries title and caption as text."""
        self._used += _PARTS_GAP
        self._write(self.caption.text, color="#444444")
        about = {
            "Title": self.caption.title,
            "Description": f"{self.caption.where}. {self.caption.text}",
            "Software": "sa_study",
        }
        with quietly():
            self.figure.savefig(
                path,
                format="png",
                dpi="figure",
                bbox_inches="tight",
                pad_inches=_MARGIN,
                metadata=about,
                pil_kwargs={"compress_level": _COMPRESSION},
            )


class ImageGrid:
    """Cells for images.

    Args:
        figure: The figure that they are in.
        grid: Its layout; every second column is a gap.
    """

    def __init__(self, figure: Figure, grid: GridSpec):
        self._figure, self._grid = figure, grid

    def image(
        self,
        row: int,
        column: int,
        pixels: NDArray[np.uint8],
        *,
        frame: str = "",
        head: str = "",
        foot: str = "",
        bold: bool = False,
        faint: bool = False,
    ) -> Axes:
        """Shows an image.

        Args:
            row: Of the cell, from 0.
            column: Of the cell, from 0.
            pixels: uint8 H×W×3.
            frame: One of `FRAMES`, or nothing.
            head: Text above.
            foot: Text below.
            bold: Whether the text above is bold.
            faint: Whether the texts are grey.
        """
        axes = self.axes(row, column)
        axes.imshow(pixels, aspect="auto", interpolation="bicubic")
        axes.set(xticks=[], yticks=[])
        axes.grid(False)
        axes.spines[:].set_visible(False)
        colour = FAINT if faint else "black"
        axes.set_title(head, fontsize=6, pad=3, color=colour, weight="bold" if bold else "normal")
        axes.set_xlabel(foot, fontsize=5.5, labelpad=3, color=colour)
        if frame:
            edge, line = FRAMES[frame]
            style: dict[str, Any] = {"edgecolor": edge, "linestyle": line, "linewidth": _FRAME}
            axes.add_patch(
                Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, clip_on=False, **style)
            )
        return axes

    def axes(self, row: int, column: int) -> Axes:
        """Adds the empty axes of a cell."""
        return self._figure.add_subplot(self._grid[row, 2 * column])


def grey(pixels: NDArray[np.uint8], veil: float) -> NDArray[np.uint8]:
    """The brightness of an image, uint8 H×W×3, with a share of white over it."""
    brightness = pixels @ np.array([0.299, 0.587, 0.114])
    shade = (1 - veil) * brightness + 255 * veil
    return np.repeat(np.rint(shade).astype(np.uint8)[:, :, None], 3, axis=2)


def quietly() -> warnings.catch_warnings:
    """Within, a character that the font lacks is drawn as a box, without a warning for each."""
    return warnings.catch_warnings(action="ignore")
