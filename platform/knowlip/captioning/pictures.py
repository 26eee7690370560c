"""The image of a tile as an endpoint takes it: PNG as a data URL, within a limit of size."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from knowlip.errors import DataError
from knowlip.tiling.encoding import encode_png

__all__ = ["data_url", "fitted", "side_px"]

_STEP = 0.75


def data_url(png: bytes) -> str:
    """Return a PNG as a data URL."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def side_px(png: bytes) -> tuple[int, int]:
    """Return width and height of a PNG from its header."""
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def fitted(png: bytes, *, longest_px: int, most_kb: int) -> bytes:
    """Return the image as it is when it is small enough, else reduced until it is.

    Args:
        png: The stored image.
        longest_px: Most pixels a side.
        most_kb: Most kilobytes.

    Raises:
        DataError: It is no image.
    """
    if max(side_px(png)) <= longest_px and len(png) <= most_kb * 1000 and png.startswith(b"\x89PNG"):
        return png
    try:
        with Image.open(io.BytesIO(png)) as opened:
            image = opened.convert("L")
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(
            f"cannot be decoded ({error})", where="tile image", fix="tile again", code="undecodable"
        ) from error
    scale = min(1.0, longest_px / max(image.size))
    while True:
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        smaller = encode_png(np.asarray(image.resize(size, Image.Resampling.BOX)))
        if len(smaller) <= most_kb * 1000 or max(size) <= 16:
            return smaller
        scale *= _STEP
