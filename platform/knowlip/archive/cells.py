"""Cells of a quadtree over the map: keys of a tile, by which an index finds at once what may touch a box.

A tile's *cell* is the smallest that holds its bounds, so what lies within a cell has keys that begin with the cell's
own (Web Mercator's quadkeys; mercantile). To touch a box is then to lie in one of a few runs of keys, or to have one of
the keys above them. A *zone* is a cell of the fifth division or above, for boxes that hold much of an archive: there
are so few that an index keeps the tiles of each together. Ranges of edges, each of which most of an archive
passes, take an index far longer than either.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import mercantile

__all__ = ["Bounds", "Runs", "cell_of", "is_wide", "runs_touching", "zone_of", "zones_touching"]

Bounds = tuple[float, float, float, float]
"""West, south, east, north in degrees; west exceeds east over the antimeridian."""

_HIGHEST_LAT = 89.0
"""Degrees; nearer to a pole Mercator is infinite. From 85.05 on all lies in the outermost cells."""

_ZONE_ZOOM = 5
"""Zones are 11.25 degrees wide, but for those above them: some 1400."""

_WIDEST_DEG2 = 1000.0
"""Square degrees; a search looks larger boxes up by their zones."""

_MOST_CELLS = 64
_DEEPEST = 24
_LEAST_FIT = 0.25
_SMALL_DEG2 = 1e-3
"""Square degrees; cells that cover no more than this let little through, however thin the box."""
_EDGE = 1e-9
"""Degrees by which a box is grown, so that what ends where it begins touches it."""


@dataclass(frozen=True)
class Runs:
    """Cells of what may touch a box.

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


def zone_of(cell: str) -> str:
    """Return the zone that a cell lies in: itself where it is larger than one."""
    return cell[:_ZONE_ZOOM]


def is_wide(box: Bounds) -> bool:
    """Tell boxes of continents, which a search looks up by zones, from those that it looks up by cells."""
    return (box[2] - box[0]) * (box[3] - box[1]) > _WIDEST_DEG2


def zones_touching(box: Bounds) -> tuple[str, ...]:
    """Return the zones of what may touch a box, whose west lies below its east."""
    keys = _keys(*_corners(box, _ZONE_ZOOM))
    return tuple(sorted({*keys, *_above(keys)}))


def runs_touching(box: Bounds) -> Runs | None:
    """Return the cells of what may touch a box; nothing for a long and thin one, of which they would let through more.

    Args:
        box: With west below east.
    """
    first, last = _corners(box, 0)
    while first.z < _DEEPEST and _count(*(finer := _corners(box, first.z + 1))) <= _MOST_CELLS:
        first, last = finer
    upper, lower = mercantile.bounds(first), mercantile.bounds(last)
    covered = (lower.east - upper.west) * (upper.north - lower.south)
    if covered > _SMALL_DEG2 and (box[2] - box[0]) * (box[3] - box[1]) < _LEAST_FIT * covered:
        return None
    keys = _keys(first, last)
    return Runs(tuple(_joined(keys)), tuple(sorted(_above(keys))))


def _corners(box: Bounds, zoom: int) -> tuple[mercantile.Tile, mercantile.Tile]:
    """Return the north-western and the south-eastern cell of a size that a box touches."""
    west, south, east, north = box
    first = mercantile.tile(west - _EDGE, _on_map(north + _EDGE), zoom, truncate=True)
    return first, mercantile.tile(east + _EDGE, _on_map(south - _EDGE), zoom, truncate=True)


def _count(first: mercantile.Tile, last: mercantile.Tile) -> int:
    return int((last.x - first.x + 1) * (last.y - first.y + 1))


def _keys(first: mercantile.Tile, last: mercantile.Tile) -> list[str]:
    """Return the sorted keys of the cells from one corner to the other."""
    rows, cols = range(first.y, last.y + 1), range(first.x, last.x + 1)
    return sorted(mercantile.quadkey(x, y, first.z) for x in cols for y in rows)


def _above(keys: Iterable[str]) -> set[str]:
    return {key[:length] for key in keys for length in range(len(key))}


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
