"""Cells of a quadtree over the map: one key a tile, by which an index finds at once what may touch a box.

A tile's cell is the smallest that holds its bounds, so what lies within a cell has keys that begin with the cell's own
(Web Mercator's quadkeys; mercantile). To touch a box is then to lie in one of a few *runs* of keys, or to have one of
the keys above them. Four half-open ranges of edges, each of which most of an archive passes, take an index far longer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import mercantile

__all__ = ["Bounds", "Covering", "cell_of", "covering"]

Bounds = tuple[float, float, float, float]
"""West, south, east, north in degrees; west exceeds east over the antimeridian."""

_HIGHEST_LAT = 89.0
"""Degrees; nearer to a pole Mercator has no place, and all lies in the outermost cells."""

_MOST_CELLS = 64
_DEEPEST = 24
_LEAST_FIT = 0.25
_WIDEST_DEG2 = 1000.0
"""Square degrees: of a larger box so many tiles are within that reading the edges of all is as quick as their keys."""
_EDGE = 1e-9
"""Degrees by which a box is grown, so that what ends where it begins touches it."""


@dataclass(frozen=True)
class Covering:
    """Keys of what may touch a box.

    Attributes:
        runs: First key, and the key after the last one.
        above: Keys of the cells that hold one of these.
    """

    runs: tuple[tuple[str, str], ...]
    above: tuple[str, ...]


def cell_of(bounds: Bounds) -> str:
    """Return the key of the smallest cell that holds a tile: of the whole map where it lies over the antimeridian."""
    west, south, east, north = bounds
    if west > east:
        return ""
    return str(mercantile.quadkey(mercantile.bounding_tile(west, _on_map(south), east, _on_map(north), truncate=True)))


def covering(box: Bounds) -> Covering | None:
    """Return the keys of what may touch a box; nothing where they are no help.

    That is for a box of continents, and for one so thin that cells would let four times as much through.

    Args:
        box: With west below east.
    """
    west, south, east, north = box[0] - _EDGE, _on_map(box[1] - _EDGE), box[2] + _EDGE, _on_map(box[3] + _EDGE)
    area = (east - west) * (north - south)
    if area > _WIDEST_DEG2:
        return None

    def corners(zoom: int) -> tuple[mercantile.Tile, mercantile.Tile]:
        first = mercantile.tile(west, north, zoom, truncate=True)
        return first, mercantile.tile(east, south, zoom, truncate=True)

    zoom = mercantile.bounding_tile(west, south, east, north, truncate=True).z
    while zoom < _DEEPEST and _cells(*corners(zoom + 1)) <= _MOST_CELLS:
        zoom += 1
    first, last = corners(zoom)
    upper, lower = mercantile.bounds(first), mercantile.bounds(last)
    covered = (lower.east - upper.west) * (upper.north - lower.south)
    if area < _LEAST_FIT * covered:
        return None
    keys = sorted(
        mercantile.quadkey(x, y, zoom) for x in range(first.x, last.x + 1) for y in range(first.y, last.y + 1)
    )
    above = {key[:length] for key in keys for length in range(zoom)}
    return Covering(tuple(_joined(keys)), tuple(sorted(above)))


def _cells(first: mercantile.Tile, last: mercantile.Tile) -> int:
    return int((last.x - first.x + 1) * (last.y - first.y + 1))


def _joined(keys: Iterable[str]) -> list[tuple[str, str]]:
    """Put sorted keys of one length that follow each other into runs."""
    runs: list[tuple[str, str]] = []
    for key in keys:
        if runs and runs[-1][1] == key:
            runs[-1] = (runs[-1][0], _after(key))
        else:
            runs.append((key, _after(key)))
    return runs


def _after(key: str) -> str:
    """Return the next key of the same length: before it lie all that begin with this one."""
    kept = key.rstrip("3")
    if not kept:
        return "4"
    return kept[:-1] + str(int(kept[-1]) + 1) + "0" * (len(key) - len(kept))


def _on_map(lat: float) -> float:
    return min(max(lat, -_HIGHEST_LAT), _HIGHEST_LAT)
