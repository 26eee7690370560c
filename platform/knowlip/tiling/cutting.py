"""Cut the tiles of a strip in one pass over its rows: every block is decoded once, and memory holds one row of tiles.

Rows are read in the file's own blocks and turned into 8 bits at once. Small tiles are cut from a buffer that holds no
more rows than they need; medium and large ones are averaged down while the rows go by.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from knowlip.scenes.radiometry import Transfer
from knowlip.scenes.reader import SceneReader
from knowlip.tiling.grid import Window
from knowlip.tiling.strips import PlannedTile, Strip
from knowlip.tiling.tile import Tile, area_average

__all__ = ["CutTile", "cut_strip"]

_CHUNK_PX = 1 << 22

Pixels = NDArray[np.uint8]


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


def cut_strip(reader: SceneReader, strip: Strip, transfer: Transfer) -> Iterator[CutTile]:
    """Yield the tiles of a strip, small ones first where they complete first; every tile once.

    Args:
        reader: The open scene.
        strip: Which tiles.
        transfer: The scene's way to 8 bits.
    """
    growing = [_Growing(planned) for planned in strip.tiles]
    growing.sort(key=lambda one: (one.window.row, one.window.col))
    broken: list[tuple[int, int, slice]] = []
    waiting = 0
    active: list[_Growing] = []
    first, last = strip.rows
    for row, chunk, areas in _chunks(reader, strip.band.index, transfer, first, min(last, reader.scene.height)):
        broken += areas
        end = row + len(chunk)
        while waiting < len(growing) and growing[waiting].window.row < end:
            active.append(growing[waiting])
            waiting += 1
        for one in active:
            one.feed(row, chunk)
        finished = [one for one in active if one.bottom(reader.scene.height) <= end]
        active = [one for one in active if one.bottom(reader.scene.height) > end]
        for one in finished:
            yield _finish(one, reader, broken)


def _finish(one: _Growing, reader: SceneReader, broken: list[tuple[int, int, slice]]) -> CutTile:
    window, scene = one.window, reader.scene
    affine, residual_m = scene.georeference.fit(window.row, window.col, window.height, window.width)
    east_m, south_m = scene.spacing.at(*window.centre)
    gsd_m = float(np.sqrt(east_m * south_m)) * window.factor
    tile = Tile(one.image, affine @ Affine.scale(window.factor), scene.georeference.crs, gsd_m)
    return CutTile(one.planned, tile, _corrupt_share(window, broken), residual_m)


def _corrupt_share(window: Window, broken: list[tuple[int, int, slice]]) -> float:
    lost = 0
    for top, bottom, cols in broken:
        rows = min(bottom, window.row + window.height) - max(top, window.row)
        across = min(cols.stop, window.col + window.width) - max(cols.start, window.col)
        lost += max(rows, 0) * max(across, 0)
    return lost / (window.height * window.width)


def _chunks(
    reader: SceneReader, band: int, transfer: Transfer, first: int, last: int
) -> Iterator[tuple[int, Pixels, list[tuple[int, int, slice]]]]:
    """Yield 8-bit rows in whole blocks: first row, pixels, and what could not be decoded."""
    block = reader.scene.block_height
    step = max(1, _CHUNK_PX // (reader.scene.width * block)) * block
    row = first
    while row < last:
        end = min(last, row - row % step + step)
        raw, areas = reader.rows(band, row, end - row)
        pixels = transfer.to_8bit(raw)
        for rows, cols in areas:
            pixels[rows, cols] = 0
        yield row, pixels, [(row + rows.start, row + rows.stop, cols) for rows, cols in areas]
        row = end


@dataclass
class _Growing:
    """A tile whose rows are coming in."""

    planned: PlannedTile
    image: Pixels = field(init=False)
    _rest: Pixels = field(init=False)
    _done: int = 0

    def __post_init__(self) -> None:
        window = self.window
        self.image = np.zeros((window.height // window.factor, window.width // window.factor), dtype=np.uint8)
        self._rest = np.zeros((0, window.width), dtype=np.uint8)

    @property
    def window(self) -> Window:
        return self.planned.window

    def bottom(self, height: int) -> int:
        """Return the row after its last one that the scene has."""
        return min(self.window.row + self.window.height, height)

    def feed(self, row: int, chunk: Pixels) -> None:
        """Take the rows that are its own."""
        window = self.window
        top, bottom = max(row, window.row), min(row + len(chunk), window.row + window.height)
        part = chunk[top - row : bottom - row, window.col : window.col + window.width]
        if window.factor == 1:
            self.image[top - window.row : bottom - window.row, : part.shape[1]] = part
            return
        rows = np.concatenate([self._rest, part]) if len(self._rest) else part
        whole = len(rows) // window.factor
        if whole:
            averaged = area_average(np.ascontiguousarray(rows[: whole * window.factor]), whole, self.image.shape[1])
            self.image[self._done : self._done + whole] = averaged
            self._done += whole
        self._rest = rows[whole * window.factor :].copy()
