"""Near duplicates: the same ground again (overlapping passes), or the same picture again (repeated chips).

A perceptual hash says how alike two views are whatever their speckle: 64 signs of the lowest spatial frequencies.
Two tiles of one scale are near duplicates when their footprints mostly coincide and their hashes are alike, or when
their hashes are all but equal wherever they lie. The one with the smaller id stands for the rest, so that the result
does not depend on any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from pydantic import Field
from scipy.cluster.hierarchy import DisjointSet
from scipy.fft import dctn

from knowlip.settings import Section
from knowlip.tiling.encoding import decode_png
from knowlip.tiling.tile import area_average
from knowlip.workspace import Workspace

__all__ = ["DUPLICATES", "DUPLICATE_TILES", "DuplicateSettings", "find_duplicates", "hashed_tiles", "perceptual_hash"]

DUPLICATE_TILES = "tiles/_duplicates"

DUPLICATES = pa.schema(
    [
        pa.field("tile_id", pa.string(), nullable=False),
        pa.field("duplicate_of", pa.string(), nullable=False),
        pa.field("hash_distance", pa.int32(), nullable=False),
        pa.field("overlap", pa.float64(), nullable=False),
    ]
)
"""One row a tile that repeats another: by how many of 64 bits they differ, and the share of ground they have in common
(intersection over union of the footprints)."""

_SIDE_PX = 32
_FREQUENCIES = 8
_BANDS = 4


class DuplicateSettings(Section):
    """When two tiles are near duplicates."""

    overlap_min: float = Field(default=0.6, gt=0, le=1)
    """Intersection over union of two footprints from which they show the same ground …"""

    distance_max: int = Field(default=12, ge=0, le=32)
    """… and bits of 64 by which their hashes may then differ: another day's speckle and other ships flip some."""

    repeat_distance_max: int = Field(default=2, ge=0, lt=_BANDS)
    """Bits by which hashes may differ where the ground is another: the same picture again."""


def perceptual_hash(pixels: NDArray[np.uint8]) -> int:
    """Return 64 bits: which of the lowest spatial frequencies (without the mean) exceed their median.

    Args:
        pixels: 8-bit view (rows, columns), 0 no data.
    """
    small = area_average(pixels, _SIDE_PX, _SIDE_PX).astype(np.float64)
    spectrum = dctn(small, norm="ortho")[: _FREQUENCIES + 1, : _FREQUENCIES + 1]
    low = spectrum[1:, 1:].ravel()
    bits = np.packbits(low > np.median(low))
    return int.from_bytes(bits.tobytes(), "big")


def hashed_tiles(workspace: Workspace) -> Iterator[dict[str, Any]]:
    """Yield ``tile_id``, ``scale``, ``geometry`` and ``hash`` of every kept tile, a few views in memory at a time."""
    columns = ["tile_id", "scale", "series", "geometry", "view"]
    for batch in workspace.dataset("tiles").to_batches(columns=columns, batch_size=256):
        for row in batch.to_pylist():
            yield {**row, "hash": perceptual_hash(decode_png(row.pop("view")))}


def find_duplicates(tiles: Iterable[dict[str, Any]], settings: DuplicateSettings) -> pa.Table:
    """Return a table of `DUPLICATES`.

    Args:
        tiles: Rows of `hashed_tiles`, in any order. Series of one scene (its polarisations) never repeat one another.
        settings: How alike is alike.
    """
    rows = sorted(tiles, key=lambda row: row["tile_id"])
    hashes = np.array([row["hash"] for row in rows], dtype=np.uint64)
    shapes = shapely.from_wkb([row["geometry"] for row in rows])
    same = DisjointSet(range(len(rows)))
    for first, second in sorted({*_overlapping(shapes), *_alike(hashes)}):
        if rows[first]["scale"] == rows[second]["scale"] and rows[first]["series"] == rows[second]["series"]:
            shared, distance = _overlap(shapes[first], shapes[second]), _distance(hashes, first, second)
            limit = settings.distance_max if shared >= settings.overlap_min else settings.repeat_distance_max
            if distance <= limit:
                same.merge(first, second)
    found = []
    for group in same.subsets():
        first, *others = sorted(group)
        found += [
            {
                "tile_id": rows[other]["tile_id"],
                "duplicate_of": rows[first]["tile_id"],
                "hash_distance": _distance(hashes, first, other),
                "overlap": _overlap(shapes[first], shapes[other]),
            }
            for other in others
        ]
    return pa.Table.from_pylist(sorted(found, key=lambda row: str(row["tile_id"])), schema=DUPLICATES)


def _overlapping(shapes: Sequence[shapely.Geometry | None]) -> Iterator[tuple[int, int]]:
    placed = [index for index, shape in enumerate(shapes) if shape is not None]
    tree = shapely.STRtree([shapes[index] for index in placed])
    here, there = tree.query(tree.geometries, predicate="intersects")
    yield from ((placed[a], placed[b]) for a, b in zip(here, there, strict=True) if a < b)


def _alike(hashes: NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """Yield pairs that may differ by fewer bits than there are bands: one band of theirs is then equal."""
    for band in range(_BANDS):
        part = (hashes >> np.uint64(16 * band)) & np.uint64(0xFFFF)
        order = np.argsort(part, kind="stable")
        edges = np.flatnonzero(np.diff(part[order])) + 1
        for group in np.split(order, edges):
            yield from (pair for pair in combinations(sorted(group.tolist()), 2) if _distance(hashes, *pair) < _BANDS)


def _distance(hashes: NDArray[np.uint64], first: int, second: int) -> int:
    return int(hashes[first] ^ hashes[second]).bit_count()


def _overlap(first: shapely.Geometry | None, second: shapely.Geometry | None) -> float:
    if first is None or second is None:
        return 0.0
    shared = shapely.intersection(first, second).area
    return float(shared / (first.area + second.area - shared)) if shared else 0.0
