"""The image of a tile, read from the file that holds it."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import pyarrow.parquet as pq

from knowlip.archive.entry import Entry
from knowlip.errors import WorkspaceError
from knowlip.workspace import Workspace

__all__ = ["read_picture"]


def read_picture(workspace: Workspace, entry: Entry, column: Literal["image", "view"] = "image") -> bytes:
    """Return the PNG of a tile: ``image`` at full resolution, or ``view`` (at most 256 px a side).

    Only the row group that holds the row is read.

    Raises:
        WorkspaceError: The tiles were removed or made anew since the index was built.
    """
    gone = WorkspaceError(
        f"no longer holds tile {entry.tile_id}",
        where=workspace.uri("tiles", entry.file),
        fix="run the index job again",
        code="stale_index",
    )
    try:
        file = _opened(workspace, entry.file)
        group, offset = _group_of(file, entry.row)
    except (FileNotFoundError, IndexError) as error:
        raise gone from error
    rows = file.read_row_group(group, columns=["tile_id", column]).slice(offset, 1)
    if rows["tile_id"][0].as_py() != entry.tile_id:
        raise gone
    picture: bytes = rows[column][0].as_py()
    return picture


@lru_cache(maxsize=64)
def _opened(workspace: Workspace, name: str) -> pq.ParquetFile:
    """Keep the footers of the files last used: reading one costs more than reading a row."""
    return pq.ParquetFile(workspace.filesystem.open_input_file(workspace.path("tiles", name)))


def _group_of(file: pq.ParquetFile, row: int) -> tuple[int, int]:
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if row < rows:
            return group, row
        row -= rows
    raise IndexError(row)
