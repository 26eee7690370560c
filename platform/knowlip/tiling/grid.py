"""The SRC grid: windows that cover the same ground whatever the sensor (section 3.1, step 3), and their pyramid.

Each scale has a grid of its own, laid from the scene's first pixel. A window's size in pixels follows from the ground
metres a pixel covers *where the window lies*, so that a Mercator or geographic scene keeps its extent from south to
north. A child's parent is the window of the next larger scale that contains its centre (section 3.2).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np
import shapely
from pydantic import Field

from knowlip.errors import SceneError
from knowlip.records import SCALES
from knowlip.scenes.georeference import Spacing
from knowlip.settings import Section

__all__ = ["Edge", "Grid", "GridSettings", "Window", "lay_grid"]

Edge = Literal["shift", "pad", "drop"]

_TOLERANCE = 0.005
"""A scene may fall this much short of a window's extent and still hold it (the extent is then as much smaller)."""

_OWN_SIZE = 0.001
"""Where the ground size of pixels along a row of windows varies by more than this, each window gets its own height."""


class GridSettings(Section):
    """The SRC grid and its pyramid."""

    extent_m: float = Field(default=1024.0, gt=0)
    """Ground side of a small tile, metres on the ellipsoid."""

    medium: float = Field(default=4.0, ge=0)
    """Side of a medium tile in small ones; 0 leaves the scale out."""

    large: float = Field(default=16.0, ge=0)
    """Side of a large tile in small ones; 0 leaves the scale out."""

    overlap: float = Field(default=0.0, ge=0, lt=0.9)
    """Share of its side by which a tile overlaps the next."""

    edge: Edge = "shift"
    """At the far edges: `shift` the last tile back inside, `pad` it with no data, or `drop` it. Medium and large ones
    are shifted where small ones are padded."""

    parent_px: int = Field(default=1024, ge=64)
    """Medium and large images are averaged down to at most this many pixels a side; small ones never are."""

    strip_mpx: float = Field(default=8.0, gt=0)
    """Scene pixels, in millions, that one unit of work holds at least; every tile of a scene is in one unit."""

    def extents_m(self) -> dict[str, float]:
        """Return the ground side of each scale that is in use, larger scales first."""
        sides = {"L": self.large, "M": self.medium, "S": 1.0}
        return {scale: self.extent_m * sides[scale] for scale in SCALES if sides[scale] > 0}


@dataclass(frozen=True, slots=True)
class Window:
    """A tile's place in its scene, pixels; it may reach past the edge where the policy is to pad.

    Attributes:
        scale: L, M or S.
        row: First row.
        col: First column.
        height: Rows.
        width: Columns.
        factor: Scene pixels a side that are averaged to one of the stored image.
    """

    scale: str
    row: int
    col: int
    height: int
    width: int
    factor: int = 1

    @property
    def centre(self) -> tuple[float, float]:
        """Row and column of the centre."""
        return self.row + self.height / 2, self.col + self.width / 2


@dataclass(frozen=True)
class Grid:
    """All windows of a scene.

    Attributes:
        windows: Windows of each scale that fits, larger scales first, row by row.
    """

    windows: dict[str, list[Window]]

    @cached_property
    def parents(self) -> dict[Window, Window | None]:
        """The window of the next larger scale that contains each window's centre; the nearest where several do."""
        scales = list(self.windows)
        found: dict[Window, Window | None] = dict.fromkeys(self.windows[scales[0]])
        for larger, smaller in pairwise(scales):
            found |= _containing(self.windows[smaller], self.windows[larger])
        return found


