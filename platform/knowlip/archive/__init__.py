"""The archive: a vector index over tiles that is built, appended to, and searched with filters.

Names load when they are first used: who only speaks of tiles and filters need not load the vector index's engine.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from knowlip.archive.area import Area as Area
    from knowlip.archive.checkpoint import checkpoint_digest as checkpoint_digest
    from knowlip.archive.checkpoint import fetched_checkpoint as fetched_checkpoint
    from knowlip.archive.checkpoint import local_checkpoint as local_checkpoint
    from knowlip.archive.checkpoint import placed_checkpoint as placed_checkpoint
    from knowlip.archive.checkpoint import placed_digest as placed_digest
    from knowlip.archive.entry import Entry as Entry
    from knowlip.archive.entry import Hit as Hit
    from knowlip.archive.entry import entry_schema as entry_schema
    from knowlip.archive.filters import Filters as Filters
    from knowlip.archive.filters import TileId as TileId
    from knowlip.archive.holdings import Holdings as Holdings
    from knowlip.archive.index import Archive as Archive
    from knowlip.archive.loading import Loaded as Loaded
    from knowlip.archive.loading import load_units as load_units
    from knowlip.archive.pictures import read_cog as read_cog
    from knowlip.archive.pictures import read_picture as read_picture
    from knowlip.archive.vectors import files_to_embed as files_to_embed
    from knowlip.archive.vectors import tiles_digest as tiles_digest
    from knowlip.archive.vectors import write_vectors as write_vectors
    from knowlip.archive.versions import INDEX as INDEX
    from knowlip.archive.versions import Version as Version

__all__ = [
    "INDEX",
    "Archive",
    "Area",
    "Entry",
    "Filters",
    "Hit",
    "Holdings",
    "Loaded",
    "TileId",
    "Version",
    "checkpoint_digest",
    "entry_schema",
    "fetched_checkpoint",
    "files_to_embed",
    "load_units",
    "local_checkpoint",
    "placed_checkpoint",
    "placed_digest",
    "read_cog",
    "read_picture",
    "tiles_digest",
    "write_vectors",
]

_HOME = {
    "INDEX": "versions",
    "Archive": "index",
    "Area": "area",
    "Entry": "entry",
    "Filters": "filters",
    "Hit": "entry",
    "Holdings": "holdings",
    "Loaded": "loading",
    "TileId": "filters",
    "Version": "versions",
    "checkpoint_digest": "checkpoint",
    "entry_schema": "entry",
    "fetched_checkpoint": "checkpoint",
    "files_to_embed": "vectors",
    "load_units": "loading",
    "local_checkpoint": "checkpoint",
    "placed_checkpoint": "checkpoint",
    "placed_digest": "checkpoint",
    "read_cog": "pictures",
    "read_picture": "pictures",
    "tiles_digest": "vectors",
    "write_vectors": "vectors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'knowlip.archive' has no attribute {name!r}")
    return getattr(importlib.import_module(f"knowlip.archive.{_HOME[name]}"), name)
