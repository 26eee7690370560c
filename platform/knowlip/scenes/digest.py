"""What a scene's file is: a digest of its bytes that is the same on every machine."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from knowlip.workspace import Workspace

__all__ = ["is_local", "scene_digest"]

_WHOLE_DIGEST_BYTES = 1 << 26
_DIGEST_CHUNK = 1 << 20
_DIGEST_CHUNKS = 64


def is_local(path: str) -> bool:
    """Whether a scene's path is a plain path of this machine: no archive, no object store."""
    return not path.startswith("/vsi") and "://" not in path


def scene_digest(path: str) -> str:
    """Return 16 hex digits that stand for a file's bytes, the same on every machine.

    SHA-256 of the size and the bytes; of a file over 64 MiB, of 64 chunks of 1 MiB spread evenly from the first byte
    to the last, so that a scene of many gigabytes needs no second reading.
    """
    with _byte_stream(path) as stream:
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
    return sha.hexdigest()[:16]


@contextmanager
def _byte_stream(path: str) -> Iterator[BinaryIO]:
    if is_local(path):
        with Path(path).open("rb") as stream:
            yield stream
        return
    if path.startswith("/vsizip/"):
        archive, member = _zip_parts(path)
        with zipfile.ZipFile(archive) as opened, opened.open(member) as inner:
            yield cast(BinaryIO, inner)
        return
    folder, _, name = path.rpartition("/")
    workspace = Workspace(folder)
    with workspace.filesystem.open_input_file(workspace.path(name)) as remote:
        yield cast(BinaryIO, remote)


def _zip_parts(path: str) -> tuple[str, str]:
    archive, dot_zip, member = path.removeprefix("/vsizip/").partition(".zip/")
    return archive + dot_zip.rstrip("/"), member
