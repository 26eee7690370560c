"""The index deployment: vector search, and the tiles themselves."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Literal
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray
from ray import serve

from knowlip.archive import Entry, Filters, Hit, Holdings, Version, read_cog, read_picture
from knowlip.workspace import Workspace
from serve_apps.batching import Batched
from serve_apps.messages import Embedded

if TYPE_CHECKING:
    from knowlip.archive import Archive

__all__ = ["Family", "Index"]

_MOST_ALIKE = 32
"""Searches that go through the index at once."""

Family = dict[Literal["parents", "children"], list[Entry]]

_Searches = Batched[NDArray[np.float32], list[Hit]]


@serve.deployment
class Index:
    """Holds the open archive.

    An embedding is searched in the index that it belongs to, so while readers go over from one index to another, both
    are open and answer. A copy that is started again begins with the index in use by then.

    Args:
        workspace: Where the index and the tiles lie.

    Raises:
        WorkspaceError: There is no index.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.archive = _opened(workspace, Version.in_use(workspace))
        self._open = {self.archive.version.digest: self.archive}
        # Held by those who wait for an answer; nothing is kept of filters that nobody asks for any more.
        self._alike: WeakValueDictionary[tuple[str, int, str], _Searches] = WeakValueDictionary()

    async def search(self, query: Embedded, k: int, filters: Filters) -> list[Hit]:
        """Return the tiles nearest to an embedding; of searches by the same filters, all that wait go at once."""
        key = query.version.digest, k, filters.model_dump_json(exclude_defaults=True)
        searches = self._alike.get(key)
        if searches is None:
            found = partial(self._found, query.version, k, filters)
            searches = self._alike[key] = Batched(found, asyncio.Lock(), most=_MOST_ALIKE)
        return await searches(query.vector)

    def _found(self, version: Version, k: int, filters: Filters, vectors: list[NDArray[np.float32]]) -> list[list[Hit]]:
        return self._of(version).search_each(vectors, k, filters)

    async def browse(self, filters: Filters, limit: int, offset: int) -> tuple[list[Entry], int]:
        """Return tiles that pass the filters, and how many there are."""
        return await asyncio.to_thread(
            lambda: (self.archive.browse(filters, limit=limit, offset=offset), self.archive.count(filters))
        )

    async def entry(self, tile_id: str) -> Entry | None:
        """Return one tile."""
        return await asyncio.to_thread(self.archive.entry, tile_id)

    async def vector(self, tile_id: str) -> Embedded | None:
        """Return the embedding of a tile."""
        archive = self.archive
        vector = await asyncio.to_thread(archive.vector, tile_id)
        return None if vector is None else Embedded(vector, archive.version)

    async def family(self, tile_id: str) -> Family | None:
        """Return the tiles that contain a tile, largest first, and those that it contains."""
        return await asyncio.to_thread(self._family, tile_id)

    async def picture(self, tile_id: str, column: Literal["image", "view"]) -> bytes | None:
        """Return the PNG of a tile, or nothing where the archive does not hold it."""
        entry = await self.entry(tile_id)
        return None if entry is None else await asyncio.to_thread(read_picture, self.archive.workspace, entry, column)

    async def pictures(self, entries: list[Entry]) -> list[bytes]:
        """Return the views of tiles."""
        return await asyncio.to_thread(
            lambda: [read_picture(self.archive.workspace, entry, "view") for entry in entries]
        )

    async def cog(self, tile_id: str) -> bytes | None:
        """Return the GeoTIFF of a tile, or nothing where the archive does not hold it."""
        entry = await self.entry(tile_id)
        return None if entry is None else await asyncio.to_thread(read_cog, self.archive.workspace, entry)

    async def holdings(self) -> Holdings:
        """Say what the archive holds."""
        return await asyncio.to_thread(self.archive.holdings)

    def ready(self) -> bool:
        """Whether the archive is open."""
        return True

    def _of(self, version: Version) -> Archive:
        """Return the archive of a version; a newer one than the one in use becomes the one in use."""
        if version.digest not in self._open:
            self._open[version.digest] = _opened(self.archive.workspace, version)
        found = self._open[version.digest]
        if version.made_at > self.archive.version.made_at:
            self._open = {self.archive.version.digest: self.archive, version.digest: found}
            self.archive = found
        return found

    def _family(self, tile_id: str) -> Family | None:
        archive = self.archive
        entry = archive.entry(tile_id)
        if entry is None:
            return None
        parents: list[Entry] = []
        above = archive.entry(entry.facts["parent_id"]) if entry.facts["parent_id"] else None
        # No more scales than three, whatever a damaged table says.
        while above is not None and len(parents) < 2:
            parents.insert(0, above)
            above = archive.entry(above.facts["parent_id"]) if above.facts["parent_id"] else None
        return {"parents": parents, "children": archive.children(tile_id)}


def _opened(workspace: Workspace, version: Version) -> Archive:
    # Here, not above: who puts an application together has no use for the index's engine.
    from knowlip.archive import Archive

    return Archive.open(workspace, version=version)
