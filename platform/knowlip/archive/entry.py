"""What the index keeps of a tile: enough to answer with it, to filter on it, and to find its image."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import shapely
import shapely.geometry

from knowlip.archive.cells import Bounds, cell_of, zone_of
from knowlip.records import SUBTEXTS, TILES

__all__ = ["CARRIED", "INDEXED", "READ", "Entry", "Hit", "entry_schema", "packed", "table_schema"]

CARRIED = (
    "tile_id",
    "scene_id",
    "scene_name",
    "scale",
    "parent_id",
    "sensor",
    "band",
    "polarisation",
    "time",
    "gsd_m",
    "extent_m",
    "lon",
    "lat",
    "geometry",
    "city",
    "admin",
    "country",
    "airports",
    "ports",
)
"""Columns of `knowlip.records.TILES` that are kept as they are."""

INDEXED = ("tile_id", "parent_id", "cell", "zone", "gsd_m", "time", "scale", "sensor", "polarisation")
"""Columns with an index of their own, because filters and look-ups read them."""

READ = ("geometry", "shown")
"""Columns of the index's table that an answer is made from."""

_EDGES = ("xmin", "ymin", "xmax", "ymax")
_FACTS = tuple(name for name in CARRIED if name not in {"tile_id", "geometry"})


def entry_schema(width: int) -> pa.Schema:
    """Return the schema of what is put into the index: one row a tile.

    Args:
        width: Width of the embeddings.
    """
    return pa.schema(
        [
            *[TILES.field(name).remove_metadata() for name in CARRIED],
            *[pa.field(edge, pa.float64()) for edge in _EDGES],
            *[pa.field(name, pa.string()) for name in SUBTEXTS],
            pa.field("file", pa.string(), nullable=False),
            pa.field("row", pa.int64(), nullable=False),
            pa.field("revision", pa.string(), nullable=False),
            pa.field("vector", pa.list_(pa.float32(), width), nullable=False),
        ]
    )


def table_schema(width: int) -> pa.Schema:
    """Return the schema of the index's table: what is filtered on, and in ``shown`` all that an answer shows, as JSON.

    Of the place there are ``cell`` and ``zone`` (`knowlip.archive.cells`), by which it is found, and the exact edges.

    Each column of a row that is found costs a read of its own; the 33 that an answer shows took nearly as long as the
    search itself.

    Args:
        width: Width of the embeddings.
    """
    whole = entry_schema(width)
    made = {name: pa.field(name, pa.string()) for name in ("cell", "zone")}
    made["shown"] = pa.field("shown", pa.string(), nullable=False)
    kept = [name for name in (*INDEXED, *_EDGES, "geometry", "file", "revision", "vector") if name not in made]
    return pa.schema([*[whole.field(name) for name in kept], *made.values()])


def packed(rows: pa.Table) -> pa.Table:
    """Return rows of `entry_schema` as those of `table_schema`."""
    shown = [json.dumps(_shown(row)) for row in rows.drop_columns(["geometry", "vector", "revision"]).to_pylist()]
    edges = zip(*(rows[edge].to_pylist() for edge in _EDGES), strict=True)
    cells = [None if None in bounds else cell_of(bounds) for bounds in edges]
    kept = table_schema(rows.schema.field("vector").type.list_size)
    table = rows.append_column("shown", pa.array(shown, pa.string()))
    table = table.append_column("cell", pa.array(cells, pa.string()))
    zones = [None if cell is None else zone_of(cell) for cell in cells]
    table = table.append_column("zone", pa.array(zones, pa.string()))
    return table.select(kept.names).cast(kept)


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "tile_id": row["tile_id"],
        "bounds": [row[edge] for edge in _EDGES],
        "facts": {name: _jsonable(row[name]) for name in _FACTS},
        "texts": {name: row[name] for name in SUBTEXTS if row[name]},
        "file": row["file"],
        "row": row["row"],
    }


@dataclass(frozen=True)
class Entry:
    """One tile of the archive.

    Attributes:
        tile_id: The tile.
        footprint: WGS84 polygon, WKB.
        bounds: West, south, east, north of the footprint, degrees.
        facts: The remaining columns of `CARRIED`, by name.
        texts: The eight sub-texts by name; empty ones are left out.
        file: File below ``tiles/`` that holds the images.
        row: Row of that file.
    """

    tile_id: str
    footprint: bytes
    bounds: Bounds
    facts: dict[str, Any]
    texts: dict[str, str]
    file: str
    row: int

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Entry:
        """Make an entry of the columns `READ` of a row of the index's table."""
        shown = json.loads(row["shown"])
        facts = shown["facts"]
        if facts["time"]:
            facts["time"] = datetime.fromisoformat(facts["time"])
        return cls(footprint=row["geometry"], **{**shown, "bounds": tuple(shown["bounds"])})

    @property
    def text(self) -> str:
        """The sub-texts in their order, as one text."""
        return " ".join(self.texts.values())

    def feature(self, geometry: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the tile as a GeoJSON feature (RFC 7946).

        Args:
            geometry: The footprint as GeoJSON, where it was made already, of many at once.
        """
        return {
            "type": "Feature",
            "id": self.tile_id,
            "bbox": list(self.bounds),
            "geometry": geometry or shapely.geometry.mapping(shapely.from_wkb(self.footprint)),
            "properties": {
                **{name: _jsonable(value) for name, value in self.facts.items()},
                "texts": dict(self.texts),
            },
        }


@dataclass(frozen=True)
class Hit:
    """A tile that was found.

    Attributes:
        score: Cosine similarity to the query, −1 to 1.
        entry: The tile.
    """

    score: float
    entry: Entry


def _jsonable(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
