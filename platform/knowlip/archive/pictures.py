"""The image of a tile, read from the file that holds it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal, NamedTuple

import pyarrow.parquet as pq

from knowlip.archive.entry import Entry
from knowlip.errors import WorkspaceError
from knowlip.workspace import Workspace

__all__ = ["read_cog", "read_picture"]

_TAGS = ("tile_id", "scene_name", "scale", "sensor", "polarisation", "gsd_m")


def read_picture(workspace: Workspace, entry: Entry, column: Literal["image", "view"] = "image") -> bytes:
    """Return the PNG of a tile: ``image`` at full resolution, or ``view`` (at most 256 px a side).

    Raises:
        WorkspaceError: The tiles were removed or made anew since the index was built.
    """
    picture: bytes = _row(workspace, entry, [column])[column]
    return picture


def read_cog(workspace: Workspace, entry: Entry) -> bytes:
    """Return a tile at full resolution as a Cloud Optimized GeoTIFF.

    Raises:
        WorkspaceError: The tiles were removed or made anew since the index was built.
    """
    # Here, not above: the tiling brings much with it that nobody needs before a tile is taken out.
    from knowlip.tiling.exports import cog_bytes

    return cog_bytes(_row(workspace, entry, ["image", "crs", "affine", "transfer", *_TAGS]))


def _row(workspace: Workspace, entry: Entry, columns: list[str]) -> dict[str, Any]:
    """Return some columns of a tile's row; only the row group that holds it is read."""
    gone = WorkspaceError(
        f"no longer holds tile {entry.tile_id}",
        where=workspace.uri("tiles", entry.file),
        fix="run the index job again",
        code="stale_index",
    )
    try:
        info = workspace.filesystem.get_file_info(workspace.path("tiles", entry.file))
        file = _opened(workspace, _State(entry.file, info.size, info.mtime_ns))
        group, offset = _group_of(file, entry.row)
    except (FileNotFoundError, IndexError) as error:
        raise gone from error
    row: dict[str, Any] = (
        file.read_row_group(group, columns=list(dict.fromkeys(["tile_id", *columns]))).slice(offset, 1).to_pylist()[0]
    )
    if row["tile_id"] != entry.tile_id:
        raise gone
    return row


class _State(NamedTuple):
    """A file of tiles as it is now: another that is put in its place has another footer."""

    name: str
    size: int | None
    mtime_ns: int | None


@lru_cache(maxsize=64)
def _opened(workspace: Workspace, state: _State) -> pq.ParquetFile:
    """Keep the footers of the files last used: reading one costs more than reading a row."""
    return pq.ParquetFile(workspace.filesystem.open_input_file(workspace.path("tiles", state.name)))


def _group_of(file: pq.ParquetFile, row: int) -> tuple[int, int]:
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if row < rows:
            return group, row
        row -= rows
    raise IndexError(row)
