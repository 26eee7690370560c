"""Tiles as WebDataset: tars of ``ID.png`` and ``ID.json`` side by side, which loaders stream in order."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from typing import Any

from knowlip.tiling.exports.facts import facts_of

__all__ = ["tar_shard"]


def tar_shard(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Return tiles as one tar; the same rows give the same bytes.

    Args:
        rows: Of `knowlip.records.TILES`.
    """
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for row in rows:
            _add(tar, f"{row['tile_id']}.png", row["image"])
            _add(tar, f"{row['tile_id']}.json", json.dumps(facts_of(row)).encode())
    return stream.getvalue()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
