"""The vector index: one LanceDB table of tiles, searched exactly while small and by HNSW when large."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Self, TypeVar, cast

import lancedb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from lancedb.background_loop import LOOP
from lancedb.index import Bitmap, BTree, HnswSq

from knowlip.archive.entry import INDEXED, READ, Entry, Hit, packed, table_schema
from knowlip.archive.filters import Filters, quoted
from knowlip.archive.holdings import Holdings
from knowlip.archive.versions import Version
from knowlip.errors import DataError, WorkspaceError
from knowlip.workspace import Workspace

__all__ = ["Archive"]

_TABLE = "tiles"
_EXACT_ROWS = 50_000
"""Up to this many rows in the table every vector is compared: exact, and fast enough."""
_INDEXED_ROWS = 10_000
"""From this many rows on, the filtered columns get an index."""
_FEW_ROWS = 2_000
"""Up to this many rows that pass the filters are compared one by one: they are read sooner than a graph is walked."""
_WALKED, _REFINED = 200, 4
"""Least breadth of the walk through the graph, and how many times as many vectors are compared anew in full."""
_SPARE = 3
"""So many times as many tiles are looked at first where cells stand for a box, which let too much through …"""
_FURTHER = 4
"""… then so many times more …"""
_FURTHEST = 12
"""… and beyond so many times as many, the box itself decides."""
_MOST_WITHIN = 10_000
"""So many tiles within a polygon's bounds are looked at when there is no query to order them by."""
_FEW_VALUES = frozenset({"zone", "scale", "sensor", "polarisation"})
_STALE_AFTER = timedelta(seconds=5)
_wait: Callable[[Any], Any] = LOOP.run
"""Waits for what LanceDB computes on its event loop."""


Vector = npt.NDArray[np.floating[Any]]
Method = TypeVar("Method", bound=Callable[..., Any])


def _reading(method: Method) -> Method:
    """Say in one line that the store does not answer; LanceDB has no class of its own for that."""

    @functools.wraps(method)
    def reading(archive: Archive, *args: Any, **named: Any) -> Any:
        try:
            return method(archive, *args, **named)
        except (OSError, RuntimeError) as error:
            if "LanceError(IO)" not in str(error):
                raise
            raise WorkspaceError(
                f"could not be read ({str(error)[:200]})",
                where=archive.workspace.uri(archive.version.folder),
                fix="ask again when the store answers",
                code="unreachable",
            ) from error

    return cast("Method", reading)


