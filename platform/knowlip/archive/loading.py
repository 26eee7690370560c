"""From finished units of work to rows of the index: tiles, their texts and their vectors, joined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from knowlip.archive.entry import CARRIED
from knowlip.archive.index import Archive
from knowlip.archive.vectors import source_of
from knowlip.archive.versions import Version
from knowlip.manifest import digest
from knowlip.records import SUBTEXTS
from knowlip.workspace import Workspace

__all__ = ["Loaded", "load_units"]

_ROWS_AT_ONCE = 20_000


@dataclass(frozen=True)
class Loaded:
    """What loading did.

    Attributes:
        rows: Tiles inserted or replaced.
        files: Files of tiles that they came from.
        removed: Files whose tiles were dropped, because they are no longer among the tiles or hold none any more.
    """

    rows: int
    files: int
    removed: int


def load_units(workspace: Workspace, version: Version) -> Loaded:
    """Bring an index up to date with the tiles, their captions and their vectors.

    A file of tiles is loaded in one transaction and only when its rows or vectors differ from those in the index, so
    loading twice, or again after a kill, changes nothing and leaves no tile twice. What the file no longer holds leaves
    the index in the same transaction.

    Args:
        workspace: Where ``tiles/``, ``captions/`` (if there are any) and the index lie.
        version: The index to fill; its vectors are there.
    """
    archive = Archive.of_version(workspace, version)
    known = archive.revisions()
    tiles = set(workspace.files("tiles"))
    files = [name for name in workspace.files(version.vectors) if name in tiles]
    held: set[str] = set()
    rows = changed = 0
    for batch in _batches(workspace, version.vectors, files):
        tables = list(_joined(workspace, version.vectors, batch))
        held.update(map(_file, tables))
        fresh = [table for table in tables if _revision(table) != known.get(_file(table))]
        if fresh:
            archive.add(_once(pa.concat_tables(fresh)), whole_files=[_file(table) for table in fresh])
            rows += sum(table.num_rows for table in fresh)
            changed += len(fresh)
    gone = sorted(set(known) - held)
    archive.remove_files(gone)
    if changed or gone:
        archive.optimise()
    return Loaded(rows=rows, files=changed, removed=len(gone))


def _batches(workspace: Workspace, vectors: str, files: Sequence[str]) -> Iterator[list[str]]:
    """Group files so that the captions are scanned once a batch, not once a file."""
    batch: list[str] = []
    rows = 0
    for name in files:
        batch.append(name)
        rows += workspace.dataset(vectors, name).count_rows()
        if rows >= _ROWS_AT_ONCE:
            yield batch
            batch, rows = [], 0
    if batch:
        yield batch


def _joined(workspace: Workspace, vectors: str, files: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the index rows of each file that holds tiles with vectors."""
    tables = [(name, _tiles(workspace, name)) for name in files]
    texts = _texts(workspace, [tile_id for _, table in tables for tile_id in table["tile_id"].to_pylist()])
    for name, tiles in tables:
        table = _beside(tiles, texts.select(["tile_id", *SUBTEXTS]))
        held = workspace.read_table(vectors, name, columns=["tile_id", "vector"])
        # Of the vectors, what they were made of: a tile that was cut again has its old facts.
        revision = digest([source_of(held.schema), table.drop_columns(["geometry"]).to_pylist()])
        table = table.append_column("revision", pa.array([revision] * table.num_rows, pa.string()))
        table = _beside(table, held).filter(pc.field("vector").is_valid())
        if table.num_rows:
            yield table


def _beside(left: pa.Table, right: pa.Table) -> pa.Table:
    """Put the right table's columns beside the left's by ``tile_id``; nulls where it has no such row."""
    place = pc.index_in(left["tile_id"], right["tile_id"].combine_chunks())
    for name in right.column_names:
        if name != "tile_id":
            left = left.append_column(name, right[name].take(place))
    return left


def _tiles(workspace: Workspace, name: str) -> pa.Table:
    table = workspace.read_table("tiles", name, columns=[*CARRIED, "bbox"])
    for edge in ("xmin", "ymin", "xmax", "ymax"):
        table = table.append_column(edge, pc.struct_field(table["bbox"], edge))
    count = table.num_rows
    return (
        table.drop_columns(["bbox"])
        .append_column("file", pa.array([name] * count, pa.string()))
        .append_column("row", pa.array(range(count), pa.int64()))
    )


def _texts(workspace: Workspace, tile_ids: Sequence[str]) -> pa.Table:
    """Return one caption a tile; where several models wrote one, the same one every time."""
    columns = ["tile_id", *SUBTEXTS]
    if not workspace.files("captions"):
        return pa.schema([(name, pa.string()) for name in columns]).empty_table()
    wanted = pc.field("tile_id").isin(pa.array(tile_ids, pa.string())) & (pc.field("status") == "ok")
    found = workspace.read_table("captions", columns=[*columns, "model", "prompt_digest"], where=wanted)
    return _once(found.sort_by([("model", "ascending"), ("prompt_digest", "ascending")])).select(columns)


def _once(table: pa.Table) -> pa.Table:
    """Keep the first row of every tile."""
    rows = table.append_column("_row", pa.array(range(table.num_rows), pa.int64()))
    first = rows.group_by("tile_id", use_threads=False).aggregate([("_row", "min")])
    return table.take(first["_row_min"])


def _file(table: pa.Table) -> str:
    return str(table["file"][0].as_py())


def _revision(table: pa.Table) -> str:
    return str(table["revision"][0].as_py())
