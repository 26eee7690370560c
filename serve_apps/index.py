"""The index deployment: vector search, and the tiles themselves."""

from __future__ import annotations

import asyncio
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from ray import serve

from knowlip.archive import Archive, Entry, Filters, Hit, read_picture
from knowlip.workspace import Workspace

__all__ = ["Index"]


@serve.deployment
class Index:
    """Holds the open archive.

    Args:
        workspace: Where the index and the tiles lie.
        checkpoint: Digest of the checkpoint that embeds the queries; nothing where none are searched.
    """

    def __init__(self, workspace: Workspace, checkpoint: str | None) -> None:
        self.archive = Archive.open(workspace, checkpoint=checkpoint)

    async def search(self, vector: NDArray[np.float32], k: int, filters: Filters) -> list[Hit]:
        """Return the tiles nearest to an embedding."""
        return await asyncio.to_thread(self.archive.search, vector, k, filters)

    async def entry(self, tile_id: str) -> Entry | None:
        """Return one tile."""
        return await asyncio.to_thread(self.archive.entry, tile_id)

    async def picture(self, tile_id: str, column: Literal["image", "view"]) -> bytes | None:
        """Return the PNG of a tile, or nothing where the archive does not hold it."""
        entry = await self.entry(tile_id)
        if entry is None:
            return None
        return await asyncio.to_thread(read_picture, self.archive.workspace, entry, column)

    async def tiles(self) -> int:
        """Return the number of tiles."""
        return await asyncio.to_thread(len, self.archive)

    def ready(self) -> bool:
        """Whether the archive is open."""
        return True