class Archive:
    """The index of a workspace's tiles by one checkpoint.

    Readers see rows that were added after they opened it within seconds.

    LanceDB's own blocking table goes to its event loop and back five times a search; this one asks the asynchronous
    table itself, once for each thing that it wants to know.

    Args:
        workspace: Where it lies.
        version: Which one.
        table: Its open LanceDB table, an asynchronous one.

    Raises:
        WorkspaceError: An earlier version of this code made the table.
    """

    def __init__(self, workspace: Workspace, version: Version, table: Any) -> None:
        self.workspace = workspace
        self.version = version
        self._table = table
        if missing := set(table_schema(version.width).names) - set(_wait(table.schema()).names):
            raise WorkspaceError(
                f"was made by an earlier version (it has no column {min(missing)!r})",
                where=workspace.uri(version.folder),
                fix="delete it and run the index job again",
            )

    @classmethod
    def open(cls, workspace: Workspace, *, checkpoint: str | None = None, version: Version | None = None) -> Self:
        """Open the current index, or that of a version.

        Args:
            workspace: Where it lies.
            checkpoint: Digest of the checkpoint that will embed the queries.
            version: Which one, when it need not be the current one.

        Raises:
            WorkspaceError: There is no index.
            CheckpointError: Another checkpoint made it: its vectors and the queries' would not be comparable.
        """
        version = version or Version.in_use(workspace, checkpoint=checkpoint)
        return cls(workspace, version, _wait(_connect(workspace, version).open_table(_TABLE)))

    @classmethod
    def of_version(cls, workspace: Workspace, version: Version) -> Self:
        """Open or begin the index of a version, whether or not it is the current one; for the job that fills it."""
        database = _connect(workspace, version)
        if _TABLE in _wait(database.list_tables()).tables:
            return cls(workspace, version, _wait(database.open_table(_TABLE)))
        return cls(workspace, version, _wait(database.create_table(_TABLE, schema=table_schema(version.width))))

    def __len__(self) -> int:
        """Return the number of tiles."""
        return self._count()

    def search(self, vector: Vector, k: int = 10, filters: Filters | None = None) -> list[Hit]:
        """Return the tiles nearest to a query, best first: `search_each` of one."""
        return self.search_each([vector], k, filters)[0]

    @_reading
    def search_each(self, vectors: Sequence[Vector], k: int = 10, filters: Filters | None = None) -> list[list[Hit]]:
        """Return the tiles nearest to each of some queries, best first; many at once take little longer than one.

        Every vector that passes the filters is compared in a small archive, and in a large one where the filters leave
        few, or fewer than approximate search looks for.

        Args:
            vectors: Query embeddings, each of shape ``(width,)``; their length does not matter.
            k: Most tiles to return for each.
            filters: Conditions that hold before the nearest are taken, so that ``k`` tiles are found where ``k`` fit.

        Raises:
            DataError: A query has another width, or is not finite, or is zero.
            WorkspaceError: The store does not answer (code ``unreachable``), as of every reading below.
        """
        queries, filters = [self._checked(vector) for vector in vectors], filters or Filters()
        where, limit = filters.where(), k
        if loosely := filters.loosely():
            where, limit = loosely, _SPARE * k
        exact = len(self) <= _EXACT_ROWS or (
            where is not None and not filters.is_wide and self._count(where) <= _FEW_ROWS
        )
        found: dict[int, list[Hit]] = {}
        while left := [number for number in range(len(queries)) if number not in found]:
            # As many as are wanted, not as many as are looked at, decide how much of the graph is walked.
            walked = None if exact else max(10 * k, _REFINED * limit, _WALKED)
            nearest = self._nearest([queries[number] for number in left], limit, where, walked)
            if not exact and min(map(len, nearest)) < limit:
                exact = True
                continue
            for number, rows in zip(left, nearest, strict=True):
                hits = [Hit(score=1.0 - row["_distance"], entry=Entry.from_row(row)) for row in rows]
                held = filters.hold([hit.entry for hit in hits])
                kept = [hit for hit, holds in zip(hits, held, strict=True) if holds]
                if len(kept) >= k or len(rows) < limit:
                    found[number] = kept[:k]
            # Cells let more through than their box, and the bounds of a polygon more than the polygon: look further.
            limit *= _FURTHER
            if limit > _FURTHEST * k:
                where = filters.where()
        return [found[number] for number in range(len(queries))]

    @_reading
    def browse(self, filters: Filters | None = None, *, limit: int = 10, offset: int = 0) -> list[Entry]:
        """Return tiles that pass the filters, without a query; in the same order as long as nothing is written.

        Args:
            filters: Conditions that hold for each.
            limit: Most tiles to return.
            offset: How many to leave out first.
        """
        filters = filters or Filters()
        if filters.polygon is None:
            rows = self._rows(READ, filters.where(), limit=limit, offset=offset)
        else:
            near = self._rows(READ, filters.where(), limit=_MOST_WITHIN)
            within = filters.within(near["geometry"].to_pylist())
            rows = near.filter(pa.array(within, pa.bool_())).slice(offset, limit)
        return _entries(rows)

    @_reading
    def count(self, filters: Filters | None = None) -> int:
        """Return how many tiles pass the filters; of a polygon, those that touch its bounds."""
        return self._count(filters.where() if filters else None)

    @_reading
    def vector(self, tile_id: str) -> npt.NDArray[np.float32] | None:
        """Return the embedding of a tile, or nothing when the archive does not hold it."""
        found = self._rows(["vector"], f"tile_id = {quoted(tile_id)}", limit=1)
        return np.asarray(found["vector"][0].as_py(), np.float32) if found.num_rows else None

    @_reading
    def holdings(self) -> Holdings:
        """Say what the archive holds: where, when, and by which sensors."""
        columns = ["xmin", "ymin", "xmax", "ymax", "time", "gsd_m", "scale", "sensor", "polarisation"]
        count = len(self)
        if not count:
            return Holdings(tiles=0)
        return Holdings.of(self._rows(columns, limit=count))

    @_reading
    def entry(self, tile_id: str) -> Entry | None:
        """Return one tile, or nothing when the archive does not hold it."""
        found = _entries(self._rows(READ, f"tile_id = {quoted(tile_id)}", limit=1))
        return found[0] if found else None

    @_reading
    def children(self, tile_id: str) -> list[Entry]:
        """Return the tiles of the next smaller scale whose parent this one is, as one reads: by rows, west to east."""
        found = _entries(self._rows(READ, f"parent_id = {quoted(tile_id)}", limit=4096))
        return sorted(found, key=lambda entry: (-entry.bounds[3], entry.bounds[0]))

    def add(self, rows: pa.Table, *, whole_files: Sequence[str] = ()) -> None:
        """Insert rows of `entry_schema`, or replace those with the same ``tile_id``; all of them or none.

        Args:
            rows: What is inserted.
            whole_files: Files of which these are all the rows: others that came from them are dropped at once.
        """
        merge = self._table.merge_insert("tile_id").when_matched_update_all().when_not_matched_insert_all()
        if whole_files:
            merge = merge.when_not_matched_by_source_delete(_from(whole_files))
        schema = _wait(self._table.schema())
        _wait(merge.execute(packed(rows).select(schema.names).cast(schema)))

    def remove_files(self, files: Sequence[str]) -> None:
        """Drop the tiles that came from these files."""
        for start in range(0, len(files), 500):
            _wait(self._table.delete(_from(files[start : start + 500])))

    def revisions(self) -> Mapping[str, str]:
        """Return what is loaded: file below ``tiles/`` to the digest of the rows that came from it."""
        if not len(self):
            return {}
        rows = self._rows(["file", "revision"], limit=len(self))
        pairs = rows.group_by(["file", "revision"]).aggregate([])
        return dict(zip(pairs["file"].to_pylist(), pairs["revision"].to_pylist(), strict=True))

    def optimise(self) -> None:
        """Compact the table and bring its indices up to date; a large table gets those that it lacks."""
        rows = len(self)
        present = {column for index in _wait(self._table.list_indices()) for column in index.columns}
        if rows >= _INDEXED_ROWS:
            for column in INDEXED:
                if column not in present:
                    config = Bitmap() if column in _FEW_VALUES else BTree()
                    _wait(self._table.create_index(column, config=config))
        if rows > _EXACT_ROWS and "vector" not in present:
            _wait(self._table.create_index("vector", config=HnswSq(distance_type="cosine")))
        _wait(self._table.optimize(cleanup_older_than=timedelta(hours=1)))

    def _count(self, where: str | None = None) -> int:
        return int(_wait(self._table.count_rows(where)))

    def _nearest(
        self, queries: Sequence[npt.NDArray[np.float32]], limit: int, where: str | None, walked: int | None
    ) -> list[list[dict[str, Any]]]:
        found = self._table.query().nearest_to(queries[0] if len(queries) == 1 else list(queries)).column("vector")
        found = found.distance_type("cosine").select([*READ, "_distance"]).limit(limit)
        if where:
            found = found.where(where)
        found = found.ef(walked).refine_factor(_REFINED) if walked else found.bypass_vector_index()
        nearest: list[list[dict[str, Any]]] = [[] for _ in queries]
        for row in _wait(found.to_arrow()).to_pylist():
            nearest[row.get("query_index", 0)].append(row)
        return nearest

    def _rows(self, columns: Sequence[str], where: str | None = None, *, limit: int, offset: int = 0) -> pa.Table:
        found = self._table.query().select(list(columns)).limit(limit).offset(offset)
        return _wait((found.where(where) if where else found).to_arrow())

    def _checked(self, vector: Vector) -> npt.NDArray[np.float32]:
        query = np.asarray(vector, dtype=np.float32).reshape(-1)
        if query.size != self.version.width or not np.isfinite(query).all() or not query.any():
            raise DataError(
                f"is no query for this index ({query.size} values)",
                where="search vector",
                fix=f"give {self.version.width} finite values, not all zero",
            )
        return query


def _connect(workspace: Workspace, version: Version) -> Any:
    if workspace.is_local:
        where, options = str(workspace.local(version.folder)), None
    else:
        where, options = workspace.uri(version.folder), _store_options()
    return _wait(lancedb.connect_async(where, storage_options=options, read_consistency_interval=_STALE_AFTER))


def _store_options() -> dict[str, str] | None:
    """Point LanceDB at the endpoint that pyarrow uses too."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    if not endpoint:
        return None
    return {"aws_endpoint": endpoint, "allow_http": str(endpoint.startswith("http://")).lower()}


def _entries(rows: pa.Table) -> list[Entry]:
    return [Entry.from_row(row) for row in rows.to_pylist()]


def _from(files: Sequence[str]) -> str:
    return f"file IN ({', '.join(map(quoted, files))})"