def lay_grid(height: int, width: int, spacing: Spacing, settings: GridSettings, *, name: str = "") -> Grid:
    """Lay the grids of all scales over a scene.

    A scale whose extent the scene cannot hold (but for 0.5 %) is left out, and the next smaller one has no parents.
    Only the padding policy makes tiles of a scene that is smaller than one small tile.

    Raises:
        SceneError: The scene is smaller than a small tile (code ``too_small``).
    """
    windows = {}
    for scale, extent_m in settings.extents_m().items():
        laid = _lay_scale(scale, extent_m, height, width, spacing, settings)
        if laid:
            windows[scale] = laid
    if not windows:
        east_m, south_m = spacing.at(height / 2, width / 2)
        raise SceneError(
            f"covers {width * east_m:.0f} × {height * south_m:.0f} m, less than one tile of {settings.extent_m:g} m",
            where=name,
            fix="lower --tiling.extent-m, or set --tiling.edge pad",
            code="too_small",
        )
    return Grid(windows)


def _lay_scale(
    scale: str, extent_m: float, height: int, width: int, spacing: Spacing, settings: GridSettings
) -> list[Window]:
    middle = spacing.at(height / 2, width / 2)
    rough = extent_m / min(middle)
    factor = 1 if scale == "S" else max(1, math.ceil(rough / settings.parent_px))
    edge: Edge = settings.edge if scale == "S" or settings.edge != "pad" else "shift"

    def pixels(metres: float) -> int:
        return max(1, round(extent_m / metres / factor)) * factor

    def size_down(row: int) -> int:
        half = pixels(spacing.at(row, width / 2)[1]) / 2
        own = [pixels(spacing.at(row + half, col)[1]) for col in (0, width / 2, width)]
        return own[1] if max(own) - min(own) <= max(1, _OWN_SIZE * own[1]) else min(own)

    windows = []
    for row, band_height in _lay_axis(height, size_down, settings.overlap, edge, factor):
        centre = row + band_height / 2

        def size_across(col: int, centre: float = centre) -> int:
            half = pixels(spacing.at(centre, col)[0]) / 2
            return pixels(spacing.at(centre, col + half)[0])

        for col, own_width in _lay_axis(width, size_across, settings.overlap, edge, factor):
            own_height = pixels(spacing.at(centre, col + own_width / 2)[1])
            fits = edge == "pad" or row + own_height <= height
            varies = abs(own_height - band_height) > max(1, _OWN_SIZE * band_height)
            windows.append(Window(scale, row, col, own_height if varies and fits else band_height, own_width, factor))
    return windows


def _lay_axis(
    length: int, size_at: Callable[[int], int], overlap: float, edge: Edge, factor: int
) -> list[tuple[int, int]]:
    """Return offset and size of each window along an axis."""
    laid: list[tuple[int, int]] = []
    offset = 0
    while True:
        size = size_at(offset)
        if offset + size > length:
            break
        laid.append((offset, size))
        if offset + size == length:
            return laid
        offset += max(1, round(size * (1.0 - overlap)))
    if edge == "pad":
        laid.append((offset, size))
    elif not laid:
        if size <= length * (1 + _TOLERANCE) and length >= factor:
            laid.append((0, length - length % factor))
    elif edge == "shift":
        last = size_at(length - laid[-1][1])
        if last <= length:
            laid.append((length - last, last))
    return laid


def _containing(children: list[Window], parents: list[Window]) -> dict[Window, Window | None]:
    found: dict[Window, Window | None] = dict.fromkeys(children)
    boxes = [shapely.box(p.col, p.row, p.col + p.width, p.row + p.height) for p in parents]
    centres = np.array([child.centre for child in children], dtype=np.float64)
    points = shapely.points(centres[:, 1], centres[:, 0])
    child_at, parent_at = shapely.STRtree(boxes).query(points, predicate="intersects")
    middles = np.array([parent.centre for parent in parents], dtype=np.float64)
    distance = ((centres[child_at] - middles[parent_at]) ** 2).sum(axis=1)
    # Nearest first, and of equals the first in reading order: the last write per child below is then the best.
    for place in np.lexsort((parent_at, distance))[::-1]:
        found[children[child_at[place]]] = parents[parent_at[place]]
    return found
