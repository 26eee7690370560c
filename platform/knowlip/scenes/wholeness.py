"""Whether a file is there, may be read, and is whole: a transfer that broke off is found before any tile is cut."""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path

import numpy as np
from rasterio.io import DatasetReader

from knowlip.errors import SceneError
from knowlip.scenes.store import is_local

__all__ = ["check_file", "check_whole", "is_cut_off"]

_LOOKED_AT = 128


def check_file(path: str) -> None:
    """Look at a file before GDAL does.

    Raises:
        SceneError: It is ``missing``, may not be read (``permission``), is a ``folder`` or an ``empty_file``; or an
            address on the web (``not_fetched``).
    """
    if path.startswith(("http://", "https://")):
        raise SceneError(
            "lies on the web, and nothing is fetched unasked",
            where=path,
            fix=f"fetch it, or write /vsicurl/{path}",
            code="not_fetched",
        )
    if not is_local(path):
        return
    file = Path(path)
    try:
        there = file.exists()
        if there and not os.access(file, os.R_OK):
            raise PermissionError
    except PermissionError as error:
        raise SceneError("may not be read", fix="change its permissions", code="permission") from error
    if not there:
        raise SceneError("is not there", fix="check the path", code="missing")
    if file.is_dir():
        raise SceneError("is a folder", fix="name the raster in it", code="folder")
    if file.stat().st_size == 0:
        raise SceneError("holds no bytes", fix="fetch it again", code="empty_file")


def is_cut_off(path: str) -> bool:
    """Whether a TIFF's header points to a directory beyond the end of the file."""
    if not is_local(path) or not Path(path).is_file():
        return False
    with Path(path).open("rb") as stream:
        head = stream.read(16)
        size = stream.seek(0, os.SEEK_END)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 16:
        return False
    (version,) = struct.unpack(f"{order}H", head[2:4])
    if version not in (42, 43):
        return False
    (offset,) = struct.unpack(f"{order}I", head[4:8]) if version == 42 else struct.unpack(f"{order}Q", head[8:16])
    return bool(offset + 2 > size)


def check_whole(path: str, source: DatasetReader) -> None:
    """Refuse a GeoTIFF whose directory points past the end of the file: a download or copy that broke off.

    Raises:
        SceneError: It is ``truncated``.
    """
    if source.driver != "GTiff" or not is_local(path):
        return
    size = Path(path).stat().st_size
    for band in _stored_apart(source):
        for block_row, block_col in _outer_blocks(source):
            tag = f"{block_col}_{block_row}"
            offset = source.get_tag_item(f"BLOCK_OFFSET_{tag}", "TIFF", bidx=band)
            length = source.get_tag_item(f"BLOCK_SIZE_{tag}", "TIFF", bidx=band)
            if offset and length and int(offset) + int(length) > size:
                raise SceneError(
                    f"is cut off: {size} bytes, but its pixels reach to byte {int(offset) + int(length)} or beyond",
                    fix="fetch it again",
                    code="truncated",
                )


def _stored_apart(source: DatasetReader) -> tuple[int, ...]:
    interleaved = source.profile.get("interleave") == "pixel"
    return (1,) if interleaved else tuple(source.indexes)


def _outer_blocks(source: DatasetReader) -> list[tuple[int, int]]:
    """Return block positions that are stored last in any usual order: along the last row and column of blocks."""
    block_height, block_width = source.block_shapes[0]
    last_row, last_col = math.ceil(source.height / block_height) - 1, math.ceil(source.width / block_width) - 1
    return [(last_row, col) for col in _spread(last_col)] + [(row, last_col) for row in _spread(last_row)]


def _spread(last: int) -> list[int]:
    """Return 0 … last, thinned out where there are many: looking a block up takes as long as reading its pixels."""
    return sorted({round(place) for place in np.linspace(0, last, min(last + 1, _LOOKED_AT))})
