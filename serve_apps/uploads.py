"""Uploaded images: what is let in, and how it becomes the 8-bit image that the model knows."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from knowlip.errors import SceneError
from knowlip.scenes.radiometry import Sample, measure_transfer
from serve_apps.problems import Problem, problem_response

__all__ = ["MAX_BYTES", "MAX_PIXELS", "BodyLimit", "decode_upload"]

MAX_BYTES = 25 * 2**20
MAX_PIXELS = 64_000_000
_MAX_DECODED = 256 * 2**20
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


def decode_upload(data: bytes) -> NDArray[np.uint8]:
    """Turn an uploaded file into an 8-bit image (H, W), 0 where there is no data.

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
    return transfer.to_8bit(raster.pixels)


@dataclass(frozen=True)
class _Raster:
    pixels: NDArray[Any]
    nodata: float | None


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
            item = np.dtype(source.dtypes[0]).itemsize
            _check_size(source.width, source.height, item)
            if source.block_shapes[0][0] * source.block_shapes[0][1] * item > _MAX_DECODED:
                raise Problem(413, "the TIFF's blocks are too large to decode")
            step = -(-max(source.shape) // _SIDE)
            shape = (-(-source.height // step), -(-source.width // step))
            return _Raster(source.read(1, out_shape=shape), source.nodata)
    except (RasterioError, ValueError, TypeError) as error:
        raise _undecodable("TIFF") from error


def _check_size(width: int, height: int, item: int) -> None:
    if width * height > MAX_PIXELS:
        raise Problem(
            413, f"the image has {width} × {height} pixels; at most {MAX_PIXELS // 10**6} megapixels are taken"
        )
    if width * height * item > 2 * _MAX_DECODED:
        raise Problem(413, "the image is too large to decode")
    if not width or not height:
        raise Problem(422, "the image has no pixels")


def _undecodable(kind: str) -> Problem:
    return Problem(422, f"the image does not decode as {kind}")


class BodyLimit:
    """ASGI middleware that ends requests whose body is too large, before and while it is read.

    Args:
        app: The application within.
        json_bytes: Most bytes of a body that carries no file.
        upload_bytes: Most bytes of a multipart body.
    """

    def __init__(self, app: ASGIApp, *, json_bytes: int, upload_bytes: int) -> None:
        self.app, self.json_bytes, self.upload_bytes = app, json_bytes, upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on while it stays within the limit."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        multipart = headers.get(b"content-type", b"").startswith(b"multipart/")
        limit = self.upload_bytes if multipart else self.json_bytes
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > limit:
            await problem_response(413, f"the request's body is larger than {limit:,} bytes")(scope, receive, send)
            return
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > limit:
                raise Problem(413, f"the request's body is larger than {limit:,} bytes")
            return message

        await self.app(scope, counted, send)
