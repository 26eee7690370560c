"""A tile: 8-bit pixels that know where they lie and how large they are on the ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from PIL import Image

from knowlip.geography import apply_affine

__all__ = ["Tile", "area_average", "stitch"]

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Tile:
    """Pixels with their geometry; every transform returns a tile whose geometry is right again.

    Attributes:
        pixels: 8-bit values (rows, columns); 0 is no data, so the valid mask can never disagree with them.
        affine: Pixel (column, row) to ``crs``; (0, 0) is the outer corner of the first pixel.
        crs: Authority code or WKT; empty for a scene without georeference.
        gsd_m: Ground sampling distance, metres a pixel.
    """

    pixels: Pixels
    affine: Affine
    crs: str
    gsd_m: float

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Where there is data."""
        return self.pixels > 0

    def crop(self, row: int, col: int, height: int, width: int) -> Tile:
        """Return a part; what lies outside is no data."""
        part = np.zeros((height, width), dtype=np.uint8)
        top, left = max(row, 0), max(col, 0)
        bottom, right = min(row + height, self.height), min(col + width, self.width)
        if bottom > top and right > left:
            part[top - row : bottom - row, left - col : right - col] = self.pixels[top:bottom, left:right]
        return Tile(part, self.affine @ Affine.translation(col, row), self.crs, self.gsd_m)

    def resized(self, height: int, width: int) -> Tile:
        """Return the tile averaged by area to fewer pixels, over valid pixels only."""
        down, across = self.height / height, self.width / width
        return Tile(
            area_average(self.pixels, height, width),
            self.affine @ Affine.scale(across, down),
            self.crs,
            self.gsd_m * float(np.sqrt(down * across)),
        )

    def view(self, max_px: int = 256) -> Tile:
        """Return the tile averaged down to at most ``max_px`` a side; itself where it is no larger."""
        longest = max(self.height, self.width)
        if longest <= max_px:
            return self
        shrink = max_px / longest
        return self.resized(max(1, round(self.height * shrink)), max(1, round(self.width * shrink)))

    def outline(self, points_a_side: int = 2) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return coordinates in ``crs`` along the edge, clockwise from the first corner, not closed.

        More than two points a side follow edges that are curved in another CRS.
        """
        along = np.linspace(0.0, 1.0, points_a_side)[:-1]
        zero, one = np.zeros_like(along), np.ones_like(along)
        cols = np.concatenate([along, one, 1 - along, zero]) * self.width
        rows = np.concatenate([zero, along, one, 1 - along]) * self.height
        return apply_affine(self.affine, cols, rows)


def area_average(pixels: Pixels, height: int, width: int) -> Pixels:
    """Average 8-bit pixels by area over valid ones; a result is valid where at least half of its area is.

    Averaging what is displayed, rather than power, keeps a parent looking like its children put together. By a whole
    factor each result depends on the pixels under it alone, so that an image may be averaged in parts.
    """
    factor = pixels.shape[0] // height
    if pixels.shape == (height * factor, width * factor):
        return _reduced(pixels, factor)
    size = (width, height)
    if pixels.min() > 0:
        return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))
    total = _box(pixels.astype(np.float32), size)
    share = _box((pixels > 0).astype(np.float32), size)
    mean = np.rint(total / np.maximum(share, 1e-6))
    return np.where(share >= 0.5, np.clip(mean, 1, 255), 0).astype(np.uint8)


def _reduced(pixels: Pixels, factor: int) -> Pixels:
    if factor == 1:
        return pixels.copy()
    reduced = np.array(Image.fromarray(np.ascontiguousarray(pixels)).reduce(factor))
    if pixels.min() > 0:
        return reduced
    height, width = reduced.shape
    cells = pixels.reshape(height, factor, width, factor).swapaxes(1, 2)
    touched = (cells == 0).any(axis=(2, 3))
    partly = cells[touched].reshape(-1, factor * factor)
    count, total = (partly > 0).sum(axis=1), partly.sum(axis=1, dtype=np.int64)
    mean = (2 * total + count) // np.maximum(2 * count, 1)
    reduced[touched] = np.where(2 * count >= factor * factor, mean, 0)
    return reduced


def stitch(tiles: list[tuple[int, int, Tile]], height: int, width: int) -> Pixels:
    """Put tiles back at their (row, column); later ones win where they overlap."""
    whole = np.zeros((height, width), dtype=np.uint8)
    for row, col, tile in tiles:
        bottom, right = min(row + tile.height, height), min(col + tile.width, width)
        whole[row:bottom, col:right] = tile.pixels[: bottom - row, : right - col]
    return whole


def _box(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BOX))
