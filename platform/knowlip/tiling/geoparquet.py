"""GeoParquet 1.1: what makes a table of tiles open as a map layer everywhere."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from pyproj import CRS

__all__ = ["bbox_of", "with_geometry"]

_VERSION = "1.1.0"


def with_geometry(table: pa.Table) -> pa.Table:
    """Declare the ``geometry`` column (WKB, WGS84 degrees) and its ``bbox`` covering in the table's metadata."""
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": ["MultiPolygon", "Polygon"],
        "crs": _wgs84(),
        "orientation": "counterclockwise",
        "edges": "planar",
        "covering": {"bbox": {edge: ["bbox", edge] for edge in ("xmin", "ymin", "xmax", "ymax")}},
    }
    bounds = _bounds(table)
    if bounds:
        column["bbox"] = bounds
    geo = {"version": _VERSION, "primary_column": "geometry", "columns": {"geometry": column}}
    metadata = {**(table.schema.metadata or {}), b"geo": json.dumps(geo).encode()}
    return table.replace_schema_metadata(metadata)


@cache
def _wgs84() -> dict[str, Any]:
    return dict(CRS.from_epsg(4326).to_json_dict())


def bbox_of(geometry: shapely.Geometry) -> dict[str, float]:
    """Return a footprint's bounds, degrees; ``xmin`` exceeds ``xmax`` where it crosses the antimeridian."""
    xmin, ymin, xmax, ymax = shapely.bounds(geometry)
    if geometry.geom_type == "MultiPolygon":
        edges = np.array([shapely.bounds(part) for part in geometry.geoms])
        eastern = edges[:, 0] >= 0
        xmin, xmax = edges[eastern, 0].min(), edges[~eastern, 2].max()
    return {"xmin": float(xmin), "ymin": float(ymin), "xmax": float(xmax), "ymax": float(ymax)}


def _bounds(table: pa.Table) -> list[float]:
    boxes = table["bbox"].combine_chunks()
    if not len(boxes) or boxes.null_count == len(boxes):
        return []
    xmin, ymin, xmax, ymax = (pc.struct_field(boxes, edge) for edge in ("xmin", "ymin", "xmax", "ymax"))
    if pc.any(pc.greater(xmin, xmax)).as_py():
        return [-180.0, pc.min(ymin).as_py(), 180.0, pc.max(ymax).as_py()]
    return [pc.min(xmin).as_py(), pc.min(ymin).as_py(), pc.max(xmax).as_py(), pc.max(ymax).as_py()]
