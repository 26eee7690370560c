"""Cut the tiles of a strip in one pass over its rows: every block is decoded once, and memory holds one row of tiles.

Rows are read in the file's own blocks and turned into 8 bits at once. Small tiles grow while the rows go by; of medium
and large ones, which reach across strips, each strip leaves behind the part that it saw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from knowlip.scenes.radiometry import Transfer
from knowlip.scenes.reader import Scene, SceneReader
from knowlip.tiling.averaging import Averager, Part, PartMaker
from knowlip.tiling.grid import Window
from knowlip.tiling.strips import PlannedTile, Strip
from knowlip.tiling.tile import Tile

__all__ = ["CutTile", "StoredParts", "cut_strip", "window_geometry"]

Pixels = NDArray[np.uint8]
Area = tuple[int, int, slice]

StoredParts = Callable[[str], dict[str, Part] | None]
"""From the name of a first-stage strip to what it left behind, by tile; nothing where it left nothing."""


@dataclass(frozen=True)
class CutTile:
    """A tile as it comes out of the scene.

    Attributes:
        planned: Which it is.
        tile: Pixels and geometry.
        corrupt_share: Share of its pixels that could not be decoded.
        residual_m: Misfit of its affine, metres; 0 for a scene with an affine.
    """

    planned: PlannedTile
    tile: Tile
    corrupt_share: float
    residual_m: float


def cut_strip(
    reader: SceneReader,
    strip: Strip,
    transfer: Transfer,
    *,
    keep_part: Callable[[Part], None] | None = None,
    stored: StoredParts | None = None,
) -> Iterator[CutTile]:
    """Yield the tiles of a strip as they complete, every tile once.

    Args:
        reader: The open scene.
        strip: Which tiles.
        transfer: The scene's way to 8 bits.
        keep_part: Takes what a strip of the first stage saw of larger tiles.
        stored: What was kept of them, for a strip of the second stage; what is missing is read from the scene.
    """
    waiting = [_Growing(planned) for planned in strip.tiles]
    waiting.sort(key=lambda one: one.window.row, reverse=True)
    makers = [PartMaker(planned, *strip.own_rows) for planned in strip.above] if keep_part else []
    active: list[_Growing] = []
    broken: list[Area] = []
    height = reader.scene.height
    for rows in _rows(reader, strip, transfer, stored):
        while waiting and waiting[-1].window.row < rows.last:
            active.append(waiting.pop())
        for one in active:
            rows.into(one)
        if isinstance(rows, _Read):
            broken += rows.broken
            for maker in makers:
                rows.into_part(maker)
        for one in active:
            if one.bottom(height) <= rows.last:
                yield one.finished(reader, broken)
        active = [one for one in active if one.bottom(height) > rows.last]
    for maker in makers:
        if keep_part:
            keep_part(maker.part())


class _Growing:
    """A tile whose rows are coming in."""

    def __init__(self, planned: PlannedTile) -> None:
        self.planned = planned
        self.averager = Averager(self.window.height, self.window.width, self.window.factor)

    @property
    def window(self) -> Window:
        """Its place in the scene."""
        return self.planned.window

    def bottom(self, height: int) -> int:
        """Return the row after its last one that the scene has."""
        return min(self.window.row + self.window.height, height)

    def finished(self, reader: SceneReader, broken: list[Area]) -> CutTile:
        """Return the tile with its geometry."""
        affine, gsd_m, residual_m = window_geometry(reader.scene, self.window)
        tile = Tile(self.averager.image, affine, reader.scene.georeference.crs, gsd_m)
        return CutTile(self.planned, tile, _corrupt_share(self.window, broken), residual_m)


@dataclass(frozen=True)
class _Read:
    """Rows as they come from the scene, 8-bit, and what of them could not be decoded."""

    first: int
    pixels: Pixels
    broken: list[Area]

    @property
    def last(self) -> int:
        """Scene row after the last one."""
        return self.first + len(self.pixels)

    def into(self, one: _Growing) -> None:
        """Give a growing tile the rows that it covers."""
        self._give(one.window, one.window.row, one.window.row + one.window.height, one.averager.take)

    def into_part(self, maker: PartMaker) -> None:
        """Give the rows to the part of a larger tile that this strip answers for."""
        self._give(maker.window, maker.first, maker.last, maker.take)

    def _give(self, window: Window, first: int, last: int, take: Callable[[Pixels], None]) -> None:
        top, bottom = max(self.first, first), min(self.last, last)
        if bottom > top:
            take(self.pixels[top - self.first : bottom - self.first, window.col : window.col + window.width])


@dataclass(frozen=True)
class _Stored:
    """Rows that a strip saw before."""

    last: int
    parts: dict[str, Part]

    def into(self, one: _Growing) -> None:
        """Join what was seen before of a tile."""
        part = self.parts.get(one.planned.tile_id)
        if part is not None:
            one.averager.join(part)


def _rows(
    reader: SceneReader, strip: Strip, transfer: Transfer, stored: StoredParts | None
) -> Iterator[_Read | _Stored]:
    """Yield the rows of a strip from above, stored ones where there are."""
    first, last = strip.rows[0], min(strip.rows[1], reader.scene.height)
    for name, begin, end in strip.below:
        if stored is None or begin >= last or end <= first:
            continue
        parts = stored(name)
        if parts is None:
            yield from _chunks(reader, strip.band.index, transfer, max(first, begin), min(last, end))
        else:
            yield _Stored(end, parts)
        first = end
    yield from _chunks(reader, strip.band.index, transfer, first, last)


def _corrupt_share(window: Window, broken: list[Area]) -> float:
    lost = 0
    for top, bottom, cols in broken:
        rows = min(bottom, window.row + window.height) - max(top, window.row)
        across = min(cols.stop, window.col + window.width) - max(cols.start, window.col)
        lost += max(rows, 0) * max(across, 0)
    return lost / (window.height * window.width)


def _chunks(reader: SceneReader, band: int, transfer: Transfer, first: int, last: int) -> Iterator[_Read]:
    """Yield 8-bit rows in whole blocks."""
    step, _ = reader.piece
    row = first
    while row < last:
        end = min(last, row - row % step + step)
        yield _read(reader, band, transfer, row, end)
        row = end


def _read(reader: SceneReader, band: int, transfer: Transfer, first: int, last: int) -> _Read:
    """Read rows, in pieces that stay in the processor's caches until they are 8-bit."""
    width, rows = reader.scene.width, last - first
    _, piece = reader.piece
    pixels = np.empty((rows, width), dtype=np.uint8)
    broken: list[Area] = []
    for left in range(0, width, piece):
        raw, areas = reader.rows(band, first, rows, left, min(piece, width - left))
        part = transfer.to_8bit(raw)
        for down, along in areas:
            part[down, along] = 0
            cols = slice(left + along.start, left + along.stop)
            broken.append((first + down.start, first + down.stop, cols))
        if part.shape == pixels.shape:
            return _Read(first, part, broken)
        pixels[:, left : left + piece] = part
    return _Read(first, pixels, broken)


def window_geometry(scene: Scene, window: Window) -> tuple[Affine, float, float]:
    """Return a window's affine, ground sampling distance and misfit, metres."""
    affine, residual_m = scene.georeference.fit(window.row, window.col, window.height, window.width)
    east_m, south_m = scene.spacing.at(*window.centre)
    return affine @ Affine.scale(window.factor), float(np.sqrt(east_m * south_m)) * window.factor, residual_m
