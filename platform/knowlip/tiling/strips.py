"""The units of tiling: strips of a scene, small enough to redo and large enough to be worth a task.

A strip of the first stage holds rows of small tiles, and is read. A strip of the second stage holds a row of the
largest tiles and the medium ones below them; it is put together from what the strips of the first stage saw of them.
Every tile is in exactly one strip, whatever the number of workers, and every row of the scene is one strip's own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from knowlip.manifest import digest
from knowlip.scenes.bands import Band
from knowlip.scenes.reader import Scene
from knowlip.tiling.grid import Grid, GridSettings, Window, lay_grid

__all__ = ["PlannedTile", "Strip", "plan_strips", "tile_id"]

_BLOCKS_A_STRIP = 8
"""Rows of blocks that a strip holds at least: a block on the border of two strips is decoded for both."""


@dataclass(frozen=True, slots=True)
class PlannedTile:
    """A tile to cut: its window, its id, and its parent's.

    Attributes:
        window: Place in the scene.
        tile_id: Content address.
        parent_id: Tile of the next larger scale that contains its centre.
    """

    window: Window
    tile_id: str
    parent_id: str | None


@dataclass(frozen=True)
class Strip:
    """Tiles of one band of a scene that are cut together.

    Attributes:
        name: Unique within the scene (``VV_001``, ``VV_P000``).
        stage: 0 for strips of small tiles; 1 for larger ones, which are kept where a child was.
        band: The band that is cut.
        tiles: What is cut, smaller scales first.
        own_rows: First scene row that this strip answers for, and the row after the last (first stage).
        above: Larger tiles that these rows are part of (first stage).
        below: Name and own rows of each strip that these tiles are put together from (second stage).
    """

    name: str
    stage: int
    band: Band
    tiles: tuple[PlannedTile, ...]
    own_rows: tuple[int, int] = (0, 0)
    above: tuple[PlannedTile, ...] = ()
    below: tuple[tuple[str, int, int], ...] = ()

    @property
    def rows(self) -> tuple[int, int]:
        """First row and the row after the last that its tiles cover, and the parts it leaves of larger ones."""
        windows = [tile.window for tile in self.tiles]
        first, last = min(w.row for w in windows), max(w.row + w.height for w in windows)
        return (min(first, self.own_rows[0]), max(last, self.own_rows[1])) if self.above else (first, last)

    def with_ancestors(self, tiles: Collection[str]) -> set[str]:
        """Return which of its tiles are among these, or hold one of them."""
        found = set(tiles)
        for planned in self.tiles:
            # Medium tiles come before the large ones above them.
            if planned.tile_id in found and planned.parent_id:
                found.add(planned.parent_id)
        return found & {planned.tile_id for planned in self.tiles}


def tile_id(scene_id: str, series: str, window: Window) -> str:
    """Return the content address of a tile: 16 hex digits of the scene's digest, series, scale and window."""
    place = [window.scale, window.row, window.col, window.height, window.width]
    return digest([scene_id, series, *place])


def plan_strips(scene: Scene, settings: GridSettings) -> list[Strip]:
    """Lay the grid over a scene and divide its tiles into strips.

    Args:
        scene: What is tiled.
        settings: The grid.

    Raises:
        SceneError: The scene is smaller than one tile (code ``too_small``).
    """
    grid = lay_grid(scene.height, scene.width, scene.spacing, settings, name=scene.name)
    rows = max(1, int(settings.strip_mpx * 1e6 / scene.width), _BLOCKS_A_STRIP * (scene.block_height - 1))
    return [strip for band in scene.bands for strip in _band_strips(scene, band, grid, rows, settings.overlap)]


def _band_strips(scene: Scene, band: Band, grid: Grid, rows: int, overlap: float) -> list[Strip]:
    *larger, smallest = grid.windows
    small = _grouped(grid, [smallest], rows, overlap)
    # The scene is divided where the strips begin, down to the last row that any tile needs.
    starts = [min(window.row for window in group) for group in small]
    bottom = max(window.row + window.height for windows in grid.windows.values() for window in windows)
    own_rows = list(pairwise([*starts, min(bottom, scene.height)]))
    parents = [window for scale in larger for window in grid.windows[scale]]
    first = [
        Strip(
            f"{band.series}_{index:03d}",
            0,
            band,
            _planned(scene, band, grid, group),
            own,
            _planned(scene, band, grid, [window for window in parents if _meets(window, *own)]),
        )
        for index, (group, own) in enumerate(zip(small, own_rows, strict=True))
    ]
    seen = [(strip.name, *strip.own_rows) for strip in first]
    second = [
        Strip(
            f"{band.series}_P{index:03d}",
            1,
            band,
            _planned(scene, band, grid, group),
            below=tuple(one for one in seen if any(_meets(window, *one[1:]) for window in group)),
        )
        for index, group in enumerate(_grouped(grid, larger, 1, overlap) if larger else ())
    ]
    return first + second


def _meets(window: Window, first: int, last: int) -> bool:
    return window.row < last and window.row + window.height > first


def _planned(scene: Scene, band: Band, grid: Grid, windows: Iterable[Window]) -> tuple[PlannedTile, ...]:
    planned = []
    for window in sorted(windows, key=lambda w: ("SML".index(w.scale), w.row, w.col)):
        parent = grid.parents[window]
        parent_id = tile_id(scene.scene_id, band.series, parent) if parent else None
        planned.append(PlannedTile(window, tile_id(scene.scene_id, band.series, window), parent_id))
    return tuple(planned)


def _grouped(grid: Grid, scales: Sequence[str], rows: int, overlap: float) -> list[list[Window]]:
    """Put the rows of the larger scale into groups of at least ``rows`` pixels, and each child where its parent is."""
    bottoms: dict[int, int] = {}
    for window in grid.windows[scales[0]]:
        bottoms[window.row] = max(bottoms.get(window.row, 0), window.row + window.height)
    starts = [min(bottoms)]
    for above, top in pairwise(sorted(bottoms)):
        # A last row that was shifted back lies mostly on the one before, and is read with it.
        shifted = top - above < (bottoms[top] - top) * (1.0 - overlap) / 2
        if top - starts[-1] >= rows and not shifted:
            starts.append(top)

    def group_of(window: Window) -> int:
        parent = grid.parents[window] if window.scale != scales[0] else window
        at = parent.row if parent is not None else window.centre[0]
        return max(0, bisect_right(starts, at) - 1)

    groups: list[list[Window]] = [[] for _ in starts]
    for scale in scales:
        for window in grid.windows[scale]:
            groups[group_of(window)].append(window)
    return [group for group in groups if group]
