"""Image files of any published kind as 8-bit pictures, and mask files as values."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from knowlip.errors import DataError, SceneError
from knowlip.scenes.radiometry import Sample, measure_transfer

__all__ = ["padded", "read_mask", "read_picture"]

_RASTERS = frozenset({".tif", ".tiff"})


def read_picture(path: Path, *, band: int = 1) -> NDArray[np.uint8]:
    """Read an image as 8-bit grey (rows, columns), at its own size.

    8-bit files pass through; others (16-bit amplitude, float decibels or power) are scaled as scenes are, each by its
    own pixels, and what holds no data becomes 0.

    Args:
        path: PNG, JPEG, BMP or TIFF.
        band: Which band of a TIFF, from 1.

    Raises:
        DataError: It cannot be read (code ``unreadable``).
    """
    try:
        if path.suffix.lower() in _RASTERS:
            return _raster(path, band)
        with Image.open(path) as picture:
            if picture.mode.startswith(("I", "F")):
                return _eight_bit(np.asarray(picture), None)
            return np.asarray(picture.convert("L"))
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, RasterioError, SceneError) as error:
        raise DataError(
            f"is no image that can be read ({' '.join(str(error).split())})",
            where=str(path),
            fix="mend or remove it, or --skip-bad",
            code="unreadable",
        ) from error


def _raster(path: Path, band: int) -> NDArray[np.uint8]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as source:
            if band > source.count:
                raise ValueError(f"has {source.count} bands, not {band}")
            if source.count in (3, 4) and set(source.dtypes) == {"uint8"}:
                # A grey picture saved in colour, as several published sets are.
                return np.asarray(Image.fromarray(np.moveaxis(source.read([1, 2, 3]), 0, 2)).convert("L"))
            return _eight_bit(source.read(band), source.nodata)


def _eight_bit(raw: NDArray[np.generic], nodata: float | None) -> NDArray[np.uint8]:
    if raw.dtype == np.uint8:
        return raw.astype(np.uint8)
    if raw.dtype == np.int32:
        # Pillow widens 16-bit PNGs.
        raw = raw.astype(np.float32)
        return measure_transfer(Sample((raw,), nodata), declared="amplitude").to_8bit(raw)
    return measure_transfer(Sample((raw,), nodata)).to_8bit(raw)


def read_mask(path: Path, *, colours: bool) -> NDArray[np.int64]:
    """Read a mask as values (rows, columns), or as colours ``0xRRGGBB``.

    Raises:
        DataError: It cannot be read (code ``unreadable``).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as source:
                bands = source.read().astype(np.int64)
                palette = source.colormap(1) if colours and source.count == 1 else None
    except (RasterioError, ValueError, OSError) as error:
        raise DataError(
            f"is no mask that can be read ({' '.join(str(error).split())})",
            where=str(path),
            fix="mend or remove it, or --skip-bad",
            code="unreadable",
        ) from error
    grey: NDArray[np.int64] = bands[0]
    if not colours:
        return grey
    if palette is not None:
        table = np.array([(r << 16) | (g << 8) | b for r, g, b, _ in (palette[i] for i in range(256))], np.int64)
        mapped: NDArray[np.int64] = table[grey]
        return mapped
    if len(bands) < 3:
        raise DataError("is no mask of colours", where=str(path), fix="give its --options.legend", code="unreadable")
    packed: NDArray[np.int64] = (grey << 16) | (bands[1] << 8) | bands[2]
    return packed


def padded(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return a picture at its native scale in the middle of a square: size in metres is a feature.

    Args:
        pixels: (rows, columns); what reaches beyond the square is cut.
        side: Pixels a side of the square.
    """
    square = np.zeros((side, side), np.uint8)
    height, width = pixels.shape
    down, right = (side - height) // 2, (side - width) // 2
    source = pixels[max(-down, 0) : max(-down, 0) + side, max(-right, 0) : max(-right, 0) + side]
    top, left = max(down, 0), max(right, 0)
    square[top : top + source.shape[0], left : left + source.shape[1]] = source
    return square
