"""The units of tiling: strips of a scene, small enough to redo and large enough to be worth a task.

A strip of the first stage holds rows of medium tiles and the small tiles below them; a strip of the second stage holds
a row of large tiles. Every tile is in exactly one strip, whatever the number of workers.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from knowlip.manifest import digest
from knowlip.scenes.bands import Band
from knowlip.scenes.reader import Scene
from knowlip.tiling.grid import Grid, GridSettings, Window, lay_grid

__all__ = ["PlannedTile", "Strip", "plan_strips", "tile_id"]


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
        name: Unique within the scene (``VV_001``, ``VV_L000``).
        stage: 0 for strips of small and medium tiles; 1 for large ones, which are kept where a child was.
        band: The band that is cut.
        tiles: What is cut, smaller scales first.
    """

    name: str
    stage: int
    band: Band
    tiles: tuple[PlannedTile, ...]

    @property
    def rows(self) -> tuple[int, int]:
        """First row and the row after the last that the tiles cover."""
        windows = [tile.window for tile in self.tiles]
        return min(w.row for w in windows), max(w.row + w.height for w in windows)


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
    rows = max(1, int(settings.strip_mpx * 1e6 / scene.width))
    return [strip for band in scene.bands for strip in _band_strips(scene, band, grid, rows)]


def _band_strips(scene: Scene, band: Band, grid: Grid, rows: int) -> list[Strip]:
    below = [scale for scale in grid.windows if scale != "L"]
    strips = []
    if below:
        groups = _grouped(grid, below, rows)
        strips += [_strip(scene, band, grid, f"{index:03d}", 0, group) for index, group in enumerate(groups)]
    by_row: dict[int, list[Window]] = {}
    for window in grid.windows.get("L", ()):
        by_row.setdefault(window.row, []).append(window)
    strips += [_strip(scene, band, grid, f"L{index:03d}", 1, row) for index, row in enumerate(by_row.values())]
    return strips


def _strip(scene: Scene, band: Band, grid: Grid, suffix: str, stage: int, windows: Iterable[Window]) -> Strip:
    planned = []
    for window in sorted(windows, key=lambda w: ("SML".index(w.scale), w.row, w.col)):
        parent = grid.parents[window]
        parent_id = tile_id(scene.scene_id, band.series, parent) if parent else None
        planned.append(PlannedTile(window, tile_id(scene.scene_id, band.series, window), parent_id))
    return Strip(f"{band.series}_{suffix}", stage, band, tuple(planned))


def _grouped(grid: Grid, scales: list[str], rows: int) -> list[list[Window]]:
    """Put the rows of the larger scale into groups of at least ``rows`` pixels, and each child where its parent is."""
    leading = grid.windows[scales[0]]
    tops = sorted({window.row for window in leading})
    starts = [tops[0]]
    for top in tops:
        if top - starts[-1] >= rows:
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
