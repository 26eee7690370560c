"""Order on disk: tiles that lie near one another are stored near one another, so that a box on the map reads little.

A Hilbert curve through the tiles' centres keeps neighbours together; row groups of a few tiles then cover compact
areas, and the ``bbox`` columns' statistics tell a reader which of them it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import geopandas
import numpy as np
import pyarrow.parquet as pq

from knowlip.records import SCALES

__all__ = ["ROW_GROUP_TILES", "row_groups_within", "spatial_order"]

ROW_GROUP_TILES = 16
"""Tiles a row group: some 15 MB of full-resolution images at 1 m."""

_LEVEL = 15


def spatial_order(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sort rows of tiles: by scale, larger ones first, then along a Hilbert curve; by window where nothing is known.

    Args:
        rows: With ``scale``, ``row_off``, ``col_off``, ``lon`` and ``lat`` (degrees, or none).
    """
    placed = [row for row in rows if row["lon"] is not None]
    along: dict[int, int] = {}
    if placed:
        lon = np.unwrap([row["lon"] for row in placed], period=360.0)
        points = geopandas.GeoSeries.from_xy(lon, [row["lat"] for row in placed])
        distances = points.hilbert_distance(level=_LEVEL)
        along = {id(row): int(distance) for row, distance in zip(placed, distances, strict=True)}
    return sorted(
        rows, key=lambda row: (SCALES.index(row["scale"]), along.get(id(row), -1), row["row_off"], row["col_off"])
    )


def row_groups_within(metadata: pq.FileMetaData, bounds: tuple[float, float, float, float]) -> list[int]:
    """Return which row groups of a tiles file may hold tiles of a box, by their statistics alone.

    Args:
        metadata: Of the Parquet file.
        bounds: West, south, east, north, degrees.
    """
    west, south, east, north = bounds
    found = []
    for index in range(metadata.num_row_groups):
        edges = _bbox_statistics(metadata.row_group(index))
        if not (edges and _apart(edges, west, south, east, north)):
            found.append(index)
    return found


def _apart(edges: dict[str, tuple[float, float]], west: float, south: float, east: float, north: float) -> bool:
    if edges["ymin"][0] > north or edges["ymax"][1] < south:
        return True
    # A tile over the antimeridian begins in the east and ends in the west.
    over_antimeridian = edges["xmin"][1] - edges["xmax"][0] > 180.0
    return not over_antimeridian and (edges["xmin"][0] > east or edges["xmax"][1] < west)


def _bbox_statistics(group: pq.RowGroupMetaData) -> dict[str, tuple[float, float]]:
    """Return least and greatest value of each edge; nothing where any is unknown."""
    edges = {}
    for index in range(group.num_columns):
        column = group.column(index)
        if column.path_in_schema.startswith("bbox."):
            if not (column.is_stats_set and column.statistics.has_min_max):
                return {}
            edges[column.path_in_schema.removeprefix("bbox.")] = (column.statistics.min, column.statistics.max)
    return edges
