"""Tiles as WebDataset: tars of ``ID.png`` and ``ID.json`` side by side, which loaders stream in order."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from knowlip.errors import DataError
from knowlip.tiling.exports.facts import facts_of

__all__ = ["tar_shard"]


def tar_shard(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Return tiles as one tar; the same rows give the same bytes.

    Args:
        rows: Of `knowlip.records.TILES`.

    Raises:
        DataError: A tile's id would put a member outside the folder in which the tar is unpacked.
    """
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for row in rows:
            _add(tar, f"{row['tile_id']}.png", row["image"])
            _add(tar, f"{row['tile_id']}.json", json.dumps(facts_of(row)).encode())
    return stream.getvalue()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    if PurePosixPath(name).name != name or "\\" in name:
        raise DataError(f"{name!r} is no plain name", where="tile_id", fix="make the tiles again: ids are hex digits")
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
