"""What the index keeps of a tile: enough to answer with it, to filter on it, and to find its image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import shapely
import shapely.geometry

from knowlip.records import SUBTEXTS, TILES

__all__ = ["CARRIED", "INDEXED", "Entry", "Hit", "entry_schema"]

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

INDEXED = ("tile_id", "parent_id", "xmin", "xmax", "ymin", "ymax", "gsd_m", "time", "scale", "sensor", "polarisation")
"""Columns with an index of their own, because filters and look-ups read them."""

_EDGES = ("xmin", "ymin", "xmax", "ymax")
_FACTS = tuple(name for name in CARRIED if name not in {"tile_id", "geometry"})


def entry_schema(width: int) -> pa.Schema:
    """Return the schema of the index's table.

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
    bounds: tuple[float, float, float, float]
    facts: dict[str, Any]
    texts: dict[str, str]
    file: str
    row: int

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Entry:
        """Make an entry of a row of the index."""
        west, south, east, north = (row[edge] for edge in _EDGES)
        return cls(
            tile_id=row["tile_id"],
            footprint=row["geometry"],
            bounds=(west, south, east, north),
            facts={name: row[name] for name in _FACTS},
            texts={name: row[name] for name in SUBTEXTS if row[name]},
            file=row["file"],
            row=row["row"],
        )

    @property
    def text(self) -> str:
        """The sub-texts in their order, as one text."""
        return " ".join(self.texts.values())

    def feature(self) -> dict[str, Any]:
        """Return the tile as a GeoJSON feature (RFC 7946)."""
        return {
            "type": "Feature",
            "id": self.tile_id,
            "bbox": list(self.bounds),
            "geometry": shapely.geometry.mapping(shapely.from_wkb(self.footprint)),
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
