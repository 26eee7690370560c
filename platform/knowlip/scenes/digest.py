"""What a scene's file is: a digest of its bytes that is the same on every machine."""

from __future__ import annotations

import hashlib
import os
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import rasterio
from rasterio.windows import Window

from knowlip.scenes.store import gdal_path, is_local, object_uri
from knowlip.workspace import Workspace

__all__ = ["scene_digest"]

_WHOLE_DIGEST_BYTES = 1 << 23
_DIGEST_CHUNK = 1 << 15
_DIGEST_CHUNKS = 64
_DIGEST_ROWS = 16


def scene_digest(path: str) -> str:
    """Return 16 hex digits that stand for a file's bytes, the same on every machine.

    SHA-256 of the size and the bytes; of a file over 8 MiB, of 64 chunks of 32 KiB spread evenly from the first byte
    to the last, so that a scene of many gigabytes needs no second reading. Of a raster whose bytes only GDAL reads
    (``/vsicurl/…``), of its size, type, place and 16 rows spread evenly.
    """
    with ExitStack() as stack:
        stream = _byte_stream(path, stack)
        return (_bytes_digest(stream) if stream else _pixels_digest(path))[:16]


def _bytes_digest(stream: BinaryIO) -> str:
    size = stream.seek(0, os.SEEK_END)
    sha = hashlib.sha256(str(size).encode())
    if size <= _WHOLE_DIGEST_BYTES:
        stream.seek(0)
        while chunk := stream.read(_DIGEST_CHUNK):
            sha.update(chunk)
    else:
        for offset in np.linspace(0, size - _DIGEST_CHUNK, _DIGEST_CHUNKS, dtype=np.int64):
            stream.seek(int(offset))
            sha.update(stream.read(_DIGEST_CHUNK))
    return sha.hexdigest()


def _pixels_digest(path: str) -> str:
    with rasterio.open(gdal_path(path)) as source:
        facts = (source.shape, source.count, source.dtypes, tuple(source.transform), str(source.crs))
        sha = hashlib.sha256(repr(facts).encode())
        for row in np.linspace(0, source.height - 1, _DIGEST_ROWS, dtype=np.int64):
            sha.update(source.read(window=Window(0, int(row), source.width, 1)).tobytes())
    return sha.hexdigest()


def _byte_stream(path: str, stack: ExitStack) -> BinaryIO | None:
    """Open the file, the member of an archive, or the object; nothing where only GDAL can."""
    if is_local(path):
        return stack.enter_context(Path(path).open("rb"))
    uri = object_uri(path)
    if path.startswith("/vsizip/"):
        archive, member = _zip_parts(path)
        opened = stack.enter_context(zipfile.ZipFile(_remote_stream(uri, stack) if uri else archive))
        return cast(BinaryIO, stack.enter_context(opened.open(member)))
    return _remote_stream(uri, stack) if uri else None


def _remote_stream(uri: str, stack: ExitStack) -> BinaryIO:
    folder, _, name = uri.rpartition("/")
    workspace = Workspace(folder)
    return cast(BinaryIO, stack.enter_context(workspace.filesystem.open_input_file(workspace.path(name))))


def _zip_parts(path: str) -> tuple[str, str]:
    archive, dot_zip, member = path.removeprefix("/vsizip/").partition(".zip/")
    return archive + dot_zip.rstrip("/"), member
