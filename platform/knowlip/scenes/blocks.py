"""Whole blocks of deflated floating-point TIFFs, decoded beside GDAL: it undoes their predictor byte after byte.

With that predictor (Adobe's TIFF Technical Note 3), undoing it is nearly half of what such a scene costs to read.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader
from rasterio.windows import Window

__all__ = ["FloatBlocks"]

_FLOATING_POINT = "3"
"""TIFF tag 317 for bytes put together by their significance, and each stored as its difference from the one before."""

_LARGEST_PX = 1 << 22
"""Pixels of a block at most: twice the memory of a larger one is too much."""

_CACHED_BYTES = 1 << 18
"""What is put together at once: it stays in a processor's cache while its bytes are visited in turn."""

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class FloatBlocks:
    """The blocks of a deflated floating-point TIFF on a disk.

    Attributes:
        path: The file.
        source: The same, as rasterio opened it.
        dtype: Of its pixels.
        height: Rows of a block.
        width: Columns of a block.
    """

    path: Path
    source: DatasetReader
    dtype: np.dtype[np.floating]
    height: int
    width: int

    @classmethod
    def of(cls, path: str, source: DatasetReader, *, rows: int) -> FloatBlocks | None:
        """Return the blocks of a file that is stored so, else nothing.

        Args:
            path: The file.
            source: The same, as rasterio opened it.
            rows: How many are read at once; taller blocks would be decoded again for the next ones.
        """
        layout = source.tags(ns="IMAGE_STRUCTURE")
        dtype = np.dtype(source.dtypes[0]) if source.dtypes[0] in ("float32", "float64") else None
        height, width = source.block_shapes[0]
        if (
            dtype is None
            or source.driver != "GTiff"
            or (layout.get("COMPRESSION"), layout.get("PREDICTOR")) != ("DEFLATE", _FLOATING_POINT)
            or (source.count > 1 and layout.get("INTERLEAVE") != "BAND")
            or height > rows
            or height * width > _LARGEST_PX
            or not Path(path).is_file()
        ):
            return None
        return cls(Path(path), source, dtype, height, width)

    def read(self, band: int, window: Window) -> Floats | None:
        """Read the pixels of a window (rows, columns), or nothing where one of its blocks cannot be decoded."""
        top, left = int(window.row_off), int(window.col_off)
        bottom, right = top + int(window.height), left + int(window.width)
        first = top - top % self.height
        pixels: Floats = np.empty((bottom - top, right - left), dtype=self.dtype)
        with self.path.open("rb") as file:
            for col in range(left - left % self.width, right, self.width):
                coded = self._inflated(file.fileno(), band, range(first, bottom, self.height), col)
                if coded is None:
                    return None
                begin, end = max(left, col), min(right, col + self.width)
                part = coded[top - first : bottom - first]
                _undo(part, slice(begin - col, end - col), pixels[:, begin - left : end - left])
        return pixels

    def _inflated(self, file: int, band: int, rows: range, col: int) -> NDArray[np.uint8] | None:
        """Return the differences that blocks below one another are stored as (rows, bytes a pixel × columns)."""
        stride = self.width * self.dtype.itemsize
        coded = np.empty((len(rows) * self.height, stride), np.uint8)
        for number, row in enumerate(rows):
            name = f"{col // self.width}_{row // self.height}"
            offset = self.source.get_tag_item(f"BLOCK_OFFSET_{name}", "TIFF", bidx=band)
            size = self.source.get_tag_item(f"BLOCK_SIZE_{name}", "TIFF", bidx=band)
            if offset is None or size is None:
                return None
            block = coded[number * self.height : (number + 1) * self.height].ravel()
            # The last strip ends with the image; a tile is always whole.
            if self.width == self.source.width:
                block = block[: (self.source.height - row) * stride]
            try:
                inflated = imagecodecs.deflate_decode(os.pread(file, int(size), int(offset)), out=block.data)
            except imagecodecs.DeflateError:
                return None
            if len(inflated) < len(block):
                return None
        return coded


def _undo(coded: NDArray[np.uint8], cols: slice, pixels: Floats) -> None:
    """Put columns of blocks into pixels (rows, columns): the running sums along their rows, each byte in its place."""
    size = pixels.itemsize
    width = coded.shape[1] // size
    whole = pixels if pixels.shape[1] == width else np.empty((len(coded), width), pixels.dtype)
    at_once = max(1, _CACHED_BYTES // coded.shape[1])
    for top in range(0, len(coded), at_once):
        stored = whole[top : top + at_once].view(np.uint8)
        for place in range(size):
            plane = coded[top : top + at_once, place * width : (place + 1) * width]
            if place:
                # The sum goes on from the last byte of the plane before.
                plane[:, 0] += stored[:, -place]
            # The most significant byte comes first in the file, and last in memory.
            imagecodecs.delta_decode(plane, axis=-1, out=stored[:, size - 1 - place :: size])
    if whole is not pixels:
        pixels[:] = whole[:, cols]
