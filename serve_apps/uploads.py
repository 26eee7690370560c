"""Uploaded images: what is let in, and how it becomes the 8-bit image that the model knows."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from rasterio.enums import Interleaving
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile

from knowlip.errors import KnowlipError, SceneError
from knowlip.geography import apply_affine, footprint, to_wgs84
from knowlip.scenes.radiometry import Sample, measure_transfer
from serve_apps.problems import Problem

__all__ = ["MAX_BYTES", "MAX_PIXELS", "Uploaded", "decode_upload"]

MAX_BYTES = 25 * 2**20
MAX_PIXELS = 64_000_000
_MAX_DECODED = 256 * 2**20
_MAX_BANDS = 8
_MAX_OVERVIEWS = 32
_SIDE = 2048
"""Larger images are read reduced to this many pixels a side: the model sees fewer still."""

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",
    b"MM\x00+": "TIFF",
}


@dataclass(frozen=True)
class Uploaded:
    """An image that was uploaded.

    Attributes:
        pixels: 8 bit (H, W), 0 where there is no data.
        footprint: Its WGS84 outline, when the file says where it lies.
    """

    pixels: NDArray[np.uint8]
    footprint: shapely.Geometry | None = None


def decode_upload(data: bytes) -> Uploaded:
    """Turn an uploaded file into an 8-bit image and its place.

    8-bit images are taken as they are; 16-bit and floating-point ones pass the radiometry of the tiling. The kind of
    the file is told by its first bytes, its size by its header; only then is it decoded, by the one driver for it.

    Raises:
        Problem: 413 too large, 415 neither PNG nor JPEG nor TIFF, 422 not decodable or without a usable pixel.
    """
    if len(data) > MAX_BYTES:
        raise Problem(413, f"the image has {len(data):,} bytes; at most {MAX_BYTES:,} are taken")
    kind = next((kind for start, kind in _SIGNATURES.items() if data.startswith(start)), None)
    if kind is None:
        raise Problem(415, "the image is neither PNG nor JPEG nor TIFF")
    try:
        raster = _read_tiff(data) if kind == "TIFF" else _read_picture(data, kind)
        transfer = measure_transfer(Sample((raster.pixels,), raster.nodata))
    except SceneError as error:
        raise Problem(422, f"the image cannot be used: {error.what}") from error
    return Uploaded(transfer.to_8bit(raster.pixels), raster.footprint)


@dataclass(frozen=True)
class _Raster:
    pixels: NDArray[Any]
    nodata: float | None
    footprint: shapely.Geometry | None = None


def _read_picture(data: bytes, kind: str) -> _Raster:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=[kind])
            _check_size(image.width, image.height, 4)
            if max(image.size) > _SIDE:
                image.draft("L", (_SIDE, _SIDE))
            image.load()
    except Image.DecompressionBombError as error:
        raise Problem(413, f"the image has more than {MAX_PIXELS // 10**6} megapixels") from error
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
        raise _undecodable(kind) from error
    if image.mode not in ("L", "I", "I;16", "I;16B", "F"):
        image = image.convert("L")
    pixels = np.asarray(image)
    step = -(-max(pixels.shape) // _SIDE)
    return _Raster(pixels[::step, ::step], None)


def _read_tiff(data: bytes) -> _Raster:
    # No directory listing: a TIFF in memory has no neighbours, and must not be given any.
    options = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_NUM_THREADS": "1"}
    try:
        with (
            warnings.catch_warnings(),
            rasterio.Env(**options),
            MemoryFile(data, ext=".tif") as file,
            file.open(driver="GTiff") as source,
        ):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            _check_size(source.width, source.height, np.dtype(source.dtypes[0]).itemsize)
            _check_blocks(source)
            # What is read reduced is read from an overview, whose blocks are its own.
            for level in range(len(source.overviews(1))):
                with file.open(driver="GTiff", overview_level=level) as smaller:
                    _check_blocks(smaller)
            step = -(-max(source.shape) // _SIDE)
            shape = (-(-source.height // step), -(-source.width // step))
            return _Raster(source.read(1, out_shape=shape), source.nodata, _footprint(source))
    except (RasterioError, ValueError, TypeError) as error:
        raise _undecodable("TIFF") from error


def _footprint(source: rasterio.DatasetReader) -> shapely.Geometry | None:
    """Return where an image lies, when it has a CRS and an affine that place it on the globe."""
    if source.crs is None or source.transform.is_identity:
        return None
    corners = np.array([(0, 0), (source.width, 0), (source.width, source.height), (0, source.height)], dtype=float)
    try:
        x, y = apply_affine(source.transform, corners[:, 0], corners[:, 1])
        lon, lat = to_wgs84(source.crs.to_wkt(), x, y)
    except (KnowlipError, CRSError):
        return None
    if not (np.isfinite(lon).all() and np.isfinite(lat).all() and (np.abs(lat) <= 90).all()):
        return None
    outline = footprint(lon, lat)
    return outline if outline.is_valid and outline.area else None


def _check_size(width: int, height: int, item: int) -> None:
    if width * height > MAX_PIXELS:
        raise Problem(
            413, f"the image has {width} × {height} pixels; at most {MAX_PIXELS // 10**6} megapixels are taken"
        )
    if width * height * item > 2 * _MAX_DECODED:
        raise Problem(413, "the image is too large to decode")
    if not width or not height:
        raise Problem(422, "the image has no pixels")


def _check_blocks(source: rasterio.DatasetReader) -> None:
    """Refuse what takes much memory to decode even for one band: interleaved by pixel, a block holds all of them."""
    if source.count > _MAX_BANDS:
        raise Problem(413, f"the TIFF has {source.count} bands; at most {_MAX_BANDS} are taken")
    if len(source.overviews(1)) > _MAX_OVERVIEWS:
        raise Problem(413, f"the TIFF has more than {_MAX_OVERVIEWS} overviews")
    height, width = source.block_shapes[0]
    bands = source.count if source.interleaving == Interleaving.pixel else 1
    if height * width * bands * np.dtype(source.dtypes[0]).itemsize > _MAX_DECODED:
        raise Problem(413, "the TIFF's blocks are too large to decode")


def _undecodable(kind: str) -> Problem:
    return Problem(422, f"the image does not decode as {kind}")
