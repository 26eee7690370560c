"""The archive: a vector index over tiles that is built, appended to, and searched with filters."""

from knowlip.archive.area import Area
from knowlip.archive.checkpoint import checkpoint_digest, fetched_checkpoint
from knowlip.archive.entry import Entry, entry_schema
from knowlip.archive.filters import Filters, TileId
from knowlip.archive.holdings import Holdings
from knowlip.archive.index import Archive, Hit
from knowlip.archive.loading import Loaded, load_units
from knowlip.archive.pictures import read_cog, read_picture
from knowlip.archive.versions import INDEX, Version

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
    "load_units",
    "read_cog",
    "read_picture",
]
